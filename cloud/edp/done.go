package edp

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"lwc/transport/wire"
)

// noteDone remembers the whole collection of a device. It counts by its start: one
// that began before a window and whose manifest came in it must not stand for that
// window.
func noteDone(ctx context.Context, q querier, m wire.Manifest, r wire.DeviceResult) error {
	at := m.Started
	if now := time.Now(); at.After(now) {
		at = now // a clock that is ahead must not stand for windows to come
	}
	_, err := exec(ctx, q, `INSERT INTO done (collector, schedule, device, at, seconds)
		SELECT collector, $1, id, $2, $3 FROM devices WHERE collector = $4 AND id = $5
		ON CONFLICT (collector, schedule, device) DO UPDATE SET at = excluded.at, seconds = excluded.seconds
		WHERE excluded.at >= done.at`, m.Schedule, micros(at), r.Seconds, m.Collector, r.Device)
	return err
}

// Done returns, for each schedule by its name and each device of the fleet, the last whole
// collection that a manifest accounts for. The name "" stands for collections that
// were asked for.
func (s *Store) Done(ctx context.Context, collector string) (map[string]map[string]wire.Done, error) {
	type done struct {
		schedule, device string
		wire.Done
	}
	list, err := all(ctx, s.read, func(r row) (d done, err error) {
		return d, r.Scan(&d.schedule, &d.device, moment{&d.At}, &d.Seconds)
	}, `SELECT schedule, device, at, seconds FROM done WHERE collector = $1
		AND EXISTS (SELECT 1 FROM devices d WHERE d.collector = done.collector AND d.id = done.device)`, collector)
	if err != nil {
		return nil, fmt.Errorf("listing complete collections: %w", err)
	}
	out := map[string]map[string]wire.Done{}
	for _, d := range list {
		if out[d.schedule] == nil {
			out[d.schedule] = map[string]wire.Done{}
		}
		d.At = d.At.Truncate(time.Millisecond)
		out[d.schedule][d.device] = d.Done
	}
	return out, nil
}

// conclude notes what a section says of its run as a whole, and ends a scheduled run
// once the last section of a boot and all before it are there.
func conclude(ctx context.Context, q querier, m wire.Manifest) error {
	_, err := exec(ctx, q, `UPDATE runs SET mode = CASE WHEN $1 = '' THEN mode ELSE $1 END,
		schedule = CASE WHEN $2 = '' THEN schedule ELSE $2 END, window = CASE WHEN $3 = 0 THEN window ELSE $3 END
		WHERE id = $4`, m.Mode, m.Schedule, micros(m.Window), m.Run)
	if err != nil {
		return err
	}
	if m.Last {
		if _, err := exec(ctx, q, `UPDATE runs SET reason = $1 WHERE id = $2`, m.Reason, m.Run); err != nil {
			return err
		}
	}
	whole, err := sectionsWhole(ctx, q, m)
	switch {
	case err != nil:
		return err
	case whole:
		_, err = exec(ctx, q, `UPDATE runs SET state = CASE WHEN reason = '' THEN $1 ELSE $2 END, finished_at = $3
			WHERE id = $4 AND kind = $5`, RunComplete, RunInterrupted, micros(m.Finished), m.Run, RunSchedule)
	case !m.Last: // a run may go on after it was ended: for a device that was added
		_, err = exec(ctx, q, `UPDATE runs SET state = $1, finished_at = 0, reason = ''
			WHERE id = $2 AND kind = $3 AND state IN ($4, $5)`, RunRunning, m.Run, RunSchedule, RunComplete, RunInterrupted)
	}
	return err
}

const sectionsQuery = `SELECT COUNT(DISTINCT section), COALESCE(MAX(section), 0),
	COALESCE(MAX(CASE WHEN last <> 0 THEN section END), 0) FROM manifests WHERE run = $1 AND boot = $2`

// sectionsWhole tells whether the newest section of the manifest's boot is a last
// one, and none before it is missing.
func sectionsWhole(ctx context.Context, q querier, m wire.Manifest) (bool, error) {
	var sections, newest, last int64
	err := q.QueryRowContext(ctx, sectionsQuery, m.Run, m.Boot).Scan(&sections, &newest, &last)
	return err == nil && sections == newest && last == newest, err
}

// maxOpenRuns bounds what a welcome lists.
const maxOpenRuns = 200

// OpenRuns returns the scheduled runs of earlier boots than this one that no
// manifest has ended, the newest first.
func (s *Store) OpenRuns(ctx context.Context, collector, boot string) ([]wire.OpenRun, error) {
	var list []wire.OpenRun
	err := s.snapshot(ctx, func(t *sql.Tx) error {
		f, err := loadFleet(ctx, t, collector)
		if err != nil {
			return err
		}
		list, err = all(ctx, t, func(r row) (o wire.OpenRun, err error) {
			err = r.Scan(&o.Run, &o.Schedule, moment{&o.Window})
			return named(o, f), err
		}, `SELECT id, schedule, window FROM runs WHERE collector = $1 AND kind = $2 AND state = $3 AND boot <> $4
			ORDER BY id DESC LIMIT $5`, collector, RunSchedule, RunRunning, boot, maxOpenRuns)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the open runs of collector %.80q: %w", collector, err)
	}
	return list, nil
}

// named finds the schedule and the window of a run that no section tells of yet:
// its id is made of them.
func named(o wire.OpenRun, f Fleet) wire.OpenRun {
	if o.Schedule != "" {
		return o
	}
	id, err := ulid.ParseStrict(o.Run)
	if err != nil {
		return o
	}
	o.Window = ulid.Time(id.Time()).UTC()
	for _, s := range f.Schedules {
		if wire.RunID(f.Collector, s.Name, o.Window) == o.Run {
			o.Schedule = s.Name
		}
	}
	return o
}

// staleAfter is how old a scheduled run may get without an end: its collector ends
// those of earlier boots when it is back.
const staleAfter = 14 * 24 * time.Hour

func endStale(ctx context.Context, t *sql.Tx, now time.Time) error {
	_, err := exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2, reason = $3
		WHERE kind = $4 AND state = $5 AND started_at <= $6`, RunInterrupted, micros(now),
		"the collector did not say how it ended", RunSchedule, RunRunning, micros(now.Add(-staleAfter)))
	return err
}
