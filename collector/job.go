package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/transport/wire"
)

// heldJob waits for the configuration that it was made for.
type heldJob struct {
	wire.Job
	until time.Time
}

// holdJob is how long a job waits for a configuration that is on its way. One
// of 10,000 devices takes seconds.
const holdJob = 2 * time.Minute

// job carries out a job once, or says why not.
func (c *Collector) job(ctx context.Context, j wire.Job) {
	if last, ok := c.main.jobs.last(j.ID); ok {
		c.conf.Uplink.SendJobStatus(last)
		return
	}
	now := c.clock.now()
	switch {
	case !j.Expires.IsZero() && !now.Before(j.Expires):
		c.refuse(j, fmt.Sprintf("it came after its time (%s)", j.Expires.UTC().Format(time.RFC3339)))
	case j.Kind == wire.JobCollect && wire.CheckID(j.Run) != nil:
		c.refuse(j, "it names no run that its documents could belong to")
	case j.Kind == wire.JobCollect || j.Kind == wire.JobProbe:
		c.deviceJob(ctx, j, now)
	case slices.Contains([]wire.JobKind{wire.JobRenewCert, wire.JobUpdate, wire.JobRestart, wire.JobFactoryReset}, j.Kind):
		c.machineJob(ctx, j)
	default:
		c.refuse(j, fmt.Sprintf("this version does not know the command %q", clip(string(j.Kind), 40)))
	}
}

// deviceJob begins a job that goes to devices, once its configuration is here.
func (c *Collector) deviceJob(ctx context.Context, j wire.Job, now time.Time) {
	f := c.current()
	switch {
	case f == nil && c.main.wanted == 0:
		c.refuse(j, "this collector has no configuration yet: add devices first")
	case f == nil || f.ref.Version < c.main.wanted:
		c.main.held = append(c.main.held, heldJob{j, now.Add(holdJob)})
	case j.Kind == wire.JobProbe:
		c.startProbes(ctx, f, j)
	default:
		c.startJob(ctx, f, j)
	}
}

// wantedDevices lists the devices of a job: all where it names none.
func wantedDevices(f *fleet, j wire.Job) []string {
	if len(j.Devices) == 0 {
		return slices.Clone(f.order)
	}
	return slices.Compact(slices.Sorted(slices.Values(j.Devices)))
}

func anyKnown(f *fleet, ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		_, bad := f.bad[id]
		return bad || f.devices[id] != nil
	})
}

// startJob begins the run of a collect job.
func (c *Collector) startJob(ctx context.Context, f *fleet, j wire.Job) {
	ids := wantedDevices(f, j)
	if !anyKnown(f, ids) {
		c.refuse(j, noneKnown(ids))
		return
	}
	r := c.newRun(ctx, &run{id: j.Run, job: j.ID, total: len(ids), single: len(j.Devices) > 0 && len(ids) == 1,
		line: newQueue(orDefault(f.limits.Concurrency, DefaultConcurrency))})
	c.jobStatus(r.status(c, wire.JobAccepted))
	c.jobStatus(r.status(c, wire.JobRunning))
	c.start(ctx, r, ids...)
	r.seal()
}

func noneKnown(ids []string) string {
	if len(ids) == 0 {
		return "the configuration has no devices"
	}
	more := ""
	if len(ids) > 5 {
		more = fmt.Sprintf(" and %d more", len(ids)-5)
		ids = ids[:5]
	}
	return clip("none of these devices is in the configuration: "+strings.Join(ids, ", "), 500) + more
}

// runHeld gives the waiting jobs another try.
func (c *Collector) runHeld() {
	held := c.main.held
	c.main.held = nil
	for _, j := range held {
		c.Job(j.Job)
	}
}

// expireHeld refuses the jobs that have waited too long, and returns when the
// next one will have.
func (c *Collector) expireHeld(now time.Time) time.Time {
	var next time.Time
	c.main.held = slices.DeleteFunc(c.main.held, func(j heldJob) bool {
		if !now.Before(j.until) {
			c.refuse(j.Job, "the configuration that it was made for has not arrived")
			return true
		}
		if next.IsZero() || j.until.Before(next) {
			next = j.until
		}
		return false
	})
	return next
}

func (c *Collector) refuse(j wire.Job, why string) {
	s := wire.JobStatus{V: wire.Version, ID: j.ID, Collector: c.conf.Collector, Boot: c.conf.Boot,
		State: wire.JobRefused, Error: why}
	c.event(wire.EventJobRefused, "", clip(fmt.Sprintf("job %s (%s): %s", j.ID, j.Kind, why), 600))
	c.jobStatus(s)
}

// jobStatus sends a status, and remembers it for when the job comes again.
func (c *Collector) jobStatus(s wire.JobStatus) {
	c.main.jobs.note(s)
	c.conf.Uplink.SendJobStatus(s)
}
