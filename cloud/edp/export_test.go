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
	return s.tx(ctx, func(t *sql.Tx) error { return expireJobs(ctx, t, micros(at)) })
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
