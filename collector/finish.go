package collector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lwc/transport/wire"
)

// finish makes the sections of a run's manifest until the last one, and waits for
// the cloud's answer to each.
func (c *Collector) finish(ctx context.Context, r *run) {
	defer c.counters.running.Add(-1)
	var answers sync.WaitGroup
	defer answers.Wait()
	for last := false; !last; {
		m, err := c.nextSection(ctx, r)
		if err != nil {
			return // what was cut off is no account of a run
		}
		pass, leave, err := c.chain.enter(ctx)
		if err != nil {
			return
		}
		answers.Go(func() {
			defer leave()
			c.account(ctx, r, *m, pass)
		})
		last = m.Last
	}
	if answers.Wait(); ctx.Err() != nil {
		return
	}
	c.log.Info("run complete", "run", r.id, "seconds", c.clock.now().Sub(r.started).Seconds())
	c.counters.setLastRun(r.id)
	if fault := r.faulty(""); fault != "" {
		c.endJob(r, wire.JobFailed, fault)
		return
	}
	c.endJob(r, wire.JobDone, "")
}

// nextSection waits for the next section of a run. When nobody has approved what it
// holds in time, it has that dropped.
func (c *Collector) nextSection(ctx context.Context, r *run) (*wire.Manifest, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		m, wait := r.next(c)
		if m != nil {
			c.goOn(ctx, r)
			return m, nil
		}
		drop, left := r.unapproved()
		if drop {
			c.conf.Uplink.DropHeld(r.id)
		}
		if left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-r.moved:
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// account sends a section until the cloud has it.
func (c *Collector) account(ctx context.Context, r *run, m wire.Manifest, pass func()) {
	rc, err := c.chain.publish(ctx, c.conf.Uplink, m, pass)
	log := c.log.With("run", r.id, "section", m.Section, "devices", len(m.Devices), "documents", len(m.Documents))
	why := ""
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		log.Error("publishing a manifest", "error", err)
		why = "the manifest of the run could not be sent: " + clip(err.Error(), 300)
	case rc.Status != wire.Complete:
		log.Error("the cloud refused a manifest", "code", rc.Code)
		why = "the cloud refused the manifest of the run: " + clip(rc.Code, 100)
	default:
		log.Info("section complete")
		c.retract(r, m)
		return
	}
	r.faulty(why)
	c.event(wire.EventManifest, "", fmt.Sprintf("%s (run %s, section %d, %d devices)", why, r.id, m.Section, len(m.Devices)))
}

// faulty notes that a section of the run did not reach the cloud, unless why is
// empty, and returns what was noted last.
func (r *run) faulty(why string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if why != "" {
		r.fault = why
	}
	return r.fault
}

// retract has the plan forget devices that seemed whole when their visit was over,
// and of which the cloud did not take everything.
func (c *Collector) retract(r *run, m wire.Manifest) {
	for _, d := range m.Devices {
		if !d.OK {
			c.plan.retract(r.schedule, d.Device, r.started)
		}
	}
}

func (c *Collector) endJob(r *run, s wire.JobState, why string) {
	if r.job == "" {
		return
	}
	status := r.status(c, s)
	status.Error = why
	c.jobStatus(status)
}
