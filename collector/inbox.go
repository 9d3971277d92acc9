package collector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lwc/transport/wire"
)

// inbox carries what others report to the main loop, in order.
type inbox struct {
	ready chan struct{} // holds one element while events wait
	mu    sync.Mutex    // guards queue
	queue []func(context.Context)
}

// maxInbox is more than an honest cloud can have under way.
const maxInbox = 10000

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

// put reports false when the main loop is that far behind.
func (i *inbox) put(event func(context.Context)) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.queue) >= maxInbox {
		return false
	}
	i.queue = append(i.queue, event)
	select {
	case i.ready <- struct{}{}:
	default:
	}
	return true
}

func (i *inbox) take() []func(context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.queue
	i.queue = nil
	return out
}

// Welcomed takes the cloud's time and what it holds of this collector.
func (c *Collector) Welcomed(w wire.Welcome) {
	if !c.inbox.put(func(context.Context) { c.welcomed(w) }) {
		c.log.Warn("a welcome was passed over: the main loop is behind; the next connection brings another")
	}
}

// Desired takes a configuration whose signature, boot and age are checked. What
// becomes of it is told by SendState.
func (c *Collector) Desired(d wire.Desired, ref wire.ConfigRef) {
	c.report(ref, wire.ConfigReceived, nil)
	if !c.inbox.put(func(context.Context) { c.desired(desired{d, ref}) }) {
		c.conf.Uplink.SendState(wire.State{V: wire.Version, Collector: c.conf.Collector, Boot: c.conf.Boot, Config: ref,
			Status: wire.ConfigFailed, Error: "the collector is too busy to take a configuration; send it again later"})
	}
}

// Job takes a job whose signature and boot are checked. What becomes of it is
// told by SendJobStatus.
func (c *Collector) Job(j wire.Job) {
	if c.inbox.put(func(ctx context.Context) { c.job(ctx, j) }) {
		return
	}
	if last, ok := c.main.jobs.last(j.ID); ok { // under way, or done: it is only told late
		c.conf.Uplink.SendJobStatus(last)
		return
	}
	c.refuse(j, "too many jobs are waiting; ask again later")
}

// Alive returns nil when the main loop has answered: it is what a watchdog
// should ask.
func (c *Collector) Alive(ctx context.Context) error {
	answer := make(chan struct{})
	if !c.inbox.put(func(context.Context) { close(answer) }) {
		return fmt.Errorf("asking the collector for a sign of life: its inbox is full")
	}
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("asking the collector for a sign of life: %w", context.Cause(ctx))
	}
}

func (c *Collector) welcomed(w wire.Welcome) {
	if step := c.clock.set(w.Time); step != 0 {
		c.event(wire.EventClockStep, "", fmt.Sprintf(
			"the cloud's clock differs by %s from this collector's; the cloud's is used", step.Round(time.Second)))
	}
	c.main.wanted = max(c.main.wanted, w.Config.Version)
	c.main.timetable.open = w.OpenRuns
	c.chain.offer(w.LastManifest)
}

// watchClock tells of a step of the machine's clock. The collector goes by the
// cloud's time, which it does not move.
func (c *Collector) watchClock() {
	if step := c.clock.stepped(); step != 0 {
		c.event(wire.EventClockStep, "", fmt.Sprintf(
			"the machine's clock was set by %s; schedules go by the cloud's time and are not moved", step.Round(time.Second)))
	}
}

// event reports something an operator should know.
func (c *Collector) event(kind, device, text string) {
	c.conf.Uplink.SendEvent(wire.Event{V: wire.Version, Collector: c.conf.Collector, Boot: c.conf.Boot,
		Time: c.clock.now(), Kind: kind, Device: device, Text: text})
}
