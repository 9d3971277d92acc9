package collector

import (
	"context"
	"sync"

	"lwc/transport/wire"
)

// startProbes begins a probe job: every device of it, as far as slots allow. It
// has no run and no documents; each diagnosis is told as it ends.
func (c *Collector) startProbes(ctx context.Context, f *fleet, j wire.Job) {
	ids := wantedDevices(f, j)
	if !anyKnown(f, ids) {
		c.refuse(j, noneKnown(ids))
		return
	}
	r := &run{job: j.ID, logins: newLogins(), total: len(ids), single: len(ids) == 1}
	c.jobStatus(r.status(c, wire.JobAccepted))
	c.jobStatus(r.status(c, wire.JobRunning))
	c.tasks.Go(func() {
		var devices sync.WaitGroup
		for _, id := range ids {
			devices.Go(func() { r.probed(c, c.probeDevice(ctx, r, id)) })
		}
		devices.Wait()
		if ctx.Err() == nil {
			c.jobStatus(r.status(c, wire.JobDone))
		}
	})
}

// probed tells the job's owner of one diagnosis.
func (r *run) probed(c *Collector, p wire.Probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visited++
	s := r.statusLocked(c, wire.JobRunning)
	s.Probe = &p
	c.log.Info("device probed", "job", r.job, "device", p.Device, "ok", p.OK, "over_privileged", len(p.Excess) > 0)
	c.jobStatus(s)
}
