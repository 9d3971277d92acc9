// Package ingest stores what collectors send: documents, and the manifests that
// account for them.
//
// Each collector has a Stream, which its one owner feeds with the frames of
// up/fact and up/run in the order they came, and flushes when Deadline says so.
// A document is receipted after the transaction that holds it was committed,
// never before, and so is each part of a large one; a manifest is complete when every
// document that it calls stored is there, and is otherwise answered with the ids to
// send again.
//
// Whatever a frame holds, the answer is a receipt (where an id can be read) and
// an error for the owner to report; nothing else stops. Memory is bounded for
// the frames of all streams together, between their arrival and their commit, and
// for the unfinished manifests of each stream (wire.AssemblyBytes); no document of
// more than 1 MiB is ever whole in memory. Each batch of receipts tells the window: it
// shrinks while the store is slow or refuses, as with a full disk.
package ingest
