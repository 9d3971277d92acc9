package uplink

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"lwc/transport/wire"
)

// errQueued says that a document of the same id waits for its receipt already.
var errQueued = errors.New("its id is in the queue already")

// parcel is a document or manifest that waits for its receipt.
type parcel struct {
	id     string
	kind   wire.Kind
	frames [][]byte // never changed: the MQTT client keeps references
	size   int64    // of the frames together
	done   func(wire.Receipt, int64)

	// Guarded by the outbox.
	order uint64    // of admission
	due   time.Time // when it is to be sent (again)
	tries int       // times it was sent since the connection came up
	index int       // in the heap; -1 while it is being sent
}

// outbox holds parcels until their receipts, and knows when each is to be sent.
// The bytes in it are bounded by a window that the cloud sets; those who wait
// for room are served in their order.
type outbox struct {
	wake func() // called when something became due

	mu      sync.Mutex // guards all below
	window  int64      // 0 until the first welcome
	open    chan struct{}
	held    int64
	order   uint64
	parcels map[string]*parcel
	due     dueHeap // those not being sent
	waiting []*waiter

	resend, resendMax time.Duration
}

// waiter is a parcel that does not fit yet.
type waiter struct {
	p   *parcel
	in  chan struct{} // closed once it is admitted or refused
	err error         // why it was refused; read after in is closed
}

func newOutbox(wake func()) *outbox {
	t := defaultTiming()
	return &outbox{wake: wake, open: make(chan struct{}), parcels: map[string]*parcel{}, resend: t.resend, resendMax: t.resendMax}
}

// setWindow opens the outbox, or changes its size.
func (o *outbox) setWindow(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.window == 0 {
		close(o.open)
	}
	o.window = n
	o.serve()
}

// opened waits for the first setWindow.
func (o *outbox) opened(ctx context.Context) error {
	select {
	case <-o.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fits tells whether n more bytes may enter. What is larger than the window
// enters an empty outbox. The caller holds mu.
func (o *outbox) fits(n int64) bool {
	return o.window > 0 && (o.held == 0 || o.held+n <= o.window)
}

// admit queues a parcel, and blocks until it fits.
func (o *outbox) admit(ctx context.Context, p *parcel) error {
	o.mu.Lock()
	if len(o.waiting) == 0 && o.fits(p.size) {
		defer o.mu.Unlock()
		return o.enter(p)
	}
	w := &waiter{p: p, in: make(chan struct{})}
	o.waiting = append(o.waiting, w)
	o.mu.Unlock()
	select {
	case <-w.in:
		return w.err
	case <-ctx.Done():
		return o.leave(w, ctx.Err())
	}
}

// leave takes a waiter out of the line. If it was served in the meantime, that
// stands.
func (o *outbox) leave(w *waiter, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.waiting {
		if other == w {
			o.waiting = append(o.waiting[:i], o.waiting[i+1:]...)
			o.serve() // those behind a large one may fit
			return fmt.Errorf("waiting for room in the window: %w", err)
		}
	}
	return w.err
}

// force queues a parcel whatever the window.
func (o *outbox) force(p *parcel) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.enter(p)
}

// enter queues a parcel, due now. The caller holds mu.
func (o *outbox) enter(p *parcel) error {
	if o.parcels[p.id] != nil {
		return fmt.Errorf("document %s: %w", p.id, errQueued)
	}
	o.order++
	p.order, p.due = o.order, time.Now()
	o.parcels[p.id] = p
	o.held += p.size
	heap.Push(&o.due, p)
	o.wake()
	return nil
}

// serve admits those in line that fit, in their order. The caller holds mu.
func (o *outbox) serve() {
	for len(o.waiting) > 0 && o.fits(o.waiting[0].p.size) {
		w := o.waiting[0]
		o.waiting[0] = nil
		o.waiting = o.waiting[1:]
		w.err = o.enter(w.p)
		close(w.in)
	}
}

// next takes out the parcel that is due, the oldest first. Without one it
// returns how long to wait for it.
func (o *outbox) next(now time.Time) (*parcel, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.due) == 0 {
		return nil, time.Hour
	}
	if wait := o.due[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&o.due).(*parcel), 0
}

// wanted tells whether a parcel still waits for its receipt.
func (o *outbox) wanted(p *parcel) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parcels[p.id] == p
}

// sent puts a parcel back that next took out. After a whole delivery it is due
// again after a growing time; otherwise at once.
func (o *outbox) sent(p *parcel, now time.Time, whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parcels[p.id] != p {
		return // the receipt came while it was being sent
	}
	p.due = now
	if whole {
		p.due = now.Add(o.delay(p))
		p.tries++
	}
	heap.Push(&o.due, p)
}

// delay is the time to a parcel's next redelivery: between half and all of
// resend × 2^tries. The lower half is left out, because a redelivery that
// overtakes the receipt is wasted.
func (o *outbox) delay(p *parcel) time.Duration {
	d := double(o.resend, p.tries, o.resendMax)
	return d/2 + rand.N(d/2+1)
}

// hurry makes parcels due now: those named, or all.
func (o *outbox) hurry(now time.Time, ids ...string) (unknown int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(ids) == 0 {
		for _, p := range o.parcels {
			o.advance(p, now)
		}
		heap.Init(&o.due)
	}
	for _, id := range ids {
		p := o.parcels[id]
		if p == nil {
			unknown++
			continue
		}
		o.advance(p, now)
		if p.index >= 0 {
			heap.Fix(&o.due, p.index)
		}
	}
	o.wake()
	return unknown
}

// advance makes one parcel due, in its place among the others that are. The
// caller holds mu and restores the heap.
func (o *outbox) advance(p *parcel, now time.Time) {
	p.due, p.tries = now, 0
}

// settle applies a receipt. A final one ends the parcel, and its done function
// is returned for the caller to call; a rejection that may be retried puts the
// parcel off.
func (o *outbox) settle(r wire.Receipt, now time.Time) (done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.parcels[r.ID]
	if p == nil {
		return nil
	}
	if !final(p.kind, r) {
		if r.Status == wire.Rejected && p.index >= 0 {
			p.due = now.Add(o.delay(p))
			p.tries++
			heap.Fix(&o.due, p.index)
		}
		return nil
	}
	delete(o.parcels, p.id)
	if p.index >= 0 {
		heap.Remove(&o.due, p.index)
	}
	o.held -= p.size
	o.serve()
	return func() {
		if p.done != nil {
			p.done(r, p.size)
		}
	}
}

// final tells whether a receipt ends the waiting. A manifest is done when it is
// complete; that it is stored only means that documents are missing still.
func final(k wire.Kind, r wire.Receipt) bool {
	switch r.Status {
	case wire.Rejected:
		return !r.Retryable
	case wire.Stored:
		return k != wire.KindRun
	case wire.Duplicate, wire.Complete:
		return true
	}
	return false
}

func (o *outbox) bytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held
}

// dueHeap orders parcels by the time they are due, then by admission.
type dueHeap []*parcel

// Len implements heap.Interface.
func (h dueHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}

// Swap implements heap.Interface.
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	p := x.(*parcel)
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.index = -1
	return p
}
