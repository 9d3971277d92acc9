package uplink

import (
	"container/heap"
	"slices"
	"time"

	"lwc/transport/wire"
)

// Codes of what the uplink itself says of a document.
const (
	codeBudget   = "budget"       // dropped: documents of a newer run need the memory
	codeDeclined = "declined"     // withheld: an admin refused it
	codeWaited   = "not-approved" // withheld: nobody approved it until the run's end
	codeNoRoom   = "no-room"      // withheld: half of the budget is held already
	codeFrame    = "max-frame"    // rejected: the cloud takes smaller frames than these now
	codeHeader   = "bad-header"   // rejected: its header cannot be written
	codeBase     = "base"         // rejected: the cloud has not the body that it is equal to
)

// callAll calls done functions. No lock is held.
func callAll(done []func()) {
	for _, f := range done {
		f()
	}
}

// settle applies a receipt. What it returns is to be called.
func (o *outbox) settle(r wire.Receipt, now time.Time) (done []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.docs[r.ID]
	if d == nil || d.carrier == nil && d.body == nil { // of the latter nothing has left
		o.counts.Strange++
		return nil
	}
	switch {
	case r.Status == wire.Kept:
		o.keep(d, r.Parts, now)
	case r.Status == wire.Offered:
		if d.body != nil {
			o.detach(d)
		}
	case !final(d.kind, r):
		o.putOff(d, r, now)
	case r.Status == wire.Stored && (d.body != nil || d.carrier == nil || d.carrier.open):
		o.counts.Strange++ // of a document that the cloud cannot have whole
	default:
		done = o.finish(d, r)
	}
	o.serve()
	o.wake()
	return done
}

// keep forgets the first parts of a document, which the cloud has committed. The
// caller holds mu.
func (o *outbox) keep(d *document, parts int, now time.Time) {
	p := d.carrier
	if p == nil || len(p.docs) != 1 || p.kind != wire.KindFact {
		return
	}
	n := 0
	for n < len(p.frames) && p.frames[n].part < parts && p.frames[n].left && !(p.frames[n].last()) {
		o.forgetFrame(p.frames[n])
		n++
	}
	if n == 0 {
		return
	}
	o.counts.Kept += int64(n)
	p.frames = slices.Delete(p.frames, 0, n)
	p.tries = 0
	o.unscheduled(p)
	if slices.ContainsFunc(p.frames, func(f *frame) bool { return f.left }) {
		o.schedule(p, now)
	}
}

// last tells whether a frame is the end of its parcel, which only a last word
// settles.
func (f *frame) last() bool { return !f.p.open && f == f.p.frames[len(f.p.frames)-1] }

// putOff puts off the redelivery of a document that the cloud cannot take now.
// The caller holds mu.
func (o *outbox) putOff(d *document, r wire.Receipt, now time.Time) {
	if r.Status == wire.Rejected && d.carrier != nil && d.carrier.index >= 0 {
		o.schedule(d.carrier, now)
		d.carrier.tries++
	}
}

// finish ends the waiting of a document. The caller holds mu, serves, and calls
// what it returns.
func (o *outbox) finish(d *document, r wire.Receipt) []func() {
	if d.last != nil {
		return nil
	}
	r.ID = d.id
	d.last = &r
	delete(o.docs, d.id)
	o.detach(d)
	o.freeBody(d)
	o.remember(d, r)
	o.tally(d, r)
	return o.tell(d)
}

// tell returns the call that tells a document's last word. One that is not
// committed yet is told then.
func (o *outbox) tell(d *document) []func() {
	if d.done == nil {
		return nil
	}
	done, v := d.done, wire.Delivery{Receipt: *d.last, Sent: d.sent, Unchanged: d.bare}
	return []func(){func() { done(v) }}
}

// reject ends documents that cannot be sent. What it returns is to be called.
func (o *outbox) reject(code string, ds ...*document) (done []func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range ds {
		done = append(done, o.finish(d, wire.Receipt{Status: wire.Rejected, Code: code})...)
	}
	o.serve()
	return done
}

// unfit ends the documents of a frame that the cloud does not take any more. What
// it returns is to be called.
func (o *outbox) unfit(f *frame) []func() {
	o.mu.Lock()
	var ds []*document
	if f.p != nil {
		ds = slices.Clone(f.p.docs)
	}
	o.mu.Unlock()
	return o.reject(codeFrame, ds...)
}

// remember keeps the hash of what the cloud has now. Of a duplicate it is not
// known whether these bytes are what was committed before. The caller holds mu.
func (o *outbox) remember(d *document, r wire.Receipt) {
	switch {
	case d.kind != wire.KindFact:
	case r.Status == wire.Stored:
		o.learn(d.facet)
	case r.Status == wire.Duplicate, r.Status == wire.Rejected:
		o.forget(d.facet)
	}
}

func (o *outbox) tally(d *document, r wire.Receipt) {
	if d.kind != wire.KindFact {
		return
	}
	c := &o.counts
	c.Documents++
	if d.bare {
		c.Unchanged++
	}
	switch r.Status {
	case wire.Rejected:
		c.Rejected++
	case wire.Dropped:
		c.Dropped++
	case wire.Withheld:
		c.Withheld++
	}
}

// detach takes a document off its carrier, which goes with its last one. The
// caller holds mu.
func (o *outbox) detach(d *document) {
	p := d.carrier
	if p == nil {
		return
	}
	d.carrier = nil
	p.docs = slices.DeleteFunc(p.docs, func(one *document) bool { return one == d })
	p.cost -= docCost
	o.account(p.kind, -docCost)
	if len(p.docs) == 0 {
		o.remove(p)
	}
}

// remove forgets a parcel and its frames. The caller holds mu.
func (o *outbox) remove(p *parcel) {
	o.unscheduled(p)
	delete(o.parcels, p)
	for _, f := range p.frames {
		o.forgetFrame(f)
	}
	o.account(p.kind, -p.cost)
	p.frames, p.cost = nil, 0
}

// forgetFrame frees what a frame counts for. The caller holds mu.
func (o *outbox) forgetFrame(f *frame) {
	if f.index >= 0 {
		heap.Remove(&o.ready, f.index)
	}
	if f.out {
		o.out -= int64(len(f.bytes))
	}
	o.account(f.kind, -f.cost())
	if f.kind != wire.KindRun {
		o.frames--
	}
	f.p, f.out = nil, false
}
