package collector

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// bastions bounds the sessions through each bastion, and slows down the traffic
// through one that is at its limit.
type bastions struct {
	mu    sync.Mutex // guards all that follows
	doors map[string]*door
}

// door is the way through one bastion.
type door struct {
	use   *budget
	shut  time.Time // nobody new goes through before
	slow  int       // how often its limit is halved
	since time.Time // of the last change of slow
}

func newBastions() *bastions { return &bastions{doors: map[string]*door{}} }

// on returns the ids of the bastions on the way to a device, sorted, with their
// doors.
func (b *bastions) on(f *fleet, device string) []*door {
	if f == nil || f.devices[device] == nil {
		return nil
	}
	limits := map[string]int{}
	for _, h := range f.devices[device].via {
		limits[h.id] = f.through(h)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*door
	for _, id := range slices.Sorted(maps.Keys(limits)) {
		d := b.doors[id]
		if d == nil {
			d = &door{use: newBudget(0)}
			b.doors[id] = d
		}
		d.use.setLimit(int64(max(1, limits[id]>>d.slow)))
		out = append(out, d)
	}
	return out
}

// maxSlow is where halving ends: one session in a thousand.
const maxSlow = 10

// throttled says that a bastion was at its limit: nobody goes through for a
// minute, and half as many after that.
func (b *bastions) throttled(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, now := b.doors[id], time.Now()
	if d == nil || now.Before(d.shut) {
		return // one of those that were under way already
	}
	d.shut = now.Add(throttledPause + rand.N(throttledPause/2))
	d.slow, d.since = min(d.slow+1, maxSlow), d.shut
}

// passed says that a log-in through a bastion worked: it is trusted with twice
// as many, once a minute.
func (b *bastions) passed(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, now := b.doors[id], time.Now(); d != nil && d.slow > 0 && now.Sub(d.since) > throttledPause {
		d.slow--
		d.since = now
	}
}

// enter takes a place on each bastion before a device. While one of them is left
// alone, it holds no place on the others.
func (b *bastions) enter(ctx context.Context, f *fleet, device string) (leave func(), err error) {
	for {
		doors := b.on(f, device)
		leave, err := take(ctx, doors)
		if err != nil {
			return nil, err
		}
		wait := b.shutFor(doors)
		if wait <= 0 {
			return leave, nil
		}
		leave()
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// take takes a place in each door.
func take(ctx context.Context, doors []*door) (leave func(), err error) {
	var held []*lease
	leave = func() {
		for _, l := range held {
			l.release()
		}
	}
	for _, d := range doors {
		l, err := d.use.acquire(ctx, 1)
		if err != nil {
			leave()
			return nil, err
		}
		held = append(held, l)
	}
	return leave, nil
}

// shutFor is how long one of the doors is still shut.
func (b *bastions) shutFor(doors []*door) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var wait time.Duration
	for _, d := range doors {
		wait = max(wait, time.Until(d.shut))
	}
	return wait
}
