package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lwc/transport/wire"
)

// Machine is what jobs reach beside devices. An error that is ErrNotHere says in
// words why a thing cannot be done here: nothing has been tried then.
type Machine interface {
	// RenewCertificate gets a new certificate, and returns when that runs out.
	RenewCertificate(context.Context) (time.Time, error)
	// Restart begins the end of this process and the start of another one, and
	// waits for the end. When that was done for this job before, it says so.
	Restart(ctx context.Context, job string) (result string, err error)
	// Update hands the job to the machine's updater, once in the life of a job, and
	// returns its result. It tells what the updater says of its progress.
	// Where a restart of the machine has to come first, it waits for that.
	Update(ctx context.Context, j wire.Job, progress func(words string)) (result string, err error)
	// FactoryReset has the machine forget its identity and its settings and start
	// anew, and waits for the end. It returns early only with an error.
	FactoryReset(ctx context.Context, j wire.Job, progress func(words string)) error
}

// ErrNotHere: a job cannot be carried out on this machine.
var ErrNotHere = errors.New("not possible here")

// The time-outs of jobs for the machine. The updater has one of its own, which is
// to end it first.
const (
	renewTimeout   = 5 * time.Minute
	restartTimeout = time.Minute
	updateTimeout  = 2 * time.Hour
	// maxReboot is how far ahead the start of an update may lie.
	maxReboot = 14 * 24 * time.Hour
)

// machineJobs are those under way.
type machineJobs struct {
	mu      sync.Mutex // guards running
	running map[wire.JobKind]string
}

// begin takes the place of a kind; its job is who holds it when that is taken.
// Nothing else begins while a restart or a reset is under way, nor one of these
// during an update.
func (m *machineJobs) begin(j wire.Job) (other string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind, id := range m.running {
		if kind == j.Kind || ends(kind) || kind == wire.JobUpdate && ends(j.Kind) {
			return fmt.Sprintf("%s %s", kind, id), false
		}
	}
	if m.running == nil {
		m.running = map[wire.JobKind]string{}
	}
	m.running[j.Kind] = j.ID
	return "", true
}

// ends tells whether a job of this kind ends the process.
func ends(k wire.JobKind) bool { return k == wire.JobRestart || k == wire.JobFactoryReset }

func (m *machineJobs) end(kind wire.JobKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, kind)
}

// machineJob begins a job that goes to no device. It ends by itself.
func (c *Collector) machineJob(ctx context.Context, j wire.Job) {
	if c.conf.Machine == nil {
		c.refuse(j, fmt.Sprintf("%s is not available here", j.Kind))
		return
	}
	if other, ok := c.machines.begin(j); !ok {
		c.refuse(j, fmt.Sprintf("the job %s is under way: wait for its end, then ask again", other))
		return
	}
	c.tellMachineJob(j, wire.JobAccepted, "")
	c.tasks.Go(func() {
		defer c.machines.end(j.Kind)
		c.carryOut(ctx, j)
	})
}

// carryOut does the work and tells how it ended. A job that the end of this
// process cuts off is not ended: the next boot gets it again.
func (c *Collector) carryOut(ctx context.Context, j wire.Job) {
	limit := machineTimeout(j, c.clock.now())
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	c.log.Info("job begun", "job", j.ID, "kind", j.Kind)
	result, err := c.onMachine(within, j)
	switch {
	case err == nil:
		c.log.Info("job done", "job", j.ID, "kind", j.Kind, "result", result)
		c.tellMachineJob(j, wire.JobDone, result)
	case errors.Is(err, ErrNotHere):
		c.refuse(j, clip(err.Error(), maxWords))
	case ctx.Err() != nil:
	default:
		if within.Err() != nil {
			err = context.Cause(within)
		}
		c.log.Error("a job failed", "job", j.ID, "kind", j.Kind, "error", err)
		s := c.machineStatus(j, wire.JobFailed)
		s.Error = clip(err.Error(), maxWords)
		c.jobStatus(s)
	}
}

// maxWords bounds what a job says.
const maxWords = 500

// machineTimeout is how long a job may take. An update waits for the time of its
// restart.
func machineTimeout(j wire.Job, now time.Time) time.Duration {
	switch j.Kind {
	case wire.JobRestart, wire.JobFactoryReset:
		return restartTimeout
	case wire.JobUpdate:
		if j.RebootAt.IsZero() {
			return updateTimeout
		}
		return updateTimeout + min(max(j.RebootAt.Sub(now), 0), maxReboot)
	}
	return renewTimeout
}

func (c *Collector) onMachine(ctx context.Context, j wire.Job) (string, error) {
	tell := func(words string) { c.tellMachineJob(j, wire.JobRunning, words) }
	switch j.Kind {
	case wire.JobRestart:
		tell("the collector half ends its sessions and starts anew")
		return c.conf.Machine.Restart(ctx, j.ID)
	case wire.JobUpdate:
		return c.conf.Machine.Update(ctx, j, tell)
	case wire.JobFactoryReset:
		return "", c.conf.Machine.FactoryReset(ctx, j, tell)
	}
	tell("asking the cloud for a new certificate")
	until, err := c.conf.Machine.RenewCertificate(ctx)
	if err != nil {
		return "", err
	}
	return "the new certificate is valid until " + until.UTC().Format(time.RFC3339), nil
}

func (c *Collector) machineStatus(j wire.Job, s wire.JobState) wire.JobStatus {
	return wire.JobStatus{V: wire.Version, ID: j.ID, Collector: c.conf.Collector, Boot: c.conf.Boot, State: s}
}

func (c *Collector) tellMachineJob(j wire.Job, s wire.JobState, words string) {
	status := c.machineStatus(j, s)
	status.Detail = clip(words, maxWords)
	c.jobStatus(status)
}
