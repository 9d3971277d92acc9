package edp

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"lwc/transport/wire"
)

// jobLife is how long a job waits for its collector unless its maker says
// otherwise.
const jobLife = 24 * time.Hour

// CreateJob makes a job. One that collects gets its run, and the run what is
// expected of it: each item of each device's profile, as the fleet is now.
// ErrNotFound says that the collector or a device is not known, ErrConflict that
// there is nothing to do it with.
func (s *Store) CreateJob(ctx context.Context, n NewJob) (Job, error) {
	var j Job
	err := s.tx(ctx, func(t *sql.Tx) (err error) {
		j, err = createJob(ctx, t, n, time.Now())
		return err
	})
	if err != nil {
		return Job{}, fmt.Errorf("making the job %s for collector %.80q: %w", n.Kind, n.Collector, err)
	}
	return j, nil
}

func createJob(ctx context.Context, t *sql.Tx, n NewJob, now time.Time) (Job, error) {
	if n.TTL <= 0 {
		n.TTL = jobLife
	}
	if !slices.Contains(wire.JobKinds(), n.Kind) {
		return Job{}, fmt.Errorf("there is no such kind: %w", ErrInvalid)
	}
	state, err := one(ctx, t, scanString, `SELECT state FROM collectors WHERE id = $1`, n.Collector)
	if err != nil {
		return Job{}, err
	}
	if CollectorState(state) == CollectorRevoked {
		return Job{}, fmt.Errorf("the collector is revoked: %w", ErrConflict)
	}
	j := Job{ID: wire.NewID(), Collector: n.Collector, Kind: n.Kind, By: n.By, State: JobQueued,
		Devices: n.Devices, Created: now.UTC(), Expires: now.Add(n.TTL).UTC(), Release: n.Release, Source: n.Source, RebootAt: n.RebootAt.UTC()}
	switch n.Kind {
	case wire.JobCollect:
		err = createRun(ctx, t, &j)
	case wire.JobProbe:
		err = chooseDevices(ctx, t, &j)
	case wire.JobUpdate:
		err = chooseRelease(ctx, t, &j)
	case wire.JobFactoryReset:
		err = noOtherReset(ctx, t, &j)
	}
	if err != nil {
		return Job{}, err
	}
	devices, err := asJSON(j.Devices)
	if err != nil {
		return Job{}, err
	}
	_, err = exec(ctx, t, `INSERT INTO jobs (id, collector, kind, run, devices, asked_by, state, total, created_at, expires_at, release, source, reboot_at, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, j.ID, j.Collector, j.Kind, j.Run, devices,
		j.By, j.State, j.Total, micros(j.Created), micros(j.Expires), j.Release, j.Source, micros(j.RebootAt), j.Detail)
	if j.Kind == wire.JobFactoryReset {
		err = told(ctx, t, err, EventFactoryReset, j.Collector, "a factory reset was asked for by %s (job %s)", whom(j.By), j.ID)
	}
	return j, err
}

// createRun makes the run of a collect job and fills in the job's devices.
func createRun(ctx context.Context, t *sql.Tx, j *Job) error {
	f, err := loadFleet(ctx, t, j.Collector)
	if err != nil {
		return err
	}
	devices, err := f.choose(j.Devices)
	if err != nil {
		return err
	}
	j.Run, j.Devices, j.Total = wire.NewID(), nil, len(devices)
	_, err = exec(ctx, t, `INSERT INTO runs (id, collector, job, kind, state, boot, started_at) VALUES ($1, $2, $3, $4, $5, '', $6)`,
		j.Run, j.Collector, j.ID, RunDemand, RunRunning, micros(j.Created))
	if err != nil {
		return err
	}
	for _, d := range devices {
		j.Devices = append(j.Devices, d.ID)
		for _, item := range f.items(d.Profile) {
			if _, err := exec(ctx, t, `INSERT INTO run_items (run, device, item, status) VALUES ($1, $2, $3, 'expected')`,
				j.Run, d.ID, item); err != nil {
				return err
			}
		}
	}
	return recount(ctx, t, j.Run)
}

// choose returns the devices with these ids, or all when none is given.
func (f Fleet) choose(ids []string) ([]Device, error) {
	if len(f.Devices) == 0 {
		return nil, fmt.Errorf("its fleet has no devices: add some with lwc-cloud apply or in the portal: %w", ErrConflict)
	}
	if len(ids) == 0 {
		return f.Devices, nil
	}
	var out []Device
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		i := slices.IndexFunc(f.Devices, func(d Device) bool { return d.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("its fleet has no device %.80q: %w", id, ErrNotFound)
		}
		out = append(out, f.Devices[i])
	}
	return out, nil
}

const jobColumns = `id, collector, kind, run, devices, asked_by, state, error, done, total, created_at, expires_at, finished_at, release, source, detail, reboot_at, sent_at`

func scanJob(r row) (j Job, err error) {
	return j, r.Scan(&j.ID, &j.Collector, &j.Kind, &j.Run, jsonColumn{&j.Devices}, &j.By, &j.State, &j.Error,
		&j.Done, &j.Total, moment{&j.Created}, moment{&j.Expires}, moment{&j.Finished},
		&j.Release, &j.Source, &j.Detail, moment{&j.RebootAt}, moment{&j.Sent})
}

// Job returns one job.
func (s *Store) Job(ctx context.Context, id string) (Job, error) {
	j, err := one(ctx, s.read, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id)
	if err != nil {
		return Job{}, fmt.Errorf("reading job %.40q: %w", id, err)
	}
	return j, nil
}

// OpenJobs returns what a collector still has to do, oldest first: jobs that are
// neither finished nor expired in the queue, and collect jobs that say they are
// done while their run waits for its manifest.
func (s *Store) OpenJobs(ctx context.Context, collector string) ([]Job, error) {
	list, err := all(ctx, s.read, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE collector = $1 AND `+isOpen+` ORDER BY id`,
		append([]any{collector}, openStates(time.Now())...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the jobs of collector %.80q: %w", collector, err)
	}
	return list, nil
}

// SawJobStatus notes the progress of a job, and the result of the device that
// just finished. A finished job does not change any more, but for one that was called
// off when it had been sent. ErrNotFound says that the collector has no such job.
func (s *Store) SawJobStatus(ctx context.Context, st wire.JobStatus) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		j, err := one(ctx, t, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE id = $1 AND collector = $2`, st.ID, st.Collector)
		if err != nil {
			return err
		}
		now := time.Now()
		if st.Probe != nil && j.Kind == wire.JobProbe {
			if err := putProbe(ctx, t, j, now, *st.Probe); err != nil {
				return err
			}
		}
		if st.Device != nil && j.Run != "" {
			if err := setResult(ctx, t, st.Collector, j.Run, now, *st.Device); err != nil {
				return err
			}
		}
		if over(j.State) {
			if j.State != JobCalledOff || j.Sent.IsZero() {
				return nil
			}
			if err := takenAfterAll(ctx, t, j, st); err != nil {
				return err
			}
		}
		return advance(ctx, t, j, st, now)
	})
	if err != nil {
		return fmt.Errorf("noting the status of job %.40q: %w", st.ID, err)
	}
	return nil
}

func over(s wire.JobState) bool {
	return s == wire.JobDone || s == wire.JobFailed || s == wire.JobRefused || s == JobCalledOff
}

func advance(ctx context.Context, t *sql.Tx, j Job, st wire.JobStatus, now time.Time) error {
	var finished time.Time
	if over(st.State) {
		finished = now
	}
	_, err := exec(ctx, t, `UPDATE jobs SET state = $1, error = $2, done = $3, total = $4, finished_at = $5,
		detail = CASE WHEN $6 = '' THEN detail ELSE $6 END, taken = 1 WHERE id = $7`,
		st.State, st.Error, max(st.Done, 0), max(st.Total, 0), micros(finished), st.Detail, j.ID)
	if err == nil && j.Kind == wire.JobUpdate && over(st.State) {
		err = tellUpdate(ctx, t, j, st, now)
	}
	if err != nil || j.Run == "" || (st.State != wire.JobFailed && st.State != wire.JobRefused) {
		return err
	}
	_, err = exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2 WHERE id = $3 AND state = $4`,
		RunFailed, micros(now), j.Run, RunRunning)
	return err
}

