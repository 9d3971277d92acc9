package collector

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errDeviceTime and errBlocked are causes of a cancelled context.
var (
	errDeviceTime = errors.New("the collection of the device took too long")
	errBlocked    = errors.New("the memory for documents without receipt was full for too long")
)

// patience is a deadline that can be stopped while something else than the
// device is waited for.
type patience struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	left  time.Duration
	since time.Time // running since; zero: stopped
	timer *time.Timer
}

// newPatience returns a context that ends with errDeviceTime after d of running
// time. It is stopped until run.
func newPatience(ctx context.Context, d time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &patience{cancel: cancel, left: d}
}

func (p *patience) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		p.since = time.Now()
		p.timer = time.AfterFunc(p.left, func() { p.cancel(errDeviceTime) })
	}
}

func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.since.IsZero() {
		p.timer.Stop()
		p.left -= time.Since(p.since)
		p.since = time.Time{}
	}
}

// running tells whether the time counts.
func (p *patience) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero()
}

// end releases the context.
func (p *patience) end() {
	p.stop()
	p.cancel(context.Canceled)
}
