// Package uplink is the collector's side of the protocol: it enrols the box,
// and holds the one outbound session over which everything goes up and comes
// down. docs/protocol.md is its specification, transport/wire its vocabulary.
//
// A box without an identity calls Enrol with its token, and saves what it gets;
// afterwards it calls Load. New and Run then keep a session with the cloud for
// as long as the context lives: Run owns every retry, so nothing that uses an
// Uplink needs to know whether there is a connection.
//
// # What it guarantees
//
// A document handed to a Lane stays in memory, compressed, until the cloud says
// with its signature that it is committed; only then is its done function called.
// Until then it is sent again, with the same id, at once after every new
// connection and otherwise at growing intervals. Of a document of several parts
// those are forgotten that the cloud has kept, so that one larger than the memory
// passes through it. Frames are sealed when they leave, for the key of the
// connection that carries them.
//
// Two bounds are kept apart. The budget bounds what is held: all documents without
// receipt, their frames as they are made, and the seats of the lanes. When it is
// full, writers wait, those that go on before new ones; there is always one that
// can go on. Only a writer that has waited for Config.BlockedTimeout makes room:
// documents of older runs are dropped, the oldest run's largest first, and their
// done functions say so. The window, which the cloud sets and changes, bounds what
// is sent and has no receipt. Frames leave oldest first, so that a long document
// does not hold back the short ones beside it.
//
// The broker is trusted for nothing. A connection counts only once a welcome
// came that is signed by the pinned key and echoes this connection's nonce. A
// desired configuration reaches the Handler only if the pinned key signed it for
// this collector and this boot and its version is newer than every one before;
// a job only if it is signed, for this boot, not expired, and not seen before.
// What is refused is answered with a signed state and an event, not acted on. A
// second copy of the configuration that is already held is answered with the
// latest state. Packets are measured before memory is reserved for them.
//
// Certificates are renewed at two thirds of their life, without touching the
// session: the new one is used by the next connection.
package uplink
