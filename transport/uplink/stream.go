package uplink

import (
	"context"
	"errors"
	"fmt"

	"lwc/transport/wire"
)

// errOver says that a stream was committed or aborted before.
var errOver = errors.New("the document is finished")

// Stream is a document that is handed over while it arrives: its frames leave
// before its end is known. One goroutine uses it, and ends it by Commit or Abort.
type Stream struct {
	l     *Lane
	h     wire.Header
	d     *document
	p     *parcel // nil: no frame yet, or it is held
	split *wire.Splitter
	grow  func(n int64) error // waits for memory, as long as the stream's context lives
	pend  func(h wire.Header) error

	holds bool
	body  body // what is held
	full  bool // there was no room to hold all of it

	ending bool   // the document is being finished
	tail   []byte // the last frame so far: it leaves together with what ends it
	over   bool   // it was committed or aborted
}

// Stream begins a document of any size. h needs ID, Item and CollectedAt. It and
// all calls of the stream wait for memory until ctx ends.
func (l *Lane) Stream(ctx context.Context, h wire.Header, hold bool) (*Stream, error) {
	l.Flush()
	if l.open != nil {
		l.open.Abort()
	}
	if err := l.topUp(ctx); err != nil {
		return nil, fmt.Errorf("publishing %s of %s: %w", h.Item, l.device, err)
	}
	s := &Stream{l: l, holds: hold}
	s.d = l.document(&h, nil)
	s.d.share = 1
	s.h = h
	s.grow = func(n int64) error { return l.u.out.grow(ctx, l.w, n) }
	s.pend = func(h wire.Header) error { return l.pend(ctx, h, s.d, nil) }
	emit := s.emit
	if hold {
		emit = func(f []byte) error { return s.keep(ctx, f) }
	}
	var err error
	if s.split, err = wire.NewSplitter(h, l.u.packing(), emit); err != nil {
		return nil, fmt.Errorf("publishing %s of %s: %w", h.Item, l.device, err)
	}
	if err := l.u.out.register(s.d); err != nil {
		return nil, fmt.Errorf("publishing %s of %s: %w", h.Item, l.device, err)
	}
	l.open = s
	return s, nil
}

// Write implements io.Writer. It waits while the budget is full. What is written
// to a document that is rejected already, or that is to be held and for which
// there is no room, is dropped.
func (s *Stream) Write(p []byte) (int, error) {
	if s.over {
		return 0, errOver
	}
	n, err := s.split.Write(p)
	if err != nil {
		return n, fmt.Errorf("publishing %s of %s: %w", s.h.Item, s.h.Device, err)
	}
	return n, nil
}

// emit queues one frame.
func (s *Stream) emit(f []byte) error {
	if s.l.u.out.ended(s.d) {
		return nil
	}
	if err := s.grow(int64(len(f)) + frameCost); err != nil {
		return err
	}
	if !s.ending {
		s.more(f)
		return nil
	}
	if s.tail != nil {
		s.more(s.tail)
	}
	s.tail = f
	return nil
}

// more queues a frame that is not the last, and is paid for.
func (s *Stream) more(f []byte) {
	if s.p == nil {
		s.p = &parcel{kind: wire.KindFact, docs: []*document{s.d}, open: true}
		s.l.u.out.put(s.p, nil, 0)
	}
	s.l.u.out.more(s.d, s.p, f)
}

// keep holds one frame back.
func (s *Stream) keep(ctx context.Context, f []byte) error {
	if s.full {
		return nil
	}
	ok, err := s.l.u.out.hold(ctx, s.l.w, &s.body, f)
	if err == nil && !ok {
		s.full = true
		s.l.u.out.discard(&s.body)
	}
	return err
}

// Commit ends the document. last has its Outcome, SHA256, Size, Flags, RawSHA256
// and RawSize; its CollectedAt counts if it has one. done is as in Lane.Add. After
// an error the document is forgotten, and done is not called.
func (s *Stream) Commit(last wire.Header, done func(wire.Delivery)) error {
	if s.over {
		return errOver
	}
	h := s.h
	h.Outcome, h.SHA256, h.Size, h.Flags = last.Outcome, last.SHA256, s.split.Size(), last.Flags
	h.RawSHA256, h.RawSize = last.RawSHA256, last.RawSize
	if !last.CollectedAt.IsZero() {
		h.CollectedAt = last.CollectedAt
	}
	err := s.commit(h, done)
	if err != nil {
		s.Abort()
		return fmt.Errorf("publishing %s of %s: %w", h.Item, h.Device, err)
	}
	s.over, s.l.open = true, nil
	s.split.Abort()
	return nil
}

func (s *Stream) commit(h wire.Header, done func(wire.Delivery)) error {
	if s.holds {
		return s.offer(h, done)
	}
	if s.l.unchanged(s.d, h) && s.l.u.out.withdraw(s.d, s.p, done) {
		return s.pend(flagged(h, wire.FlagUnchanged))
	}
	s.ending = true
	if err := s.split.Finish(h); err != nil {
		return err
	}
	if s.p == nil {
		s.p = &parcel{kind: wire.KindFact, docs: []*document{s.d}, open: true}
	}
	callAll(s.l.u.out.commit(s.d, s.p, s.tail, done))
	s.tail = nil
	return nil
}

// offer ends a document that is to be held: its header leaves.
func (s *Stream) offer(h wire.Header, done func(wire.Delivery)) error {
	if err := s.split.Finish(h); err != nil {
		return err
	}
	o := s.l.u.out
	if s.full {
		callAll(o.noRoom(s.d, done))
		return nil
	}
	if err := s.pend(flagged(h, wire.FlagHeld)); err != nil {
		return err
	}
	o.holdFor(s.d, o.facetOf(h.Device, h.Item, h.SHA256), s.body, done)
	s.body = body{}
	return nil
}

// Abort forgets the document: what of it has not left does not leave, and the
// cloud drops its parts by itself. It has no effect after Commit.
func (s *Stream) Abort() {
	if s.over {
		return
	}
	s.over, s.l.open = true, nil
	s.split.Abort()
	s.l.u.out.abort(s.d)
	s.l.u.out.discard(&s.body)
	if s.tail != nil {
		s.l.u.out.release(int64(len(s.tail)) + frameCost)
		s.tail = nil
	}
}
