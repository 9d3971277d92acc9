package collector

import (
	"context"
	"sync"
)

// busy keeps two collections of one device apart.
type busy struct {
	mu   sync.Mutex // guards held
	held map[string]*turns
}

type turns struct {
	users int           // holder and waiters
	token chan struct{} // holds one element while the device is free
}

func newBusy() *busy { return &busy{held: map[string]*turns{}} }

// lock waits until the device is free; unlock must be called after nil.
func (b *busy) lock(ctx context.Context, device string) (unlock func(), err error) {
	b.mu.Lock()
	t := b.held[device]
	if t == nil {
		t = &turns{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		b.held[device] = t
	}
	t.users++
	b.mu.Unlock()
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; b.leave(device, t) }, nil
	case <-ctx.Done():
		b.leave(device, t)
		return nil, context.Cause(ctx)
	}
}

func (b *busy) leave(device string, t *turns) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(b.held, device)
	}
}
