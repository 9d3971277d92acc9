package edp

import (
	"context"
	"database/sql"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

// ExpireJobsAt is the part of Sweep that ends jobs, at a time to choose.
func (s *Store) ExpireJobsAt(ctx context.Context, at time.Time) error {
	return s.tx(ctx, func(t *sql.Tx) error { return expireJobs(ctx, t, at) })
}

// ForgetProbesAt is the part of Sweep that drops diagnoses of devices that are
// gone, at a time to choose.
func (s *Store) ForgetProbesAt(ctx context.Context, at time.Time) error {
	return s.tx(ctx, func(t *sql.Tx) error { return forgetGone(ctx, t, micros(at)) })
}

// MigrateDown takes a database back to an earlier version of its tables.
func MigrateDown(ctx context.Context, db *sql.DB, to int64) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	_, err = p.DownTo(ctx, to)
	return err
}

// ForgetUnfinishedAt is the part of Sweep that drops documents that never became
// whole, at a time to choose.
func (s *Store) ForgetUnfinishedAt(ctx context.Context, at time.Time) error {
	return s.tx(ctx, func(t *sql.Tx) error { return forgetUnfinished(ctx, t, at) })
}

// PartsLeft counts the rows of documents that are not whole.
func (s *Store) PartsLeft(ctx context.Context) (int, error) {
	n, err := one(ctx, s.read, scanInt, `SELECT (SELECT COUNT(*) FROM arriving) + (SELECT COUNT(*) FROM parts p
		WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE d.collector = p.collector AND d.id = p.document))`)
	return int(n), err
}

// Tally are the counters of a run.
type Tally struct{ Expected, Stored, Failed, Skipped, Withheld, Unchanged, Bytes int64 }

// Recount returns the counters of a run, and what they would be by its rows.
func (s *Store) Recount(ctx context.Context, run string) (told, counted Tally, err error) {
	scan := func(r row) (t Tally, err error) {
		return t, r.Scan(&t.Expected, &t.Stored, &t.Failed, &t.Skipped, &t.Withheld, &t.Unchanged, &t.Bytes)
	}
	if told, err = one(ctx, s.read, scan, `SELECT expected, stored, failed, skipped, withheld, unchanged, bytes FROM runs WHERE id = $1`, run); err != nil {
		return told, counted, err
	}
	counted, err = one(ctx, s.read, scan, `SELECT (SELECT COUNT(*) FROM run_items WHERE run = $1),
		(SELECT COUNT(*) FROM run_items WHERE run = $1 AND status = 'stored'),
		(SELECT COUNT(*) FROM run_items WHERE run = $1 AND status NOT IN ('stored', 'expected', 'skipped', 'withheld')),
		(SELECT COUNT(*) FROM run_items WHERE run = $1 AND status = 'skipped'),
		(SELECT COUNT(*) FROM run_items WHERE run = $1 AND status = 'withheld'),
		(SELECT COUNT(*) FROM documents WHERE run = $1 AND same_as <> ''),
		(SELECT COALESCE(SUM(size), 0) FROM documents WHERE run = $1)`, run)
	return told, counted, err
}

// KeptParts counts the parts of a document that is not whole, from the first on, and
// those of one that is.
func (s *Store) KeptParts(ctx context.Context, id string) (int, error) {
	n, err := one(ctx, s.read, scanInt, `SELECT COALESCE((SELECT kept FROM arriving WHERE id = $1), (SELECT parts FROM documents WHERE id = $1), 0)`, id)
	return int(n), err
}

// LosePart takes one row of parts away, as a damaged disk does.
func (s *Store) LosePart(ctx context.Context, id string, part int) error {
	n, err := exec(ctx, s.write, `DELETE FROM parts WHERE document = $1 AND part = $2`, id, part)
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	return err
}

// SetConfigVersion is what a database has that was restored from a copy.
func (s *Store) SetConfigVersion(ctx context.Context, collector string, version int) error {
	_, err := exec(ctx, s.write, `UPDATE collectors SET config_version = $1 WHERE id = $2`, version, collector)
	return err
}

// StartedAt is the start of a run as it is kept.
func (s *Store) StartedAt(ctx context.Context, run string) (at time.Time, err error) {
	return at, s.read.QueryRowContext(ctx, `SELECT started_at FROM runs WHERE id = $1`, run).Scan(moment{&at})
}
