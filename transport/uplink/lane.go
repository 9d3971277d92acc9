package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lwc/transport/wire"
)

// SmallDocument is the most that a Lane takes whole by Add. What is larger is
// streamed.
const SmallDocument = 128 << 10

// headerRoom is what the documents of a shared frame may take of its header, of
// 16 KiB; the rest is for the frame's own fields.
const headerRoom = 15 << 10

// errLarge says that a document is to be streamed.
var errLarge = errors.New("the document is too large to be taken whole")

// Lane is the way of one device's visit into the uplink: a seat in the budget,
// and the small documents that are to share a frame. One goroutine uses it.
type Lane struct {
	u       *Uplink
	w       *writer
	device  string
	inHand  int64 // of the budget
	pending []pending
	plain   *[]byte // bodies of pending, one after the other; nil: none
	room    int     // that pending takes in a header
	open    *Stream
}

// pending is a document that waits for others to share a frame with.
type pending struct {
	h    wire.Header
	d    *document
	size int // of its body in plain
}

// Lane waits for a seat in the budget. waiting, which may be nil, is called before
// each wait for memory; what it returns is called after it. The lane needs no
// connection: what it takes leaves when there is one. Close gives the seat back.
func (u *Uplink) Lane(ctx context.Context, run, device string, waiting func() (resumed func())) (*Lane, error) {
	w := &writer{run, waiting}
	if err := u.out.enter(ctx, w); err != nil {
		return nil, fmt.Errorf("waiting to collect %s: %w", device, err)
	}
	return &Lane{u: u, w: w, device: device, inHand: seat}, nil
}

// Add takes over a whole document of at most SmallDocument bytes; plain is
// copied. h needs ID, Item, CollectedAt, Outcome, SHA256, Size, Flags, RawSHA256
// and RawSize; an empty ID is filled in. A document that is equal to the last one
// of its item leaves without its body. One that is to be held leaves so too, and
// its body waits here for an approval, or until DropHeld.
//
// done is called once, with what became of the document, unless Add returns an
// error or the process ends first. It may be called before Add returns, from any
// goroutine, and at the same time as others; it must return soon. No lock of this
// package is held then.
func (l *Lane) Add(ctx context.Context, h wire.Header, plain []byte, hold bool, done func(wire.Delivery)) error {
	if len(plain) > SmallDocument {
		return fmt.Errorf("publishing %s of %s: %d bytes: %w", h.Item, l.device, len(plain), errLarge)
	}
	d := l.document(&h, done)
	if err := l.u.out.register(d); err != nil {
		return fmt.Errorf("publishing %s of %s: %w", h.Item, l.device, err)
	}
	err := l.add(ctx, h, d, plain, hold)
	if err != nil {
		l.u.out.abort(d)
		return fmt.Errorf("publishing %s of %s: %w", h.Item, l.device, err)
	}
	return nil
}

// document makes the record of a document, and completes its header.
func (l *Lane) document(h *wire.Header, done func(wire.Delivery)) *document {
	if h.ID == "" {
		h.ID = wire.NewID()
	}
	h.Type, h.Run, h.Device = wire.KindFact, l.w.run, l.device
	h.Collector, h.Boot = l.u.cfg.Collector, l.u.cfg.Boot
	return &document{id: h.ID, run: h.Run, kind: wire.KindFact, done: done}
}

func (l *Lane) add(ctx context.Context, h wire.Header, d *document, plain []byte, hold bool) error {
	if hold {
		return l.hold(ctx, h, d, plain)
	}
	if l.unchanged(d, h) {
		return l.pend(ctx, flagged(h, wire.FlagUnchanged), d, nil)
	}
	return l.pend(ctx, h, d, plain)
}

// hold keeps the body of a document here, and lets its header leave.
func (l *Lane) hold(ctx context.Context, h wire.Header, d *document, plain []byte) error {
	o := l.u.out
	frames, err := wire.Split(h, plain, l.u.packing())
	if err != nil {
		return err
	}
	var b body
	for _, f := range frames {
		ok, err := o.hold(ctx, l.w, &b, f)
		if err == nil && ok {
			continue
		}
		o.discard(&b)
		if err == nil {
			callAll(o.noRoom(d, d.done))
		}
		return err
	}
	if err := l.pend(ctx, flagged(h, wire.FlagHeld), d, nil); err != nil {
		o.discard(&b)
		return err
	}
	o.holdFor(d, o.facetOf(h.Device, h.Item, h.SHA256), b, d.done)
	return nil
}

// flagged returns h with one more flag.
func flagged(h wire.Header, flag string) wire.Header {
	h.Flags = append(slices.Clone(h.Flags), flag)
	return h
}

