package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/rollout/conductor"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// quietBeats is how many heartbeats a job under way may be silent for: then its last
// word may be lost, and the collector is asked for it.
const quietBeats = 4

// jobDue tells whether a job is to be sent: it is new to this boot, was not taken, or
// nothing is said of it any more.
func (l *line) jobDue(j edp.Job) bool {
	s, sent := l.sent.jobs[j.ID]
	switch {
	case !sent:
		return true
	case j.State == edp.JobQueued:
		return time.Since(s.at) >= resendAfter
	case j.State == wire.JobDone: // it waits for its manifest, which comes by itself
		return false
	}
	return time.Since(s.word) >= quietBeats*l.hub.cfg.Heartbeat
}

// sendJobs sends the open jobs that this boot does not have, or says nothing of. A
// collector that gets a job twice in one boot answers with its state.
func (l *line) sendJobs(ctx context.Context) error {
	jobs, err := l.hub.cfg.Store.OpenJobs(ctx, l.id)
	if err != nil {
		return fmt.Errorf("reading the open jobs: %w", err)
	}
	for _, j := range jobs {
		if !l.jobDue(j) {
			continue
		}
		if err := l.sendJob(ctx, j); err != nil {
			return fmt.Errorf("job %s: %w", j.ID, err)
		}
		l.sent.jobs[j.ID] = sentJob{time.Now(), time.Now()}
	}
	return nil
}

// sendJob sends one job. Of a collection only what is left of it is asked for:
// an earlier boot may have done the rest.
func (l *line) sendJob(ctx context.Context, j edp.Job) error {
	out := wire.Job{V: wire.Version, ID: j.ID, Collector: l.id, Boot: l.entry.Boot, Kind: j.Kind,
		Expires: expiryOf(j, time.Now()), Run: j.Run, Devices: j.Devices, Release: j.Release, Source: j.Source, RebootAt: j.RebootAt, RebootBefore: closeOf(j)}
	left, err := l.remaining(ctx, j)
	if err != nil {
		return err
	}
	if (j.Kind == wire.JobCollect || j.Kind == wire.JobProbe) && len(left) == 0 { // none stands for all in a job
		return l.finished(ctx, j)
	}
	if j.State == edp.JobQueued { // what was not taken may be called off until now
		if due, err := l.hub.cfg.Store.SendingJob(ctx, j.ID); err != nil || !due {
			return err
		}
	}
	for _, part := range jobParts(out, left) {
		if err := l.hub.send(ctx, l.id, wire.KindJob, part); err != nil {
			return err
		}
	}
	l.hub.log.Info("job sent", "collector", l.id, "job", j.ID, "kind", j.Kind, "devices", len(left))
	return nil
}

// resultLife is how long a box that started anew may take to tell how an update ended.
const resultLife = 2 * time.Hour

// expiryOf is until when a box minds a job. The end of an update comes after the start
// of what was installed, maybe days after it was begun; what is sent again then asks
// for its result.
func expiryOf(j edp.Job, now time.Time) time.Time {
	until := j.Expires
	if j.Kind != wire.JobUpdate {
		return until
	}
	if late := j.RebootAt.Add(resultLife); late.After(until) {
		until = late
	}
	if late := now.Add(resultLife); j.State != edp.JobQueued && late.After(until) {
		until = late
	}
	return until.UTC()
}

// closeOf is until when a box installs what it was sent: an update that the policy asks
// for lapses with its window (edp.Job.Expires), one by hand is whenever it comes.
func closeOf(j edp.Job) time.Time {
	if j.Kind != wire.JobUpdate || j.By != conductor.By {
		return time.Time{}
	}
	return j.Expires
}

// maxNames bounds the names of devices in one message of a job, in bytes of JSON:
// signed, in base64, the message must stay below the least cap of public brokers,
// as frames do.
const maxNames = 60 << 10

// jobParts makes the messages of a job that names these devices.
func jobParts(j wire.Job, devices []string) []wire.Job {
	var out []wire.Job
	for len(out) == 0 || len(devices) > 0 {
		n := namesThatFit(devices)
		j.Devices, j.Part = devices[:n], len(out)
		out, devices = append(out, j), devices[n:]
	}
	if len(out) > 1 {
		for i := range out {
			out[i].Parts = len(out)
		}
	}
	return out
}

// namesThatFit is how many of the first devices a message names, at least one.
func namesThatFit(devices []string) int {
	size := 0
	for i, d := range devices {
		if size += 2*len(d) + len(`"",`); size > maxNames && i > 0 { // some characters are escaped
			return i
		}
	}
	return len(devices)
}

// remaining returns the devices that a job still has to ask for.
func (l *line) remaining(ctx context.Context, j edp.Job) ([]string, error) {
	switch j.Kind {
	case wire.JobCollect:
		return l.hub.cfg.Store.RemainingDevices(ctx, j.Run)
	case wire.JobProbe:
		return l.hub.cfg.Store.RemainingProbes(ctx, j.ID)
	}
	return j.Devices, nil
}

// finished ends a job that a boot carried out to the end without saying so.
func (l *line) finished(ctx context.Context, j edp.Job) error {
	return l.hub.cfg.Store.SawJobStatus(ctx, wire.JobStatus{V: wire.Version, ID: j.ID, Collector: l.id,
		Boot: l.entry.Boot, State: wire.JobDone, Done: j.Total, Total: j.Total})
}

// jobStatus records progress, and the device that just finished. The store
// refuses a job of another collector.
func (l *line) jobStatus(ctx context.Context, payload []byte) error {
	var s wire.JobStatus
	if err := wire.Verify(wire.KindJob, payload, l.key, &s); err != nil {
		return err
	}
	if err := l.current(ctx, s.Collector, s.Boot); err != nil {
		return fmt.Errorf("reading the state of a job: %w", err)
	}
	l.heard = time.Now()
	if !slices.Contains(jobStates(), s.State) { // it would neither end nor expire
		return fmt.Errorf("reading the state of a job: %.40q is none", s.State)
	}
	s.Error, s.Detail = tidy.Text(s.Error, tidy.MaxText), tidy.Text(s.Detail, tidy.MaxText)
	if s.Device != nil {
		tidy.Result(s.Device)
	}
	if s.Probe != nil {
		tidy.Probe(s.Probe)
	}
	if sent, ok := l.sent.jobs[s.ID]; ok {
		sent.word = l.heard
		l.sent.jobs[s.ID] = sent
	}
	return l.hub.cfg.Store.SawJobStatus(ctx, s)
}

func jobStates() []wire.JobState {
	return []wire.JobState{wire.JobAccepted, wire.JobRunning, wire.JobDone, wire.JobFailed, wire.JobRefused}
}
