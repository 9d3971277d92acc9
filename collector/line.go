package collector

import (
	"context"
	"maps"
	"slices"
	"time"

	"lwc/transport/wire"
)

// queue is the order in which the devices of a run are started, stalest first, a
// bounded number at a time. A run guards it.
type queue struct {
	limit   int     // visits at a time; 0: any number
	slots   *budget // as many sessions; nil: any number
	waiting []turn
	seats   map[string]*seat
	lent    int // of seats
}

const (
	// lendAfter is how long a device may wait for something that others need not
	// wait for (its bastion, its credential, a pause) before another is started
	// beside it: more than it takes to find out.
	lendAfter = 50 * time.Millisecond
	// maxLent bounds the visits that wait so: each costs some 10 KB.
	maxLent = 1024
)

func newQueue(limit int) queue { return queue{limit: limit, slots: newBudget(int64(limit))} }

// seat is a device's place among those that are visited. Its run guards it.
type seat struct {
	r       *run
	advance func() // starts who has a place now
	timer   *time.Timer
	lent    bool
	session bool // it is in line for a session, or has one
	left    bool
}

// enqueue adds devices to those that wait; at is when each was last collected. It
// reports false when the run has ended.
func (c *Collector) enqueue(ctx context.Context, r *run, devices ...turn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.sealed = false
	r.line.waiting = append(r.line.waiting, devices...)
	slices.SortStableFunc(r.line.waiting, func(x, y turn) int { return x.at.Compare(y.at) })
	c.advance(ctx, r)
	return true
}

// advance starts the devices that have a place. The caller holds r.mu.
func (c *Collector) advance(ctx context.Context, r *run) {
	l := &r.line
	for len(l.waiting) > 0 && ctx.Err() == nil && len(r.ready) < maxReady && l.lent < maxLent && (l.limit == 0 || len(l.seats)-l.lent < l.limit) {
		id := l.waiting[0].device
		l.waiting = l.waiting[1:]
		c.launch(ctx, r, id)
	}
	r.stir()
}

// goOn starts the devices that had to wait for a section to leave.
func (c *Collector) goOn(ctx context.Context, r *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.advance(ctx, r)
}

// launch begins the visit of a device. The caller holds r.mu.
func (c *Collector) launch(ctx context.Context, r *run, id string) {
	s := &seat{r: r, advance: func() { c.advance(ctx, r) }}
	s.timer = time.AfterFunc(lendAfter, s.late)
	if r.line.seats == nil {
		r.line.seats = map[string]*seat{}
	}
	r.line.seats[id] = s
	r.of(id).begun++
	c.tasks.Go(func() {
		c.collect(ctx, r, id)
		c.leave(ctx, r, id)
	})
}

// leave ends the visit of a device, and starts the next.
func (c *Collector) leave(ctx context.Context, r *run, id string) {
	c.plan.passed(r.schedule, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.line.seats[id]
	s.timer.Stop()
	s.left = true
	s.take()
	delete(r.line.seats, id)
	r.of(id).begun--
	r.settle(id)
	c.advance(ctx, r)
}

// late is called when a device has waited for lendAfter.
func (s *seat) late() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !s.session {
		s.lend()
	}
}

// lend gives the place to another. The caller holds mu of the run.
func (s *seat) lend() {
	if s.lent || s.left {
		return
	}
	s.lent = true
	s.r.line.lent++
	s.advance()
}

// take has the seat count again, at once: it may be one too many, and then nobody
// else is started. The caller holds mu of the run.
func (s *seat) take() {
	if s.lent {
		s.lent = false
		s.r.line.lent--
	}
}

// berth is where a session lies: it has a slot among the sessions of its run, one
// among all, and the seat in its run's line. Who lends one lends all. A probe has
// only the second.
type berth struct {
	own, slot *lease
	seat      *seat
}

// berth waits for a session slot.
func (v *visit) berth(ctx context.Context) (*berth, error) {
	b := &berth{seat: v.r.seat(v.id)}
	b.seated(func(s *seat) { s.session = true; s.take() })
	err := b.acquire(ctx, v.c.slots, v.r)
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

func (b *berth) acquire(ctx context.Context, slots *budget, r *run) (err error) {
	if own := r.slots(); own != nil {
		if b.own, err = own.acquire(ctx, 1); err != nil {
			return err
		}
	}
	b.slot, err = slots.acquire(ctx, 1)
	return err
}

func (r *run) slots() *budget {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line.slots
}

func (r *run) seat(id string) *seat {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.line.seats[id]
}

func (b *berth) seated(do func(*seat)) {
	if b.seat == nil {
		return
	}
	b.seat.r.mu.Lock()
	defer b.seat.r.mu.Unlock()
	do(b.seat)
}

// park lends the berth to others.
func (b *berth) park() {
	if b.slot.park() && (b.own == nil || b.own.park()) {
		b.seated((*seat).lend)
	}
}

// resume takes back what was lent, at once.
func (b *berth) resume() {
	b.slot.resume()
	if b.own != nil {
		b.own.resume()
	}
	b.seated((*seat).take)
}

// release ends the session: the device is in line for none now.
func (b *berth) release() {
	for _, l := range []*lease{b.slot, b.own} {
		if l != nil {
			l.release()
		}
	}
	b.seated(func(s *seat) {
		s.session = false
		s.take()
		if !s.left {
			s.timer.Reset(lendAfter)
		}
	})
}

// setLimit says how many devices are visited at a time.
func (c *Collector) setLimit(ctx context.Context, r *run, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.line.limit != n {
		r.line.limit = n
		r.line.slots.setLimit(int64(n))
		c.advance(ctx, r)
	}
}

// inLine lists the devices that wait, and those that are visited.
func (r *run) inLine() (waiting, visited []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.line.waiting {
		waiting = append(waiting, t.device)
	}
	return waiting, slices.Collect(maps.Keys(r.line.seats))
}

// withdraw takes devices that have not begun out of the line.
func (c *Collector) withdraw(r *run, which func(id string) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	r.line.waiting = slices.DeleteFunc(r.line.waiting, func(t turn) bool {
		if !which(t.device) {
			return false
		}
		c.plan.passed(r.schedule, t.device)
		out = append(out, t.device)
		return true
	})
	r.stir()
	return out
}

// overrun names the devices that have not begun when the next window does: they are
// collected in that one.
func (c *Collector) overrun(r *run) {
	for _, id := range c.withdraw(r, func(string) bool { return true }) {
		r.add(c, wire.DeviceResult{Device: id, Phase: phaseSchedule, Kind: kindOverrun,
			Error: "The next window of the schedule began before it was this device's turn, so it is collected in that one. Make the window longer, or raise limits.concurrency."})
		r.mu.Lock()
		r.settle(id)
		r.mu.Unlock()
	}
}
