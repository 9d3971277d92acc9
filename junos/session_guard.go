package junos

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// guard closes the channel under a Write that outlives its context or its time,
// which is the only way to end one. One Write is under way at a time.
type guard struct {
	close func() error
	limit time.Duration
	timer *time.Timer
	late  atomic.Bool           // the time was over
	busy  atomic.Pointer[watch] // of the Write under way

	mu   sync.Mutex // held for last and over, since Close may come at any time
	last *watch     // the next Write mostly comes with the context of the last, so its end stays awaited
	over bool
}

// watch waits for the end of a context.
type watch struct {
	done   <-chan struct{}
	forget func() bool
}

func newGuard(limit time.Duration, close func() error) *guard {
	g := &guard{close: close, limit: limit}
	g.timer = time.AfterFunc(time.Hour, func() {
		g.late.Store(true)
		g.close()
	})
	g.timer.Stop()
	return g
}

func (g *guard) begin(ctx context.Context) {
	w := g.await(ctx)
	g.timer.Reset(g.limit)
	g.busy.Store(w)
	if ctx.Err() != nil { // before busy was set, perhaps
		g.close()
	}
}

// await returns nil after stop: the channel is closed.
func (g *guard) await(ctx context.Context) *watch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || g.last != nil && g.last.done == ctx.Done() {
		return g.last
	}
	if g.last != nil {
		g.last.forget()
	}
	w := &watch{done: ctx.Done()}
	w.forget = context.AfterFunc(ctx, func() {
		if g.busy.Load() == w {
			g.close()
		}
	})
	g.last = w
	return w
}

func (g *guard) end() {
	g.busy.Store(nil)
	g.timer.Stop()
}

// stop leaves nothing behind once the Write under way, which the closed channel
// ends, has called end.
func (g *guard) stop() {
	g.timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last != nil {
		g.last.forget()
	}
	g.last, g.over = nil, true
}
