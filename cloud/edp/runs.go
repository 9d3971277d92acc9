package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const runColumns = `id, collector, job, kind, state, started_at, finished_at, expected, stored, failed, skipped, bytes,
	withheld, unchanged, schedule, window, mode, reason`

func scanRun(r row) (x Run, err error) {
	return x, r.Scan(&x.ID, &x.Collector, &x.Job, &x.Kind, &x.State, moment{&x.Started}, moment{&x.Finished},
		&x.Expected, &x.Stored, &x.Failed, &x.Skipped, &x.Bytes,
		&x.Withheld, &x.Unchanged, &x.Schedule, moment{&x.Window}, &x.Mode, &x.Reason)
}

// Runs returns the runs that f chooses, newest first.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]Run, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	list, err := all(ctx, s.read, scanRun, `SELECT `+runColumns+` FROM runs
		WHERE ($1 = '' OR collector = $1) AND ($2 = '' OR state = $2) ORDER BY id DESC LIMIT $3`,
		f.Collector, f.State, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	return list, nil
}

// Run returns one run with the result of each device that finished. Documents
// and Bytes of a result are what is stored, over all boots.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	var r Run
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		if r, err = one(ctx, t, scanRun, `SELECT `+runColumns+` FROM runs WHERE id = $1`, id); err != nil {
			return err
		}
		if r.Devices, err = runResults(ctx, t, r); err != nil {
			return err
		}
		if r.Left, err = leftOf(ctx, t, id); err != nil {
			return err
		}
		r.Manifests, err = all(ctx, t, scanString, `SELECT hash FROM manifests WHERE run = $1 ORDER BY received_at, hash`, id)
		return err
	})
	if err != nil {
		return Run{}, fmt.Errorf("reading run %.40q: %w", id, err)
	}
	return r, nil
}

// unaccounted tells whether a device of the fleet has a part in a run that no
// manifest tells of.
const unaccounted = `EXISTS (SELECT 1 FROM run_items i JOIN devices d ON d.collector = runs.collector AND d.id = i.device
	WHERE i.run = runs.id AND NOT EXISTS (SELECT 1 FROM accounted a WHERE a.run = i.run AND a.device = i.device))`

// RemainingDevices returns the devices of a run with an item that is neither
// stored nor accounted for, and those whose documents are stored and that no
// manifest tells of: what a repeated job has to ask for. It is empty when the run
// lacks nothing.
func (s *Store) RemainingDevices(ctx context.Context, run string) ([]string, error) {
	var list []string
	err := s.snapshot(ctx, func(t *sql.Tx) error {
		if _, err := one(ctx, t, scanString, `SELECT id FROM runs WHERE id = $1`, run); err != nil {
			return err
		}
		var err error
		list, err = all(ctx, t, scanString, `SELECT DISTINCT i.device FROM run_items i JOIN runs r ON r.id = i.run
			WHERE i.run = $1 AND (i.status = 'expected' OR
				(EXISTS (SELECT 1 FROM devices d WHERE d.collector = r.collector AND d.id = i.device)
				AND NOT EXISTS (SELECT 1 FROM accounted a WHERE a.run = i.run AND a.device = i.device)))
			ORDER BY i.device`, run)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing what run %.40q lacks: %w", run, err)
	}
	return list, nil
}

// errForeignRun says that a collector used a run of another one.
var errForeignRun = fmt.Errorf("that run belongs to another collector: %w", ErrConflict)

// enterRun makes sure that a run is in the store and belongs to a collector. One
// that no job made was started by the collector's schedule.
func enterRun(ctx context.Context, t querier, collector, run, boot string, started time.Time) error {
	n, err := exec(ctx, t, `UPDATE runs SET boot = $1 WHERE id = $2 AND collector = $3`, boot, run, collector)
	if err != nil || n == 1 {
		return err
	}
	n, err = exec(ctx, t, `INSERT INTO runs (id, collector, job, kind, state, boot, started_at)
		SELECT $1, id, '', $2, $3, $4, $5 FROM collectors WHERE id = $6 ON CONFLICT (id) DO NOTHING`,
		run, RunSchedule, RunRunning, boot, micros(past(started, time.Now())), collector)
	if err == nil && n == 0 {
		_, err = one(ctx, t, scanString, `SELECT id FROM collectors WHERE id = $1`, collector)
		if err == nil {
			err = errForeignRun
		}
	}
	return err
}

// recount brings the counters of a new run in line with its items.
func recount(ctx context.Context, t querier, run string) error {
	_, err := exec(ctx, t, `UPDATE runs SET expected = (SELECT COUNT(*) FROM run_items i WHERE i.run = runs.id) WHERE id = $1`, run)
	return err
}

// complete finishes a run on demand if nothing of its expected set remains, and
// manifests tell of all its devices.
func complete(ctx context.Context, t querier, run string, at time.Time) error {
	n, err := exec(ctx, t, `UPDATE runs SET state = $1, finished_at = $2
		WHERE id = $3 AND kind = $4 AND expected <= stored + failed + skipped + withheld
		AND NOT `+unaccounted, RunComplete, micros(at), run, RunDemand)
	if err != nil || n == 0 {
		return err
	}
	return finishJobOf(ctx, t, run)
}

// LastManifest returns the hash of the newest manifest of a collector; empty
// when there is none.
func (s *Store) LastManifest(ctx context.Context, collector string) (string, error) {
	h, err := one(ctx, s.read, scanString, `SELECT last_manifest FROM collectors WHERE id = $1`, collector)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("reading the last manifest of collector %.80q: %w", collector, err)
	}
	return h, nil
}
