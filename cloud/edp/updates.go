package edp

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"lwc/cloud/rollout"
	"lwc/image/release"
	"lwc/transport/wire"
)

// The kinds of events that tell how updates ended.
const (
	EventUpdated      = "updated"
	EventUpdateFailed = "update-failed"
)

// settingUpdates names the policy of collectors that have none of their own.
const settingUpdates = "updates"

// UpdatePolicy returns the policy of collectors that have none of their own.
func (s *Store) UpdatePolicy(ctx context.Context) (rollout.Policy, error) {
	p, err := updatePolicy(ctx, s.read)
	if err != nil {
		return rollout.Policy{}, fmt.Errorf("reading the policy of updates: %w", err)
	}
	return p, nil
}

func updatePolicy(ctx context.Context, q querier) (rollout.Policy, error) {
	text, err := one(ctx, q, scanString, `SELECT value FROM settings WHERE name = $1`, settingUpdates)
	if errors.Is(err, ErrNotFound) {
		return rollout.Default(), nil
	}
	var p rollout.Policy
	if err == nil {
		err = json.Unmarshal([]byte(text), &p)
	}
	return p, err
}

// SetUpdatePolicy changes the policy of collectors that have none of their own; the
// zero value brings back the one that is built in. ErrInvalid names what is wrong.
func (s *Store) SetUpdatePolicy(ctx context.Context, p rollout.Policy, by string) error {
	for _, wrong := range p.Check() {
		return fmt.Errorf("%s: %s: %w", wrong.Field, wrong.Text, ErrInvalid)
	}
	err := s.tx(ctx, func(t *sql.Tx) error { return setUpdatePolicy(ctx, t, p, by) })
	if err != nil {
		return fmt.Errorf("changing the policy of updates: %w", err)
	}
	return nil
}

func setUpdatePolicy(ctx context.Context, t *sql.Tx, p rollout.Policy, by string) error {
	old, err := updatePolicy(ctx, t)
	if err != nil {
		return err
	}
	if p.IsZero() {
		_, err = exec(ctx, t, `DELETE FROM settings WHERE name = $1`, settingUpdates)
		p = rollout.Default()
	} else {
		err = putSetting(ctx, t, settingUpdates, p)
	}
	if err != nil || reflect.DeepEqual(old, p) {
		return err
	}
	return told(ctx, t, nil, EventPolicyChanged, "", "the default of when boxes may change their release was changed by %s: %s; it was: %s", whom(by), p, old)
}

// BoxRow is the box of a collector with what the planner of updates has to know.
type BoxRow struct {
	rollout.Box
	State     CollectorState
	Hello     wire.Box // as it says itself; but a trial ends
	Firmware  string
	LastSeen  time.Time
	OwnPolicy bool // its policy is its own, and not the default
	Job       *Job // its newest update; nil: none
}

// rolledBack stands in the words of an updater whose box went back to the release
// before (docs/lwcd.md).
const rolledBack = "rolled back to "

// windowClosed stands in the words of a box that could not begin in its window: the
// release has done nothing wrong.
const windowClosed = "the window closed while the release was loading"

// failuresFor is how long a failed update counts against a release on a box.
const failuresFor = 90 * 24 * time.Hour

// Boxes returns the boxes of all collectors that are not revoked, by id, and the
// releases that they may have, all as of one moment.
func (s *Store) Boxes(ctx context.Context) ([]BoxRow, []rollout.Release, error) {
	var boxes []BoxRow
	var list []Release
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		boxes, list, err = loadUpdates(ctx, t)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the boxes: %w", err)
	}
	var published []rollout.Release
	for _, r := range list {
		if r.State == ReleasePublished {
			published = append(published, r.Plan())
		}
	}
	return boxes, published, nil
}

