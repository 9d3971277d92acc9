package collector

import (
	"context"
	"slices"
	"sync"
)

// budget hands out a limited number of places (slots, seats on a bastion) in the
// order of the requests. Its limit can change while it is in use.
type budget struct {
	// mu guards all that follows. While it is free, nobody waits who could be
	// served.
	mu      sync.Mutex
	limit   int64
	used    int64
	parked  int64 // lent out by leases that do not need it now
	waiting []*claim
	waits   int64 // claims that had to wait, ever
}

// lease is an amount in hand. Its holder releases it once, or more often
// without effect.
type lease struct {
	b      *budget
	n      int64 // guarded by b.mu
	parked bool  // guarded by b.mu
}

type claim struct {
	l       *lease
	n       int64
	ready   chan struct{}
	granted bool
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// acquire takes n, in turn. A request above the limit is served when nothing
// else is in use.
func (b *budget) acquire(ctx context.Context, n int64) (*lease, error) {
	l := &lease{b: b}
	if err := b.claim(ctx, &claim{l: l, n: n, ready: make(chan struct{})}); err != nil {
		return nil, err
	}
	return l, nil
}

func (b *budget) claim(ctx context.Context, c *claim) error {
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.serve()
	if !c.granted {
		b.waits++
	}
	b.mu.Unlock()
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return b.giveUp(ctx, c)
	}
}

func (b *budget) giveUp(ctx context.Context, c *claim) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.granted {
		b.used -= c.n
		c.l.n -= c.n
	}
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	b.serve()
	return context.Cause(ctx)
}

// serve grants what can be granted. The caller holds mu.
func (b *budget) serve() {
	for len(b.waiting) > 0 {
		c := b.waiting[0]
		if b.used+c.n > b.limit && b.used > 0 {
			return
		}
		b.grant(c)
		b.waiting = b.waiting[1:]
	}
}

func (b *budget) grant(c *claim) {
	b.used += c.n
	c.l.n += c.n
	c.granted = true
	close(c.ready)
}

func (l *lease) release() {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.parked {
		b.parked -= l.n
	} else {
		b.used -= l.n
	}
	l.n, l.parked = 0, false
	b.serve()
}

func (b *budget) setLimit(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = n
	b.serve()
}

// park lends what the lease holds to others. No more than the limit is lent at
// a time, so that what is held in all is at most twice the limit.
func (l *lease) park() bool {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.parked || l.n == 0 || b.parked+l.n > b.limit {
		return l.parked
	}
	l.parked = true
	b.parked += l.n
	b.used -= l.n
	b.serve()
	return true
}

// resume takes back what was lent, at once: it may be beyond the limit, and
// then nobody else is served until it is within.
func (l *lease) resume() {
	b := l.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.parked {
		l.parked = false
		b.parked -= l.n
		b.used += l.n
	}
}

// inUse returns what is handed out, lent or not, and how many claims ever had
// to wait.
func (b *budget) inUse() (used, waits int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used + b.parked, b.waits
}

// lent returns what is lent out.
func (b *budget) lent() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parked
}
