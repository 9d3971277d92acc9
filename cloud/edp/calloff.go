package edp

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// JobCalledOff is the state of a job that an admin called off before its collector said
// anything of it. It never stands on the wire.
const JobCalledOff wire.JobState = "called-off"

// ByPolicy stands in the jobs that no person asked for.
const ByPolicy = "update policy"

// JobFilter chooses jobs.
type JobFilter struct {
	Collector string // empty: of all
	Over      bool   // also those that are over
	Limit     int    // 0 means 100
}

// isOpen is a condition on a job: it is neither finished nor expired in the queue, or it
// collects and says that it is done while its run waits for its manifest. Its parameters
// are $2 to $7: openStates.
const isOpen = `((state = $2 AND expires_at > $3) OR state IN ($4, $5)
	OR (state = $6 AND EXISTS (SELECT 1 FROM runs r WHERE r.id = jobs.run AND r.state = $7)))`

func openStates(now time.Time) []any {
	return []any{JobQueued, micros(now), wire.JobAccepted, wire.JobRunning, wire.JobDone, RunRunning}
}

// Jobs returns jobs, newest first.
func (s *Store) Jobs(ctx context.Context, f JobFilter) ([]Job, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	args := append([]any{f.Collector}, openStates(time.Now())...)
	list, err := all(ctx, s.read, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE ($1 = '' OR collector = $1)
		AND ($8 OR `+isOpen+`) ORDER BY id DESC LIMIT $9`, append(args, f.Over, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	return list, nil
}

// SendingJob notes that a job is about to be sent. It returns false when it must not be
// any more, since it was called off or is over. Whoever calls a job off after this is
// told that the collector may have it.
func (s *Store) SendingJob(ctx context.Context, id string) (bool, error) {
	n, err := exec(ctx, s.write, `UPDATE jobs SET sent_at = $1 WHERE id = $2 AND state IN ($3, $4, $5, $6)`,
		micros(time.Now()), id, JobQueued, wire.JobAccepted, wire.JobRunning, wire.JobDone)
	if err != nil {
		return false, fmt.Errorf("noting that job %.40q is sent: %w", id, err)
	}
	return n > 0, nil
}

// CallOffJob ends a job that its collector has said nothing of, so that it is not sent
// any more. One that was sent before may be carried out all the same: its Error says so,
// and what the collector says of it counts. ErrConflict says that it is too late.
func (s *Store) CallOffJob(ctx context.Context, id, by string) (Job, error) {
	var j Job
	err := s.tx(ctx, func(t *sql.Tx) (err error) {
		j, err = one(ctx, t, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id)
		if err == nil {
			err = tooLate(j)
		}
		if err == nil {
			j, err = callOff(ctx, t, j, by)
		}
		return err
	})
	if err != nil {
		return Job{}, fmt.Errorf("calling off job %.40q: %w", id, err)
	}
	return j, nil
}

// tooLate is why a job cannot be called off.
func tooLate(j Job) error {
	switch {
	case j.State == JobQueued:
		return nil
	case j.State == JobCalledOff:
		return fmt.Errorf("it is over: %s: %w", j.Error, ErrConflict)
	case over(j.State):
		return fmt.Errorf("too late: the %s is over, it is %s: %w", j.Kind, j.State, ErrConflict)
	}
	return fmt.Errorf("too late: the collector has taken the %s, it is %s; what a collector has taken is not called back: %w", j.Kind, j.State, ErrConflict)
}

func callOff(ctx context.Context, t *sql.Tx, j Job, by string) (Job, error) {
	j.State, j.Finished = JobCalledOff, time.Now().UTC()
	j.Error = "it was called off by " + whom(by)
	if !j.Sent.IsZero() {
		j.Error += ", but it had been sent at " + j.Sent.UTC().Format("2006-01-02 15:04:05 UTC") +
			", and the collector may have it: what it says of it still counts"
	}
	if j.By == ByPolicy {
		j.Error += "; the policy of updates asks for it again, unless policy or approval are changed"
	}
	_, err := exec(ctx, t, `UPDATE jobs SET state = $1, error = $2, finished_at = $3 WHERE id = $4`, j.State, j.Error, micros(j.Finished), j.ID)
	if err == nil && j.Run != "" {
		_, err = exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2, reason = $3 WHERE id = $4 AND state = $5`,
			RunInterrupted, micros(j.Finished), calledOff, j.Run, RunRunning)
	}
	return j, told(ctx, t, err, EventJobCalledOff, j.Collector, "%s (job %s, asked for by %s): %s", j.Kind, j.ID, whom(j.By), j.Error)
}

// calledOff is the reason of a run whose job was called off.
const calledOff = "its job was called off"

// takenAfterAll opens a job again that was called off while its collector had it, and
// tells of it: what a box does counts more than what was wished.
func takenAfterAll(ctx context.Context, t *sql.Tx, j Job, st wire.JobStatus) error {
	if j.Run != "" {
		if _, err := exec(ctx, t, `UPDATE runs SET state = $1, finished_at = 0, reason = '' WHERE id = $2 AND state = $3 AND reason = $4`,
			RunRunning, j.Run, RunInterrupted, calledOff); err != nil {
			return err
		}
	}
	return told(ctx, t, nil, EventJobCalledOff, j.Collector, "%s (job %s): the collector had it when it was called off, and says that it is %s", j.Kind, j.ID, st.State)
}

// noOtherReset refuses a second factory reset of a box while one waits or is under way.
func noOtherReset(ctx context.Context, t *sql.Tx, j *Job) error {
	open, err := all(ctx, t, scanJob, `SELECT `+jobColumns+` FROM jobs WHERE collector = $1 AND `+isOpen+` AND kind = $8 LIMIT 1`,
		append(append([]any{j.Collector}, openStates(j.Created)...), wire.JobFactoryReset)...)
	if err != nil || len(open) == 0 {
		return err
	}
	if o := open[0]; o.State == JobQueued {
		return fmt.Errorf("the factory reset %s waits for the box until %s, asked for by %s: let it come, or call it off with lwc-cloud job call-off %s: %w",
			o.ID, o.Expires.UTC().Format("2006-01-02 15:04:05 UTC"), whom(o.By), o.ID, ErrConflict)
	}
	return fmt.Errorf("the factory reset %s is under way, asked for by %s: %w", open[0].ID, whom(open[0].By), ErrConflict)
}
