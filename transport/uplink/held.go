package uplink

import (
	"cmp"
	"context"
	"slices"

	"lwc/transport/wire"
)

// holds tells whether n more bytes may be held: at most half of the budget, and
// what leaves a quarter for frames on their way beside the seats that are taken.
func (b *budget) holds(n int64) bool {
	return b.held+n <= b.limit/2 && b.held+n+b.lanes*seat <= b.limit-b.limit/4
}

// hold takes one more frame of a body that waits for an approval. False says that
// there is no room for it.
func (o *outbox) hold(ctx context.Context, w *writer, b *body, f []byte) (bool, error) {
	n := int64(len(f)) + frameCost
	o.mu.Lock()
	full := !o.holds(n)
	o.mu.Unlock()
	if full {
		return false, nil
	}
	if err := o.grow(ctx, w, n); err != nil {
		return false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands -= n
	if !o.holds(n) { // others were faster
		o.serve()
		return false, nil
	}
	o.held += n
	b.frames, b.cost = append(b.frames, f), b.cost+n
	return true, nil
}

// holdFor says whom a held body belongs to.
func (o *outbox) holdFor(d *document, f facet, b body, done func(wire.Delivery)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.facet, d.body, d.done = f, &b, done
}

// noRoom ends a document that was to be held. What it returns is to be called.
func (o *outbox) noRoom(d *document, done func(wire.Delivery)) []func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.done = done
	return o.finish(d, wire.Receipt{Status: wire.Withheld, Code: codeNoRoom})
}

// freeBody forgets a held body. The caller holds mu.
func (o *outbox) freeBody(d *document) {
	if d.body != nil {
		o.held -= d.body.cost
		d.body = nil
	}
}

// discard forgets a held body that belongs to no document yet.
func (o *outbox) discard(b *body) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held -= b.cost
	*b = body{}
	o.serve()
}

// approved sends the bodies of held documents on their way.
func (o *outbox) approved(ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		d := o.docs[id]
		if d == nil || d.body == nil {
			continue
		}
		o.detach(d) // from the offer, where that has no receipt yet
		frames := d.body.frames
		o.freeBody(d)
		o.forget(d.facet)
		d.share = 1
		o.start(&parcel{kind: wire.KindFact, docs: []*document{d}}, frames)
	}
	o.serve()
	o.wake()
}

// withhold ends the waiting of held documents: of those named, or of a run.
func (o *outbox) withhold(code string, ids []string, run string) (done []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := wire.Receipt{Status: wire.Withheld, Code: code}
	for _, id := range ids {
		if d := o.docs[id]; d != nil && d.body != nil {
			done = append(done, o.finish(d, r)...)
		}
	}
	for _, d := range o.docs {
		if run != "" && d.run == run && d.body != nil {
			done = append(done, o.finish(d, r)...)
		}
	}
	o.serve()
	return done
}

// DropHeld ends the waiting of a run's held documents that nobody has approved:
// their bodies do not leave. Their done functions are called before it returns.
func (u *Uplink) DropHeld(run string) { callAll(u.out.withhold(codeWaited, nil, run)) }

// makeRoom drops documents for a claim that has waited too long: those of runs
// before the writer's, the oldest run's largest first, and no more than the
// claims up to this one need. It returns what is to be called.
func (o *outbox) makeRoom(queue *[]*claim, c *claim) (done []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.granted {
		return nil
	}
	want := o.wanted(queue, c)
	for _, old := range o.olderThan(c.by.run) {
		if o.used()+want <= o.limit {
			break
		}
		for _, d := range old.docs {
			done = append(done, o.finish(d, wire.Receipt{Status: wire.Dropped, Code: codeBudget})...)
		}
	}
	o.serve()
	return done
}

// wanted is what the claims up to c need. The caller holds mu.
func (o *outbox) wanted(queue *[]*claim, c *claim) (n int64) {
	line := slices.Clone(o.growing)
	if queue != &o.growing {
		line = append(line, *queue...)
	}
	for _, one := range line {
		n += one.n
		if one == c {
			break
		}
	}
	return n
}

// victim is what is dropped together. An offer and its body are two, so that a
// document may stand in both.
type victim struct {
	run  string
	docs []*document
	size int64
}

// olderThan lists what may be dropped for a run, in the order of dropping. Run
// ids are ULIDs, so that they compare by time. The caller holds mu.
func (o *outbox) olderThan(run string) []victim {
	var out []victim
	for p := range o.parcels {
		if p.kind == wire.KindFact && !p.open && len(p.docs) > 0 && p.docs[0].run < run {
			out = append(out, victim{p.docs[0].run, slices.Clone(p.docs), p.total()})
		}
	}
	for _, d := range o.docs {
		if d.body != nil && d.run < run {
			out = append(out, victim{d.run, []*document{d}, d.body.cost})
		}
	}
	slices.SortFunc(out, func(a, b victim) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(b.size, a.size))
	})
	return out
}
