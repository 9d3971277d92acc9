package edp

import (
	"context"
	"database/sql"
	"time"
)

// ExpireJobsAt is the part of Sweep that ends jobs, at a time to choose.
func (s *Store) ExpireJobsAt(ctx context.Context, at time.Time) error {
	return s.tx(ctx, func(t *sql.Tx) error { return expireJobs(ctx, t, micros(at)) })
}
