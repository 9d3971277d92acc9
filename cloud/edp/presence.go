package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// AllOffline makes everyone who was online, or waited for, waited for from now on:
// nobody could be heard while nothing served. Others are not waited for, but that time
// does not count towards their silence (rollout.Deaf). The serving process calls it when
// it starts.
func (s *Store) AllOffline(ctx context.Context) error {
	at := time.Now()
	now := micros(at)
	err := s.tx(ctx, func(t *sql.Tx) error {
		_, err := exec(ctx, t, `UPDATE collectors SET online = 0, lost_at = 0, missed_at = $1
			WHERE online <> 0 OR missed_at <> 0`, now)
		if err != nil {
			return err
		}
		if err := addOutage(ctx, t, at.UTC()); err != nil {
			return err
		}
		return putSetting(ctx, t, settingListening, now)
	})
	if err != nil {
		return fmt.Errorf("marking all collectors offline: %w", err)
	}
	return nil
}

// settingListening names when the serving process began to listen, in microseconds.
const settingListening = "listening-since"

// listeningSince is when the serving process began to listen: zero where none ever did.
func listeningSince(ctx context.Context, q querier) (at time.Time, err error) {
	at, err = one(ctx, q, func(r row) (at time.Time, err error) { return at, r.Scan(moment{&at}) },
		`SELECT CAST(value AS INTEGER) FROM settings WHERE name = $1`, settingListening)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	return at, err
}

// SawBye notes that a boot of a collector is offline, and whether it stopped in
// order; if not it is waited for. It does nothing when another boot connected since.
func (s *Store) SawBye(ctx context.Context, collector, boot string, clean bool) error {
	_, err := exec(ctx, s.write, `UPDATE collectors SET online = 0, last_seen = CASE WHEN $2 THEN $1 ELSE last_seen END,
		missed_at = CASE WHEN $2 THEN 0 WHEN lost_at = 0 AND missed_at = 0 THEN $1 ELSE missed_at END,
		lost_at = CASE WHEN $2 THEN 0 WHEN lost_at = 0 THEN $1 ELSE lost_at END WHERE id = $3 AND boot = $4`,
		micros(time.Now()), clean, collector, boot)
	if err != nil {
		return fmt.Errorf("noting the bye of collector %.80q: %w", collector, err)
	}
	return nil
}

// SawSilence notes that nothing came from a boot of a collector since then, and that
// it counts as offline.
func (s *Store) SawSilence(ctx context.Context, collector, boot string, since time.Time) error {
	_, err := exec(ctx, s.write, `UPDATE collectors SET online = 0, lost_at = $1, missed_at = $1
		WHERE id = $2 AND boot = $3 AND online <> 0`, micros(since), collector, boot)
	if err != nil {
		return fmt.Errorf("noting the silence of collector %.80q: %w", collector, err)
	}
	return nil
}

// Unheard is a collector that went without a word.
type Unheard struct {
	ID, Boot string
	Since    time.Time
}

func scanUnheard(r row) (u Unheard, err error) {
	return u, r.Scan(&u.ID, &u.Boot, moment{&u.Since})
}

// LoseUnheard makes the collectors lost that are waited for since before that time,
// and keeps the event that tell makes of each, together or not at all.
func (s *Store) LoseUnheard(ctx context.Context, before time.Time, tell func(Unheard) wire.Event) ([]wire.Event, error) {
	const which = ` WHERE missed_at <> 0 AND missed_at <= $1 AND online = 0 AND state = $2`
	due, err := all(ctx, s.read, scanUnheard, `SELECT id, boot, missed_at FROM collectors`+which, micros(before), CollectorActive)
	if err != nil || len(due) == 0 {
		return nil, ofUnheard(err) // the usual case costs no write
	}
	var events []wire.Event
	err = s.tx(ctx, func(t *sql.Tx) error {
		events = nil
		lost, err := all(ctx, t, scanUnheard, `UPDATE collectors SET missed_at = 0,
			lost_at = CASE WHEN lost_at = 0 THEN missed_at ELSE lost_at END`+which+` RETURNING id, boot, lost_at`,
			micros(before), CollectorActive)
		for i := 0; i < len(lost) && err == nil; i++ {
			events = append(events, tell(lost[i]))
			err = addEvent(ctx, t, events[i])
		}
		return err
	})
	if err != nil {
		return nil, ofUnheard(err)
	}
	return events, nil
}

func ofUnheard(err error) error {
	if err != nil {
		return fmt.Errorf("looking for collectors that are not heard: %w", err)
	}
	return nil
}