// unchanged tells whether the cloud has these bytes as the last ones of the item.
// Where not, it is not known what it has until the receipt.
func (l *Lane) unchanged(d *document, h wire.Header) bool {
	o := l.u.out
	f := o.facetOf(h.Device, h.Item, h.SHA256)
	o.mu.Lock()
	defer o.mu.Unlock()
	d.facet, d.bare = f, o.same(f)
	if !d.bare {
		o.forget(f)
	}
	return d.bare
}

// pend puts a document with those that are to share a frame.
func (l *Lane) pend(ctx context.Context, h wire.Header, d *document, body []byte) error {
	need := wire.DocOf(h).Room()
	if len(l.pending) == wire.MaxDocs || l.room+need > headerRoom || l.plain != nil && len(*l.plain)+len(body) > SmallDocument {
		l.Flush()
	}
	if err := l.topUp(ctx); err != nil {
		return err
	}
	if len(body) > 0 {
		if l.plain == nil {
			l.plain = l.u.out.plains.Get().(*[]byte)
		}
		*l.plain = append(*l.plain, body...)
	}
	l.pending = append(l.pending, pending{h, d, len(body)})
	l.room += need
	return nil
}

// topUp waits until the seat is whole again: what was flushed took its bytes from
// it.
func (l *Lane) topUp(ctx context.Context) error {
	if len(l.pending) > 0 || l.inHand >= seat {
		return nil
	}
	n := seat - l.inHand
	if err := l.u.out.grow(ctx, l.w, n); err != nil {
		return err
	}
	l.inHand += n
	return nil
}

// Flush sends what is pending. It never waits.
func (l *Lane) Flush() {
	l.pending = slices.DeleteFunc(l.pending, func(p pending) bool { return p.bare() && l.u.out.served(p.d) })
	if len(l.pending) == 0 {
		return
	}
	var plain []byte
	if l.plain != nil {
		plain = *l.plain
	}
	l.share(l.pending, plain)
	clear(l.pending)
	l.pending, l.room = l.pending[:0], 0
	if l.plain != nil {
		*l.plain = (*l.plain)[:0]
		l.u.out.plains.Put(l.plain)
		l.plain = nil
	}
}

// share makes the frames of documents, one of them all if they fit.
func (l *Lane) share(ps []pending, plain []byte) {
	if len(ps) == 1 && !ps[0].bare() {
		l.alone(ps[0], plain)
		return
	}
	docs := make([]wire.Doc, len(ps))
	for i, p := range ps {
		docs[i] = wire.DocOf(p.h)
	}
	h := ps[0].h
	h = wire.Header{ID: wire.NewID(), Type: h.Type, Collector: h.Collector, Boot: h.Boot, Run: h.Run, Device: h.Device}
	frame, err := wire.SplitDocs(h, docs, plain, l.u.packing())
	switch {
	case err == nil:
		l.send(ps, [][]byte{frame})
	case len(ps) == 1:
		l.refuse(ps[0])
	default: // they do not fit together, or one of them cannot be written
		half, n := len(ps)/2, 0
		for _, p := range ps[:half] {
			n += p.size
		}
		l.share(ps[:half], plain[:n])
		l.share(ps[half:], plain[n:])
	}
}

func (p pending) bare() bool {
	return slices.Contains(p.h.Flags, wire.FlagUnchanged) || slices.Contains(p.h.Flags, wire.FlagHeld)
}

// alone makes the frames of one document.
func (l *Lane) alone(p pending, plain []byte) {
	frames, err := wire.Split(p.h, plain, l.u.packing())
	if err != nil {
		l.refuse(p)
		return
	}
	l.send([]pending{p}, frames)
}

// refuse ends a document that no frame can be made of.
func (l *Lane) refuse(p pending) {
	callAll(l.u.out.reject(codeHeader, p.d))
}

// send queues the frames of documents, paid with what is in hand.
func (l *Lane) send(ps []pending, frames [][]byte) {
	total, cost := 0.0, int64(0)
	p := &parcel{kind: wire.KindFact}
	for _, one := range ps {
		total += weight(one)
	}
	for _, one := range ps {
		one.d.share = weight(one) / total
		p.docs = append(p.docs, one.d)
		cost += docCost
	}
	for _, f := range frames {
		cost += int64(len(f)) + frameCost
	}
	paid := min(cost, l.inHand)
	l.inHand -= paid
	l.u.out.put(p, frames, paid)
}

// weight is what a document has of a frame that it shares: its body and about what
// its header takes.
func weight(p pending) float64 { return float64(p.size + 300) }

// Close sends what is pending and gives the seat back. It never waits.
func (l *Lane) Close() {
	if l.open != nil {
		l.open.Abort()
	}
	l.Flush()
	l.u.out.leaveSeat(l.w, l.inHand)
	l.inHand = 0
}
