package junos

import (
	"context"
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

	// The next Write mostly comes with the context of the last, so its end stays
	// awaited between them.
	last *watch
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
	if g.last == nil || g.last.done != ctx.Done() {
		g.watch(ctx)
	}
	g.timer.Reset(g.limit)
	g.busy.Store(g.last)
	if ctx.Err() != nil { // before busy was set, perhaps
		g.close()
	}
}

func (g *guard) watch(ctx context.Context) {
	g.stop()
	w := &watch{done: ctx.Done()}
	w.forget = context.AfterFunc(ctx, func() {
		if g.busy.Load() == w {
			g.close()
		}
	})
	g.last = w
}

func (g *guard) end() {
	g.busy.Store(nil)
	g.timer.Stop()
}

// stop leaves nothing behind; no Write is under way any more.
func (g *guard) stop() {
	g.timer.Stop()
	if g.last != nil {
		g.last.forget()
	}
}
