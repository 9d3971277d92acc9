// Package control is the cloud's side of the session with each collector.
//
// A Hub receives everything that comes up from a broker.Bus. For each collector
// that is there it runs one worker with a bounded queue; the worker checks
// signatures against the registry, answers hello with welcome, sends the desired
// configuration (its credentials sealed to the key of that boot) and the open
// jobs, records states, heartbeats and events, and hands documents and manifests
// to an ingest.Stream. A full queue blocks the Bus, and so the sender, for five
// seconds; then messages are dropped. Documents and manifests come again for want
// of a receipt. All else has a queue of its own, and where that one is full the
// collector is asked for another hello, after which it tells its newest state, and
// that of its jobs, again; heartbeats follow anyway, and an event may be lost.
//
// Two machines may use one identity. The one whose first hello came later is the
// collector; the other has no welcome, and an event tells.
//
// Nothing that the Hub holds in memory is needed to go on: after a restart it
// reads boot, boot key and what is wanted from the store.
package control
