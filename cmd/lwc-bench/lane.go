package main

import (
	"context"
	"slices"
	"sync"

	"lwc/collector"
	"lwc/transport/wire"
)

// lane makes frames of what it is given, as the uplink does, counts them, and
// says that they are stored.
type lane struct {
	c       *cloud
	head    wire.Header
	docs    []wire.Doc
	pending []byte
	lent    *[]byte // that pending lies in
	answers []func()
}

// pendings lends the memory of lanes.
type pendings struct{ sync.Pool }

func newPendings() *pendings {
	return &pendings{sync.Pool{New: func() any { b := make([]byte, 0, collector.WholeDocument); return &b }}}
}

// Lane implements collector.Publisher.
func (c *cloud) Lane(_ context.Context, run, device string, _ func() (resumed func())) (collector.Lane, error) {
	lent := c.pendings.Get().(*[]byte)
	return &lane{c: c, pending: *lent, lent: lent,
		head: wire.Header{Type: wire.KindFact, Collector: benchCollector, Boot: c.boot, Run: run, Device: device}}, nil
}

// DropHeld implements collector.Publisher: nothing is held.
func (c *cloud) DropHeld(string) {}

// SetBudget implements collector.Budget.
func (c *cloud) SetBudget(int64) {}

// Budget implements collector.Budget: what is handed over is stored at once.
func (c *cloud) Budget() (used, held, limit int64) { return 0, 0, collector.DefaultBudgetBytes }

// Add implements collector.Lane.
func (l *lane) Add(_ context.Context, h wire.Header, plain []byte, _ bool, done func(wire.Delivery)) error {
	if len(l.docs) == wire.MaxDocs || len(l.pending)+len(plain) > collector.WholeDocument {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.docs, l.pending = append(l.docs, wire.DocOf(h)), append(l.pending, plain...)
	l.answers = append(l.answers, func() { done(stored(h.ID, 0)) })
	return nil
}

func stored(id string, sent int64) wire.Delivery {
	return wire.Delivery{Receipt: wire.Receipt{ID: id, Status: wire.Stored}, Sent: sent}
}

// flush makes a frame of what is pending, or one of each half where that is too
// much for one.
func (l *lane) flush() error {
	frames, err := l.frames(l.docs, l.pending)
	if err != nil {
		return err
	}
	l.c.count(int64(len(l.pending)), frames...)
	for _, answer := range l.answers {
		answer()
	}
	l.docs, l.pending, l.answers = l.docs[:0], l.pending[:0], l.answers[:0]
	return nil
}

func (l *lane) frames(docs []wire.Doc, plain []byte) ([][]byte, error) {
	h := l.head
	h.ID = wire.NewID()
	if len(docs) == 0 {
		return nil, nil
	}
	if len(docs) == 1 {
		h.Item, h.CollectedAt, h.Outcome, h.SHA256, h.Size = docs[0].Item, docs[0].CollectedAt, docs[0].Outcome, docs[0].SHA256, docs[0].Size
		return wire.Split(h, plain, wire.Packing{})
	}
	frame, err := wire.SplitDocs(h, slices.Clone(docs), plain, wire.Packing{})
	if err == nil {
		return [][]byte{frame}, nil
	}
	half, at := len(docs)/2, int64(0)
	for _, d := range docs[:half] {
		at += d.Size
	}
	first, err := l.frames(docs[:half], plain[:at])
	if err != nil {
		return nil, err
	}
	second, err := l.frames(docs[half:], plain[at:])
	return append(first, second...), err
}

// Stream implements collector.Lane.
func (l *lane) Stream(_ context.Context, h wire.Header, _ bool) (collector.Stream, error) {
	if err := l.flush(); err != nil {
		return nil, err
	}
	head := l.head
	head.ID, head.Item, head.CollectedAt = h.ID, h.Item, h.CollectedAt
	s, err := wire.NewSplitter(head, wire.Packing{}, func(f []byte) error { l.c.count(0, f); return nil })
	if err != nil {
		return nil, err
	}
	return stream{s, l.c}, nil
}

// Close implements collector.Lane.
func (l *lane) Close() {
	if err := l.flush(); err != nil {
		l.c.fail(err)
	}
	l.c.pendings.Put(l.lent)
}

// stream is a document that is made frames of while it comes.
type stream struct {
	*wire.Splitter
	c *cloud
}

// Commit implements collector.Stream.
func (s stream) Commit(last wire.Header, done func(wire.Delivery)) error {
	if err := s.Finish(last); err != nil {
		return err
	}
	s.c.count(last.Size)
	done(stored(last.ID, 0))
	return nil
}

func (c *cloud) count(plain int64, frames ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m.Bytes += plain
	for _, f := range frames {
		c.m.Sent += int64(len(f))
	}
}

func (c *cloud) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m.First == "" {
		c.m.First = err.Error()
	}
	c.m.Failed++
}
