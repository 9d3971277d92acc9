// Package wire is the contract between a collector and its cloud end: topics,
// messages, frames, signatures and sealing. docs/protocol.md says the same in
// prose. It does no I/O, so both sides and their tests share
// it.
//
// A sender builds a message of messages.go, signs it with Sign (hello, welcome,
// job, receipt) or puts it in a frame with Split (documents, manifests, desired
// configurations). A receiver calls ParseFrame or Verify first, and looks at a
// message only after that succeeded.
//
// The broker between the two ends is trusted for nothing: what a receiver acts
// on is signed, what must stay secret is sealed, what must arrive is
// acknowledged by a receipt.
package wire
