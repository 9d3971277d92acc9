package uplink

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lwc/transport/wire"
)

// errQueued says that a document of the same id waits for its receipt already.
var errQueued = errors.New("its id is in the queue already")

// outbox holds documents and manifests until their receipts, and knows which
// frame is to be sent, and when. The budget bounds what it holds; the window,
// which the cloud sets, bounds what is sent and has no receipt. Frames leave
// oldest first.
type outbox struct {
	wake   func()    // called when something became due
	plains sync.Pool // buffers of SmallDocument bytes, for lanes

	mu sync.Mutex // guards all below; no function of others is called under it
	budget
	memory
	window  int64 // 0 until the first welcome
	out     int64 // bytes that count in the window
	order   uint64
	docs    map[string]*document
	parcels map[*parcel]struct{}
	ready   byOrder // to be sent
	due     byTime  // sent
	counts  Counts

	resend, resendMax, blocked time.Duration
}

func newOutbox(wake func()) *outbox {
	t := defaultTiming()
	plain := func() any {
		b := make([]byte, 0, SmallDocument)
		return &b
	}
	return &outbox{wake: wake, plains: sync.Pool{New: plain}, memory: newMemory(), docs: map[string]*document{}, parcels: map[*parcel]struct{}{},
		budget: budget{limit: defaultBudget}, resend: t.resend, resendMax: t.resendMax, blocked: blockedTimeout}
}

// setWindow changes the size of the window.
func (o *outbox) setWindow(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.window = n
	o.wake()
}

// register makes an id known.
func (o *outbox) register(d *document) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.docs[d.id] != nil {
		return fmt.Errorf("document %s: %w", d.id, errQueued)
	}
	o.docs[d.id] = d
	return nil
}

// account moves n bytes in or out of the class that a parcel's kind counts in.
func (o *outbox) account(k wire.Kind, n int64) {
	if k == wire.KindRun {
		o.other += n
	} else {
		o.moving += n
	}
}

// put queues a parcel whose documents are registered. Of what it counts for, paid
// was in the hands of the caller.
func (o *outbox) put(p *parcel, frames [][]byte, paid int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands -= paid
	o.start(p, frames)
	o.serve()
	o.wake()
}

// start queues the first frames of a parcel, for those of its documents that wait
// still: one that is held may have had its last word before its offer is made. The
// caller holds mu.
func (o *outbox) start(p *parcel, frames [][]byte) {
	p.index = -1
	p.docs = slices.DeleteFunc(p.docs, (*document).served)
	if len(p.docs) == 0 {
		return
	}
	p.cost = docCost * int64(len(p.docs))
	for _, d := range p.docs {
		d.carrier = p
	}
	o.parcels[p] = struct{}{}
	o.account(p.kind, p.cost)
	for _, b := range frames {
		o.append(p, b)
	}
}

// append queues one more frame of a parcel. The caller holds mu.
func (o *outbox) append(p *parcel, b []byte) {
	o.order++
	f := &frame{p: p, kind: p.kind, part: p.made, bytes: b, order: o.order, index: -1}
	p.made++
	p.frames = append(p.frames, f)
	o.account(p.kind, f.cost())
	if p.kind != wire.KindRun {
		o.frames++
	}
	heap.Push(&o.ready, f)
}

// more queues a frame of an open parcel, which is paid for.
func (o *outbox) more(d *document, p *parcel, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands -= int64(len(b)) + frameCost
	if d.last == nil {
		o.append(p, b)
	}
	o.serve()
	o.wake()
}

// ended tells whether a document has its last word.
func (o *outbox) ended(d *document) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return d.last != nil
}

// served tells whether a document needs no offer any more.
func (o *outbox) served(d *document) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return d.served()
}

// commit ends an open parcel with its last frame, which is paid for. What it
// returns is to be called.
func (o *outbox) commit(d *document, p *parcel, tail []byte, done func(wire.Delivery)) []func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.done = done
	if tail != nil {
		o.hands -= int64(len(tail)) + frameCost
	}
	defer o.serve()
	if d.last != nil {
		return o.tell(d)
	}
	p.open = false
	if p.made == 0 {
		o.start(p, [][]byte{tail})
	} else {
		o.append(p, tail)
	}
	o.wake()
	return nil
}

// withdraw takes back what a stream has queued, if nothing of it has left: its
// document leaves without its body.
func (o *outbox) withdraw(d *document, p *parcel, done func(wire.Delivery)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.last != nil || p != nil && !p.untouched() {
		d.bare = false
		return false
	}
	o.detach(d)
	d.done = done
	o.serve()
	return true
}

