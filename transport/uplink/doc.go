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
// A document handed to Publish stays in memory, compressed, until the cloud
// says with its signature that it is committed; only then is its done function
// called. Until then it is sent again, with the same id, at once after every
// new connection and otherwise at growing intervals. Publish blocks while the
// window that the cloud set is full, and before the first welcome, which is
// where the window and the key that bodies are sealed to come from.
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
