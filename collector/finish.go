package collector

import (
	"context"
	"sync"

	"lwc/transport/wire"
)

// chain links the manifests of a collector by their hashes.
type chain struct {
	mu   sync.Mutex // guards last; held while a manifest is handed over, so that two never name the same one
	last string
	own  bool // last is of this boot
}

// offer takes the newest hash that the cloud holds: it counts until this boot
// has made a manifest of its own.
func (c *chain) offer(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.own && hash != "" {
		c.last = hash
	}
}

// publish chains and hands over one manifest. It returns a function that takes
// the manifest out of the chain again, for when the cloud refuses it.
func (c *chain) publish(ctx context.Context, p Publisher, m wire.Manifest, done func(wire.Receipt)) (undo func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	previous, own := c.last, c.own
	m.Previous = previous
	hash, err := p.PublishRun(ctx, m, done)
	if err != nil {
		return nil, err
	}
	c.last, c.own = hash, true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last == hash {
			c.last, c.own = previous, own
		}
	}, nil
}

// finish waits for the last receipt of a run, publishes its manifest and waits
// until the cloud has it.
func (c *Collector) finish(ctx context.Context, r *run) {
	defer c.counters.running.Add(-1)
	select {
	case <-r.idle:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return // what was cut off is no account of a run
	}
	m := r.manifest(c)
	answer := make(chan wire.Receipt, 1)
	undo, err := c.chain.publish(ctx, c.conf.Uplink, m, func(rc wire.Receipt) { answer <- rc })
	if err != nil {
		if ctx.Err() == nil {
			c.log.Error("publishing a manifest", "run", r.id, "error", err)
			c.endJob(r, wire.JobFailed, "the manifest of the run could not be sent: "+err.Error())
		}
		return
	}
	select {
	case rc := <-answer:
		c.concluded(r, m, rc, undo)
	case <-ctx.Done():
	}
}

// concluded acts on the cloud's answer to a manifest.
func (c *Collector) concluded(r *run, m wire.Manifest, rc wire.Receipt, undo func()) {
	log := c.log.With("run", r.id, "devices", len(m.Devices), "documents", len(m.Documents))
	if rc.Status != wire.Complete {
		undo()
		log.Error("the cloud refused a manifest", "code", rc.Code)
		c.endJob(r, wire.JobFailed, "the cloud refused the manifest of the run: "+clip(rc.Code, 100))
		return
	}
	log.Info("run complete", "seconds", m.Finished.Sub(m.Started).Seconds())
	c.counters.setLastRun(r.id)
	noted := c.inbox.put(func(context.Context) {
		for _, d := range m.Devices {
			if d.OK {
				// Not the end: receipts may have come long after the device was
				// collected, in the next window even.
				c.main.plan.completed(d.Device, m.Started)
			}
		}
	})
	if !noted {
		log.Warn("what a run completed was not noted: the main loop is behind; its devices may be collected again in this window")
	}
	c.endJob(r, wire.JobDone, "")
}

func (c *Collector) endJob(r *run, s wire.JobState, why string) {
	if r.job == "" {
		return
	}
	status := r.status(c, s)
	status.Error = why
	c.jobStatus(status)
}