// finishJobOf closes the job of a run that is complete.
func finishJobOf(ctx context.Context, t querier, run string) error {
	_, err := exec(ctx, t, `UPDATE jobs SET state = $1, done = total, finished_at = $2 WHERE run = $3 AND state IN ($4, $5, $6)`,
		wire.JobDone, micros(time.Now()), run, JobQueued, wire.JobAccepted, wire.JobRunning)
	return err
}

// Sweep forgets what has expired: sessions, links, tokens, jobs that no
// collector took, diagnoses of devices that are gone, documents that never became
// whole, and scheduled runs that nobody ended. The serving process calls it now and then.
func (s *Store) Sweep(ctx context.Context) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		now := micros(time.Now())
		for _, q := range []string{
			`DELETE FROM sessions WHERE expires_at <= $1`,
			`DELETE FROM links WHERE expires_at <= $1`,
			`DELETE FROM api_tokens WHERE expires_at > 0 AND expires_at <= $1`,
		} {
			if _, err := exec(ctx, t, q, now); err != nil {
				return err
			}
		}
		// Its holder is told for a month that the token expired, not that it is unknown.
		old := micros(time.Now().Add(-30 * 24 * time.Hour))
		if _, err := exec(ctx, t, `DELETE FROM enrol_tokens WHERE expires_at <= $1`, old); err != nil {
			return err
		}
		// A device that left its fleet may come back; its diagnoses are no use by then.
		if err := forgetGone(ctx, t, old); err != nil {
			return err
		}
		if err := forgetUnfinished(ctx, t, time.Now()); err != nil {
			return err
		}
		if err := endStale(ctx, t, time.Now()); err != nil {
			return err
		}
		if err := endResets(ctx, t, time.Now()); err != nil {
			return err
		}
		return expireJobs(ctx, t, time.Now())
	})
	if err != nil {
		return fmt.Errorf("sweeping out what has expired: %w", err)
	}
	return nil
}

