package edp

import (
	"context"
	"database/sql"
	"fmt"

	"lwc/transport/wire"
)

const eventColumns = `event, collector, boot, at, kind, device, text, violation`

// keptEvents is how many events are kept of one collector.
const keptEvents = 5000

// AddEvent keeps an event, and forgets the oldest of that collector beyond 5,000. One
// whose id the collector gave before is kept already.
func (s *Store) AddEvent(ctx context.Context, e wire.Event) error {
	_, err := s.TakeEvent(ctx, e)
	return err
}

// TakeEvent is AddEvent, and tells whether the event was new or kept before.
func (s *Store) TakeEvent(ctx context.Context, e wire.Event) (wire.ReceiptStatus, error) {
	var fresh bool
	err := s.tx(ctx, func(t *sql.Tx) (err error) {
		fresh, err = takeEvent(ctx, t, e)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keeping an event of collector %.80q: %w", e.Collector, err)
	}
	if !fresh {
		return wire.Duplicate, nil
	}
	return wire.Stored, nil
}

func addEvent(ctx context.Context, q querier, e wire.Event) error {
	_, err := takeEvent(ctx, q, e)
	return err
}

func takeEvent(ctx context.Context, q querier, e wire.Event) (fresh bool, err error) {
	violation := ""
	if e.Violation != nil {
		if violation, err = asJSON(e.Violation); err != nil {
			return false, err
		}
	}
	n, err := exec(ctx, q, `INSERT INTO events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (collector, event) WHERE event <> '' DO NOTHING`,
		e.ID, e.Collector, e.Boot, micros(e.Time), e.Kind, e.Device, e.Text, violation)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = exec(ctx, q, `DELETE FROM events WHERE collector = $1 AND id <=
		(SELECT id FROM events WHERE collector = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`, e.Collector, keptEvents)
	return true, err
}

// Events returns the newest events of a collector, or of all when collector is
// empty, newest first. A limit of 0 means 100.
func (s *Store) Events(ctx context.Context, collector string, limit int) ([]wire.Event, error) {
	if limit <= 0 {
		limit = 100
	}
	list, err := all(ctx, s.read, scanEvent, `SELECT `+eventColumns+` FROM events
		WHERE $1 = '' OR collector = $1 ORDER BY id DESC LIMIT $2`, collector, limit)
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	return list, nil
}

// DeviceEvents returns the newest events about one device, newest first.
func (s *Store) DeviceEvents(ctx context.Context, collector, device string, limit int) ([]wire.Event, error) {
	list, err := all(ctx, s.read, scanEvent, `SELECT `+eventColumns+` FROM events
		WHERE collector = $1 AND device = $2 ORDER BY id DESC LIMIT $3`, collector, device, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the events of device %.80q: %w", device, err)
	}
	return list, nil
}

// Violations returns the newest events that tell what was found at the ports of
// a collector, newest first.
func (s *Store) Violations(ctx context.Context, collector string, limit int) ([]wire.Event, error) {
	list, err := all(ctx, s.read, scanEvent, `SELECT `+eventColumns+` FROM events
		WHERE collector = $1 AND violation <> '' ORDER BY id DESC LIMIT $2`, collector, limit)
	if err != nil {
		return nil, fmt.Errorf("listing the port violations of collector %.80q: %w", collector, err)
	}
	return list, nil
}

func scanEvent(r row) (wire.Event, error) {
	e := wire.Event{V: wire.Version}
	return e, r.Scan(&e.ID, &e.Collector, &e.Boot, moment{&e.Time}, &e.Kind, &e.Device, &e.Text, jsonColumn{&e.Violation})
}
