package collector

import (
	"context"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// finish makes the sections of a run's manifest until the last one, and waits for
// the cloud's answer to each.
func (c *Collector) finish(ctx context.Context, r *run) {
	defer c.counters.running.Add(-1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	fault := ""
	for {
		m, wait := r.next(c)
		if m != nil {
			if why := c.account(ctx, r, *m); why != "" {
				fault = why
			}
			if m.Last || ctx.Err() != nil {
				break
			}
			continue
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-r.moved:
		case <-timer.C:
		case <-ctx.Done():
			return // what was cut off is no account of a run
		}
	}
	if ctx.Err() != nil {
		return
	}
	c.log.Info("run complete", "run", r.id, "seconds", c.clock.now().Sub(r.started).Seconds())
	c.counters.setLastRun(r.id)
	if fault != "" {
		c.endJob(r, wire.JobFailed, fault)
		return
	}
	c.endJob(r, wire.JobDone, "")
}

// account sends a section until the cloud has it. It returns why that failed.
func (c *Collector) account(ctx context.Context, r *run, m wire.Manifest) (fault string) {
	rc, err := c.chain.publish(ctx, c.conf.Uplink, m)
	log := c.log.With("run", r.id, "section", m.Section, "devices", len(m.Devices), "documents", len(m.Documents))
	switch {
	case ctx.Err() != nil:
		return ""
	case err != nil:
		log.Error("publishing a manifest", "error", err)
		return "the manifest of the run could not be sent: " + err.Error()
	case rc.Status != wire.Complete:
		log.Error("the cloud refused a manifest", "code", rc.Code)
		why := "the cloud refused the manifest of the run: " + clip(rc.Code, 100)
		c.event(wire.EventManifest, "", fmt.Sprintf("%s (run %s, section %d, %d devices)", why, r.id, m.Section, len(m.Devices)))
		return why
	}
	log.Info("section complete")
	c.retract(r, m)
	return ""
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