// unfinished is how long after its expiry, and after the start that an update waits
// for, a job that a collector has taken may still come to its end: the box may be
// without its cloud for a day.
const unfinished = 24 * time.Hour

// neverFinished stands in the words of a job that ends so: its collector never said how
// it went.
const neverFinished = "the collector took it and did not finish"

func expireJobs(ctx context.Context, t *sql.Tx, now time.Time) error {
	jobs, err := all(ctx, t, scanJob, `UPDATE jobs SET state = $1, error = $2, finished_at = $3
		WHERE state = $4 AND expires_at <= $3 RETURNING `+jobColumns,
		wire.JobFailed, "it expired before the collector took it: is the collector online?", micros(now), JobQueued)
	if err != nil {
		return err
	}
	stale, err := all(ctx, t, scanJob, `UPDATE jobs SET state = $1, error = $2, finished_at = $3
		WHERE max(expires_at, reboot_at) <= $4 AND (state IN ($5, $6)
			OR (state = $7 AND EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run AND r.state = $8))) RETURNING `+jobColumns,
		wire.JobFailed, neverFinished+": is the collector online?", micros(now), micros(now.Add(-unfinished)),
		wire.JobAccepted, wire.JobRunning, wire.JobDone, RunRunning)
	for i := 0; i < len(stale) && err == nil; i++ {
		if j := stale[i]; j.Kind == wire.JobUpdate {
			err = tellUpdate(ctx, t, j, wire.JobStatus{State: j.State, Error: j.Error}, now)
		}
	}
	jobs = append(jobs, stale...)
	for i := 0; i < len(jobs) && err == nil; i++ {
		_, err = exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2 WHERE id = $3 AND state = $4`,
			RunInterrupted, micros(now), jobs[i].Run, RunRunning)
	}
	return err
}

// abandon ends the jobs and runs that a revoked collector left open.
func abandon(ctx context.Context, t *sql.Tx, collector string) error {
	now := micros(time.Now())
	_, err := exec(ctx, t, `UPDATE jobs SET state = $1, error = $2, finished_at = $3
		WHERE collector = $4 AND (state IN ($5, $6, $7)
			OR (state = $8 AND EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run AND r.state = $9)))`,
		wire.JobFailed, "the collector was revoked", now, collector,
		JobQueued, wire.JobAccepted, wire.JobRunning, wire.JobDone, RunRunning)
	if err == nil {
		_, err = exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2 WHERE collector = $3 AND state = $4`,
			RunInterrupted, now, collector, RunRunning)
	}
	if err == nil { // nobody is there any more who has their bodies
		_, err = exec(ctx, t, `DELETE FROM held WHERE collector = $1`, collector)
	}
	return err
}
