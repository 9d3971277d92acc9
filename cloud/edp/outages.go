package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/rollout"
)

const (
	// settingListened names until when the serving process has listened, in microseconds.
	settingListened = "listened-until"
	// settingOutages names when none did: a JSON array of rollout.Outage.
	settingOutages = "outages"
	// maxOutages are kept. What is older counts as listened again, which holds a release
	// back rather than lets it go.
	maxOutages = 64
)

// Listening notes that the serving process listens. It calls it every minute, so that
// the next one knows from when on nobody did.
func (s *Store) Listening(ctx context.Context) error {
	err := s.tx(ctx, func(t *sql.Tx) error { return putSetting(ctx, t, settingListened, micros(time.Now())) })
	if err != nil {
		return fmt.Errorf("noting that somebody listens: %w", err)
	}
	return nil
}

// outages returns when nobody listened, the oldest first.
func outages(ctx context.Context, q querier) (list []rollout.Outage, err error) {
	_, err = one(ctx, q, func(r row) (bool, error) { return true, r.Scan(jsonColumn{&list}) },
		`SELECT value FROM settings WHERE name = $1`, settingOutages)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return list, err
}

// addOutage keeps that nobody listened from the last sign of a serving process on. Where
// one ended in its first minute and heard nobody, the outage before it goes on.
func addOutage(ctx context.Context, t *sql.Tx, now time.Time) error {
	from, err := one(ctx, t, func(r row) (at time.Time, err error) { return at, r.Scan(moment{&at}) },
		`SELECT max(coalesce((SELECT CAST(value AS INTEGER) FROM settings WHERE name = $1), 0),
			coalesce((SELECT max(last_seen) FROM collectors), 0))`, settingListened)
	if err != nil || from.IsZero() || !from.Before(now) {
		return err
	}
	list, err := outages(ctx, t)
	if err != nil {
		return err
	}
	if n := len(list); n > 0 && !from.After(list[n-1].To) {
		list[n-1].To = later(list[n-1].To, now)
	} else {
		list = append(list, rollout.Outage{From: from.UTC(), To: now})
	}
	return putSetting(ctx, t, settingOutages, list[max(0, len(list)-maxOutages):])
}
