package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// defaultBudget, leastBudget and mostBudget bound the documents without
	// receipt, in bytes.
	defaultBudget = 64 << 20
	leastBudget   = 8 << 20
	mostBudget    = 1 << 30
	// seat is what a Lane takes of the budget: the small documents that wait for
	// others to share a frame with, or the block of a stream.
	seat = SmallDocument
	// blockedTimeout is how long a writer waits for memory before documents of
	// older runs are dropped, where Config says nothing.
	blockedTimeout = 10 * time.Minute
)

// budget counts the bytes of documents without receipt, and hands them out in the
// order of the requests. Lanes that go on come before new ones. While no frame is
// under way, for which the cloud could make room, one lane may go beyond the
// limit: so there is always one that can go on, and what is in use exceeds the
// limit by a seat and a frame at most. The outbox's mutex guards it.
type budget struct {
	limit  int64
	lanes  int64   // that have a seat
	hands  int64   // of seats, and granted for frames that are being made
	moving int64   // documents on their way
	frames int     // of these; while there is one, the cloud will make room
	held   int64   // frames that wait for an approval
	other  int64   // manifests
	over   *writer // who may go beyond the limit, until it is kept again

	growing, entering []*claim
	waits             int64 // requests that had to wait, ever
}

// claim is a request for n bytes.
type claim struct {
	by      *writer
	n       int64
	ready   chan struct{}
	granted bool
}

func (b *budget) used() int64 { return b.hands + b.moving + b.held + b.other }

// mayGrow tells whether a lane may have n more.
func (b *budget) mayGrow(by *writer, n int64) bool {
	return b.used()+n <= b.limit || b.frames == 0 && (b.over == nil || b.over == by)
}

// nextToGrow is the place in line of the claim that is to be served: the first, or
// that of the one lane that may go beyond the limit. -1: none can be.
func (b *budget) nextToGrow() int {
	for i, c := range b.growing {
		if b.mayGrow(c.by, c.n) && (i == 0 || c.by == b.over) {
			return i
		}
	}
	return -1
}

// mayEnter tells whether one more lane may have a seat. Seats take at most half of
// what is not held, so that there is room for frames.
func (b *budget) mayEnter() bool {
	if b.lanes == 0 && b.frames == 0 {
		return true
	}
	return b.used()+seat <= b.limit && (b.lanes+1)*seat <= (b.limit-b.held)/2
}

// serve grants what can be granted. It is called after everything that makes room.
func (b *budget) serve() {
	if b.used() <= b.limit {
		b.over = nil
	}
	for i := b.nextToGrow(); i >= 0; i = b.nextToGrow() {
		b.grant(b.growing[i])
		b.growing = slices.Delete(b.growing, i, i+1)
	}
	for len(b.growing) == 0 && len(b.entering) > 0 && b.mayEnter() {
		b.lanes++
		b.grant(b.entering[0])
		b.entering[0] = nil
		b.entering = b.entering[1:]
	}
}

// grant serves a claim.
func (b *budget) grant(c *claim) {
	b.take(c.by, c.n)
	c.granted = true
	close(c.ready)
}

// take puts n bytes into a lane's hands.
func (b *budget) take(by *writer, n int64) {
	b.hands += n
	if b.used() > b.limit {
		b.over = by
	}
}

// writer is who waits for memory, and what it wants to know of a wait.
type writer struct {
	run     string
	waiting func() (resumed func()) // may be nil
}

// errFull says that a wait for memory ended without any.
var errFull = errors.New("the memory for documents without receipt is in use")

// enter waits for a seat.
func (o *outbox) enter(ctx context.Context, w *writer) error {
	return o.claim(ctx, &o.entering, &claim{by: w, n: seat, ready: make(chan struct{})})
}

// grow waits for n more bytes in hand.
func (o *outbox) grow(ctx context.Context, w *writer, n int64) error {
	o.mu.Lock()
	if len(o.growing) == 0 && o.mayGrow(w, n) {
		o.take(w, n)
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()
	return o.claim(ctx, &o.growing, &claim{by: w, n: n, ready: make(chan struct{})})
}

// claim waits in a queue.
func (o *outbox) claim(ctx context.Context, queue *[]*claim, c *claim) error {
	o.mu.Lock()
	*queue = append(*queue, c)
	o.serve()
	granted := c.granted
	if !granted {
		o.waits++
	}
	o.mu.Unlock()
	if granted {
		return nil
	}
	if c.by.waiting != nil {
		if resumed := c.by.waiting(); resumed != nil {
			defer resumed()
		}
	}
	return o.wait(ctx, queue, c)
}

// wait waits until a claim is granted. Each time that it has waited for the
// blocked time-out, documents of older runs make room.
func (o *outbox) wait(ctx context.Context, queue *[]*claim, c *claim) error {
	t := time.NewTimer(o.blocked)
	defer t.Stop()
	for {
		select {
		case <-c.ready:
			return nil
		case <-t.C:
			callAll(o.makeRoom(queue, c))
			t.Reset(o.blocked)
		case <-ctx.Done():
			return o.giveUp(ctx, queue, c)
		}
	}
}

// giveUp takes a claim back.
func (o *outbox) giveUp(ctx context.Context, queue *[]*claim, c *claim) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.granted {
		o.hands -= c.n
		if queue == &o.entering {
			o.lanes--
		}
	}
	if i := slices.Index(*queue, c); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	}
	o.serve()
	return fmt.Errorf("%w: %w", errFull, context.Cause(ctx))
}

// release gives back n bytes in hand.
func (o *outbox) release(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands -= n
	o.serve()
}

// leaveSeat gives back the seat of a lane, of which n bytes are in hand still.
func (o *outbox) leaveSeat(w *writer, n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hands -= n
	o.lanes--
	if o.over == w {
		o.over = nil
	}
	o.serve()
}

// setBudget changes the limit. What is above it already stays.
func (o *outbox) setBudget(n int64) {
	if n == 0 {
		n = defaultBudget
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = min(max(n, leastBudget), mostBudget)
	o.serve()
}

// SetBudget bounds the bytes of documents without receipt, and of what they are
// made of: 8 MiB to 1 GiB, 0 means 64 MiB. What is in use already stays.
func (u *Uplink) SetBudget(n int64) { u.out.setBudget(n) }

// Budget returns what is in use, how much of it waits for an approval, and the
// limit.
func (u *Uplink) Budget() (used, held, limit int64) {
	u.out.mu.Lock()
	defer u.out.mu.Unlock()
	return u.out.used(), u.out.held, u.out.limit
}
