// Package ingest stores what collectors send: documents, and the manifests that
// account for them.
//
// Each collector has a Stream, which its one owner feeds with the frames of
// up/fact and up/run in the order they came, and flushes when Deadline says so.
// A document is receipted after the transaction that holds it was committed,
// never before; a manifest is complete when every document that it calls stored
// is there, and is otherwise answered with the ids to send again.
//
// Whatever a frame holds, the answer is a receipt (where an id can be read) and
// an error for the owner to report; nothing else stops. Memory is bounded for
// the whole documents of all streams together, and for the unfinished ones of
// each stream (wire.AssemblyBytes).
package ingest