// abort forgets a document that was not committed. Who found it before, and ends it
// only now, ends nothing.
func (o *outbox) abort(d *document) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.docs[d.id] == d {
		delete(o.docs, d.id)
	}
	o.detach(d)
	d.done, d.last = nil, &wire.Receipt{}
	o.serve()
}

// grew accounts for what sealing added to a frame.
func (o *outbox) grew(f *frame, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.Bytes += int64(n)
	if f.p != nil && f.fresh {
		for _, d := range f.p.docs {
			d.sent += int64(float64(n)*d.share + 0.5)
		}
	}
}

// next takes out the frame that is to be sent. Without one it returns how long to
// wait for it.
func (o *outbox) next(now time.Time) (*frame, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.due) > 0 && !o.due[0].due.After(now) {
		o.again(o.due[0])
	}
	if len(o.ready) > 0 && o.fits(o.ready[0]) {
		f := heap.Pop(&o.ready).(*frame)
		o.leave(f)
		return f, 0
	}
	if len(o.due) > 0 {
		return nil, o.due[0].due.Sub(now)
	}
	return nil, time.Hour
}

// fits tells whether the window has room for a frame. What is larger than it
// leaves when nothing else is out.
func (o *outbox) fits(f *frame) bool {
	return f.out || o.window > 0 && (o.out == 0 || o.out+int64(len(f.bytes)) <= o.window)
}

// leave accounts for a frame that is about to be sent. The caller holds mu.
func (o *outbox) leave(f *frame) {
	n := int64(len(f.bytes))
	if !f.out {
		f.out = true
		o.out += n
	}
	if f.left {
		f.fresh = false
		o.counts.Again++
		return
	}
	f.left, f.fresh = true, true
	o.counts.Frames++
	o.counts.Bytes += n
	for _, d := range f.p.docs {
		d.sent += int64(float64(n)*d.share + 0.5)
	}
}

// again queues the frames of a parcel once more. The caller holds mu.
func (o *outbox) again(p *parcel) {
	p.tries++
	o.requeue(p)
}

// requeue makes all frames of a parcel due now. The caller holds mu.
func (o *outbox) requeue(p *parcel) {
	o.unscheduled(p)
	for _, f := range p.frames {
		if f.index < 0 {
			heap.Push(&o.ready, f)
		}
	}
}

// unscheduled takes a parcel out of those to be sent again. The caller holds mu.
func (o *outbox) unscheduled(p *parcel) {
	if p.index >= 0 {
		heap.Remove(&o.due, p.index)
	}
}

// schedule sets the time of a parcel's redelivery. The caller holds mu.
func (o *outbox) schedule(p *parcel, now time.Time) {
	p.due = now.Add(o.delay(p))
	if p.index >= 0 {
		heap.Fix(&o.due, p.index)
	} else {
		heap.Push(&o.due, p)
	}
}

// sent puts off the redelivery of a frame's parcel, once it left; one that did
// not leave is due at once.
func (o *outbox) sent(f *frame, now time.Time, whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case f.p == nil: // its receipt came while it was being sent
	case whole:
		o.schedule(f.p, now)
	case f.index < 0:
		heap.Push(&o.ready, f)
	}
}

// delay is the time to a parcel's next redelivery: between half and all of
// resend × 2^tries. The lower half is left out, because a redelivery that
// overtakes the receipt is wasted.
func (o *outbox) delay(p *parcel) time.Duration {
	d := double(o.resend, p.tries, o.resendMax)
	return d/2 + rand.N(d/2+1)
}

// anew makes all frames due in their order, on a connection that nothing was sent
// on yet.
func (o *outbox) anew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out = 0
	for p := range o.parcels {
		o.hurryOne(p)
		for _, f := range p.frames {
			f.out = false
		}
	}
	o.wake()
}

// hurryOne queues a parcel as if it had never been sent. The caller holds mu.
func (o *outbox) hurryOne(p *parcel) {
	p.tries = 0
	o.requeue(p)
}

// hurry queues documents that the cloud asks for. It returns how many are not
// here.
func (o *outbox) hurry(ids []string) (unknown int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if d := o.docs[id]; d != nil && d.carrier != nil {
			o.hurryOne(d.carrier)
		} else {
			unknown++
		}
	}
	o.wake()
	return unknown
}

// bytes is what waits for receipts or approvals.
func (o *outbox) bytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moving + o.held + o.other
}