// loadUpdates returns all boxes with what their updates tell, and all releases, the
// newest first.
func loadUpdates(ctx context.Context, q querier) ([]BoxRow, []Release, error) {
	list, err := loadReleases(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	boxes, err := loadBoxes(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	since := map[string]time.Time{}
	for _, r := range list {
		since[r.Version] = r.PublishedAt
		if r.State == ReleasePublished {
			approve(boxes, r)
		}
	}
	return boxes, list, enterJobs(ctx, q, boxes, since)
}

// waveOf counts how far a release has come.
func waveOf(now time.Time, r Release, rows []BoxRow) rollout.Wave {
	return rollout.WaveOf(now, r.Plan(), planOf(rows))
}

// planOf is what the planner of updates has to know of the boxes.
func planOf(rows []BoxRow) []rollout.Box {
	boxes := make([]rollout.Box, len(rows))
	for i, b := range rows {
		boxes[i] = b.Box
	}
	return boxes
}

func loadBoxes(ctx context.Context, q querier) ([]BoxRow, error) {
	standard, err := updatePolicy(ctx, q)
	if err != nil {
		return nil, err
	}
	decided := time.Now().Add(-trialLife)
	return all(ctx, q, func(r row) (b BoxRow, err error) {
		var hello time.Time
		err = r.Scan(&b.Collector, &b.State, &b.Firmware, &b.Online, moment{&b.LastSeen}, moment{&b.Heard}, jsonColumn{&b.Hello}, jsonColumn{&b.Policy}, moment{&hello})
		if b.Online && hello.Before(decided) {
			b.Hello.Trial = false
		}
		b.Running, b.Trial, b.OwnPolicy, b.Unseen = b.Hello.Image, b.Hello.Trial, !b.Policy.IsZero(), b.LastSeen.IsZero()
		if !b.OwnPolicy {
			b.Policy = standard
		}
		return b, err
	}, `SELECT id, state, firmware, online, last_seen, max(last_seen, missed_at, lost_at), box, updates,
		coalesce((SELECT b.seen_at FROM boots b WHERE b.collector = collectors.id AND b.boot = collectors.boot), 0)
		FROM collectors WHERE state <> $1 ORDER BY id`, CollectorRevoked)
}

// trialLife is far more than the minutes in which a box decides on a release that is on
// trial: one that is there for so long has found it good, and says so in its next hello
// only.
const trialLife = time.Hour

// approve enters a release with those that it was approved for.
func approve(boxes []BoxRow, r Release) {
	for _, a := range r.Approvals {
		for i := range boxes {
			if a.Collector == "" || a.Collector == boxes[i].Collector {
				boxes[i].Approved = append(boxes[i].Approved, r.Version)
			}
		}
	}
}

// enterJobs fills in what the update jobs tell: the newest, one under way, and the
// failures. One that no box ever began is none of the release's failures, nor is one
// from before the release was published (since), which a withdrawal brought about; but
// where it was rolled back it is not tried again.
func enterJobs(ctx context.Context, q querier, boxes []BoxRow, since map[string]time.Time) error {
	at := map[string]*BoxRow{}
	for i := range boxes {
		at[boxes[i].Collector] = &boxes[i]
	}
	type entry struct {
		Job
		taken bool
	}
	down, err := outages(ctx, q)
	if err != nil {
		return err
	}
	jobs, err := all(ctx, q, func(r row) (e entry, err error) {
		e.Job, err = scanJob(alsoBool{r, &e.taken})
		return e, err
	}, `SELECT `+jobColumns+`, taken FROM jobs WHERE kind = 'update' AND created_at > $1 ORDER BY id`, micros(time.Now().Add(-failuresFor)))
	if err != nil {
		return err
	}
	for _, e := range jobs {
		b := at[e.Collector]
		if b == nil {
			continue
		}
		job := e.Job
		b.Job = &job
		switch {
		case !over(job.State):
			b.Busy, b.Begun, b.Heard = busyWith(job), e.taken, later(b.Heard, job.Created, job.RebootAt)
			b.Deaf = rollout.Deaf(b.Heard, down)
		case job.State != wire.JobDone && e.taken && !strings.Contains(job.Error, windowClosed):
			f := failureOf(*b, job, down)
			if f.RolledBack || !f.At.Before(since[f.Version]) {
				b.Failures = append(b.Failures, f)
			}
		}
	}
	return nil
}

// failureOf is what an update that failed tells of the box and the release.
func failureOf(b BoxRow, j Job, down []rollout.Outage) rollout.Failure {
	f := rollout.Failure{Version: j.Release, At: j.Finished, RolledBack: strings.Contains(j.Error, rolledBack)}
	if strings.Contains(j.Error, neverFinished) && !b.Online && !b.Heard.After(j.Finished) {
		f.Silent = later(b.Heard, j.Created, j.RebootAt)
		f.Silent = f.Silent.Add(rollout.Deaf(f.Silent, down))
	}
	return f
}

func later(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// busyWith names what a box is at: without a version, its updater's own.
func busyWith(j Job) string {
	if j.Release == "" {
		return "the newest"
	}
	return j.Release
}

// alsoBool scans one more column after those of another scan.
type alsoBool struct {
	row
	last *bool
}

// Scan implements row.
func (a alsoBool) Scan(dest ...any) error { return a.row.Scan(append(dest, a.last)...) }

// chooseRelease checks an update before it is made. Where the box runs the appliance
// and no source is given, the release is one that is published; none means the newest
// that the box can go to and that is not held back.
func chooseRelease(ctx context.Context, t *sql.Tx, j *Job) error {
	open, err := one(ctx, t, scanString, `SELECT id FROM jobs WHERE collector = $1 AND kind = 'update'
		AND (state IN ($2, $3) OR (state = $4 AND expires_at > $5)) LIMIT 1`,
		j.Collector, wire.JobAccepted, wire.JobRunning, JobQueued, micros(j.Created))
	if err == nil {
		return fmt.Errorf("the update %s is under way: %w", open, ErrConflict)
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	box, err := one(ctx, t, func(r row) (b wire.Box, err error) { return b, r.Scan(jsonColumn{&b}) },
		`SELECT box FROM collectors WHERE id = $1`, j.Collector)
	if err != nil || j.Source != "" || release.CheckVersion(box.Image) != nil {
		return err
	}
	c := choice{running: box.Image, wanted: j.Release, now: j.Created}
	if c.wanted != "" { // one that is asked for by its name is not judged by other boxes
		c.list, err = loadReleases(ctx, t)
	} else {
		c.boxes, c.list, err = loadUpdates(ctx, t)
	}
	if err != nil {
		return err
	}
	j.Release, j.Detail, err = c.pick()
	return err
}

// tellUpdate keeps the event of an update that ended, and that a release which was
// done is no trial any more: the box says so in its next hello only.
func tellUpdate(ctx context.Context, t *sql.Tx, j Job, st wire.JobStatus, now time.Time) error {
	e := wire.Event{V: wire.Version, Collector: j.Collector, Boot: st.Boot, Time: now.UTC(), Kind: EventUpdated,
		Text: "the update to " + busyWith(j) + " is done"}
	if st.State != wire.JobDone {
		e.Kind, e.Text = EventUpdateFailed, "the update to "+busyWith(j)+" did not succeed: "+st.Error
		return addEvent(ctx, t, e)
	}
	_, err := exec(ctx, t, `UPDATE collectors SET box = json_remove(box, '$.trial')
		WHERE id = $1 AND json_extract(box, '$.image') = $2`, j.Collector, j.Release)
	if err != nil {
		return err
	}
	return addEvent(ctx, t, e)
}

// resetPatience is how long a box that said that it forgets all is not heard before
// that is believed.
const resetPatience = 5 * time.Minute

// endResets ends the factory resets of boxes that said they begin and are gone, once
// somebody has listened for that long.
func endResets(ctx context.Context, t *sql.Tx, now time.Time) error {
	listening, err := listeningSince(ctx, t)
	if err != nil || now.Sub(listening) <= resetPatience {
		return err
	}
	done, err := all(ctx, t, scanJob, `UPDATE jobs SET state = $1, finished_at = $2,
		detail = 'the box said that it forgets all, and is gone: revoke it, or make a token that is bound to its id'
		WHERE kind = $3 AND state = $4 AND EXISTS (SELECT 1 FROM collectors c WHERE c.id = jobs.collector
			AND c.online = 0 AND c.last_seen > 0 AND c.last_seen < $5) RETURNING `+jobColumns,
		wire.JobDone, micros(now), wire.JobFactoryReset, wire.JobRunning, micros(now.Add(-resetPatience)))
	return tellResets(ctx, t, err, done)
}

// endResetsBefore ends the factory resets of a collector that enrols with another key:
// the box that has that one is new, and must not be told to forget all again.
func endResetsBefore(ctx context.Context, t *sql.Tx, e Enrolment) error {
	ended, err := all(ctx, t, scanJob, `UPDATE jobs SET finished_at = $1,
		state = CASE state WHEN $2 THEN $3 ELSE $4 END,
		detail = CASE state WHEN $2 THEN 'the box forgot all, and enrolled anew' ELSE detail END,
		error = CASE state WHEN $2 THEN '' ELSE 'another box enrolled under this id: ask again if that one is to forget all' END
		WHERE kind = $5 AND collector = $6 AND state IN ($2, $7, $8)
			AND EXISTS (SELECT 1 FROM collectors c WHERE c.id = jobs.collector AND c.spki <> $9) RETURNING `+jobColumns,
		micros(time.Now()), wire.JobRunning, wire.JobDone, wire.JobFailed,
		wire.JobFactoryReset, e.Collector, JobQueued, wire.JobAccepted, e.SPKI)
	return tellResets(ctx, t, err, ended)
}

// tellResets keeps the event of each factory reset that ended.
func tellResets(ctx context.Context, t *sql.Tx, err error, list []Job) error {
	for i := 0; i < len(list) && err == nil; i++ {
		j := list[i]
		err = told(ctx, t, nil, EventFactoryReset, j.Collector, "the factory reset that %s asked for (job %s) is %s: %s", whom(j.By), j.ID, j.State, cmp.Or(j.Error, j.Detail))
	}
	return err
}
