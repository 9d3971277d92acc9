package collector

import (
	"context"
	"sync"

	"lwc/transport/wire"
)

// outbox stands between the devices and the window of the uplink, so that an
// open session never waits for the cloud: what it holds is bounded by the
// memory budget.
type outbox struct {
	ready chan struct{} // holds one element while documents wait
	mu    sync.Mutex    // guards queue
	queue []outgoing
}

type outgoing struct {
	header wire.Header
	plain  []byte
	done   func(wire.Receipt, int64)
	failed func(error)
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

func (o *outbox) put(d outgoing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, d)
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

func (o *outbox) take() []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.queue
	o.queue = nil
	return out
}

// run publishes until ctx ends.
func (o *outbox) run(ctx context.Context, p Publisher) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.ready:
		}
		docs := o.take()
		for i, d := range docs {
			docs[i] = outgoing{} // the uplink has it now
			if err := p.Publish(ctx, d.header, d.plain, d.done); err != nil {
				d.failed(err)
			}
		}
	}
}
