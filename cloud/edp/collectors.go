package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

const collectorColumns = `c.id, c.state, c.spki, c.serial, c.cert_not_after, c.created_at, c.boot, c.conn, c.boot_key,
	c.capabilities, c.firmware, c.online, c.last_seen, c.config_version, c.applied_version, c.applied_sha256,
	c.applied_status, c.applied_error, c.item_errors, c.ports, c.health, c.lost_at, c.missed_at, c.box`

func scanCollector(r row) (c Collector, err error) {
	return c, r.Scan(&c.ID, &c.State, &c.SPKI, &c.Serial, moment{&c.CertNotAfter}, moment{&c.CreatedAt},
		&c.Boot, &c.Conn, &c.BootKey, jsonColumn{&c.Capabilities}, &c.Firmware, &c.Online, moment{&c.LastSeen},
		&c.ConfigVersion, &c.Applied.Version, &c.Applied.SHA256, &c.AppliedStatus, &c.AppliedError,
		jsonColumn{&c.ItemErrors}, jsonColumn{&c.Ports}, jsonColumn{&c.Health}, moment{&c.LostAt}, moment{&c.MissedAt}, jsonColumn{&c.Box})
}

// Collector returns one entry of the registry.
func (s *Store) Collector(ctx context.Context, id string) (Collector, error) {
	var c Collector
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		c, err = one(ctx, t, scanCollector, `SELECT `+collectorColumns+` FROM collectors c WHERE c.id = $1`, id)
		if err != nil {
			return err
		}
		c.LastRun, err = newestRun(ctx, t, id)
		return err
	})
	if err != nil {
		return Collector{}, fmt.Errorf("reading collector %.80q: %w", id, err)
	}
	return c, nil
}

// Collectors returns the registry by id.
func (s *Store) Collectors(ctx context.Context) ([]Collector, error) {
	var list []Collector
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		list, err = all(ctx, t, scanCollector, `SELECT `+collectorColumns+` FROM collectors c ORDER BY c.id`)
		for i := 0; i < len(list) && err == nil; i++ {
			list[i].LastRun, err = newestRun(ctx, t, list[i].ID)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing collectors: %w", err)
	}
	return list, nil
}

// newestRun returns nil when there is none. Run ids are ULIDs: their order is
// that of time.
func newestRun(ctx context.Context, q querier, collector string) (*Run, error) {
	r, err := one(ctx, q, scanRun, `SELECT `+runColumns+` FROM runs WHERE collector = $1 ORDER BY id DESC LIMIT 1`, collector)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// SawHello notes that an active collector connected; ErrNotFound when there is
// none. The runs on demand that lack nothing are complete when a new boot comes.
// A boot that was followed by another is not the collector's any more: two machines
// use one identity, the newer wins, and ErrSuperseded says so.
func (s *Store) SawHello(ctx context.Context, h wire.Hello) error {
	capabilities, err := asJSON(h.Capabilities)
	if err != nil {
		return err
	}
	ports, err := asJSON(h.Ports)
	if err != nil {
		return err
	}
	box, err := asJSON(h.Box)
	if err != nil {
		return err
	}
	err = s.tx(ctx, func(t *sql.Tx) error {
		old, err := one(ctx, t, scanString, `SELECT boot FROM collectors WHERE id = $1 AND state = $2`, h.Collector, CollectorActive)
		if err != nil {
			return err
		}
		if err := enterBoot(ctx, t, h, old); err != nil {
			return err
		}
		_, err = exec(ctx, t, `UPDATE collectors SET boot = $1, conn = $2, boot_key = $3, capabilities = $4, firmware = $5,
			online = 1, lost_at = 0, missed_at = 0, last_seen = $6, applied_version = $7, applied_sha256 = $8, ports = $9, box = $10 WHERE id = $11`,
			h.Boot, h.Conn, h.BootKey, capabilities, h.Firmware, micros(time.Now()),
			h.Config.Version, h.Config.SHA256, ports, box, h.Collector)
		if err == nil {
			err = overtake(ctx, t, h)
		}
		if err != nil || old == h.Boot {
			return err
		}
		return newBoot(ctx, t, h)
	})
	if err != nil {
		return fmt.Errorf("noting the hello of collector %.80q: %w", h.Collector, err)
	}
	return nil
}

// keptBoots is how many starts are remembered of each collector.
const keptBoots = 256

// enterBoot notes a boot that is new, and refuses one that another followed.
func enterBoot(ctx context.Context, t *sql.Tx, h wire.Hello, current string) error {
	conn, err := one(ctx, t, scanInt, `SELECT conn FROM boots WHERE collector = $1 AND boot = $2`, h.Collector, h.Boot)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && h.Boot != current {
		if h.Conn <= uint64(conn) {
			return fmt.Errorf("an old hello came again: %w", ErrConflict)
		}
		return ErrSuperseded
	}
	if _, err := exec(ctx, t, `INSERT INTO boots (collector, boot, conn, seen_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (collector, boot) DO UPDATE SET conn = excluded.conn, seen_at = excluded.seen_at`,
		h.Collector, h.Boot, h.Conn, micros(time.Now())); err != nil {
		return err
	}
	_, err = exec(ctx, t, `DELETE FROM boots WHERE collector = $1 AND seq <=
		(SELECT seq FROM boots WHERE collector = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)`, h.Collector, keptBoots)
	return err
}

// overtake makes the wanted configuration newer than the one that a collector
// holds. It is older when the database was restored from a copy, and a collector
// takes no older one.
func overtake(ctx context.Context, t *sql.Tx, h wire.Hello) error {
	_, err := exec(ctx, t, `UPDATE collectors SET config_version = $1 + 1
		WHERE id = $2 AND config_version > 0 AND config_version < $1`, min(h.Config.Version, maxConfigVersion), h.Collector)
	return err
}

// maxConfigVersion bounds what a collector can bring about: far more than all
// changes of a fleet, and exact in JSON.
const maxConfigVersion = 1 << 52

func newBoot(ctx context.Context, t *sql.Tx, h wire.Hello) error {
	status := wire.ConfigState("")
	if h.Config.Version > 0 {
		status = wire.ConfigApplied
	}
	_, err := exec(ctx, t, `UPDATE collectors SET applied_status = $1, applied_error = '', item_errors = '[]' WHERE id = $2`,
		status, h.Collector)
	if err != nil {
		return err
	}
	now := micros(time.Now())
	if _, err := exec(ctx, t, `DELETE FROM held WHERE collector = $1 AND boot <> $2`, h.Collector, h.Boot); err != nil {
		return err // their bodies were in the memory of that boot
	}
	// The boot that stored the last item died before its last section.
	ids, err := all(ctx, t, scanString, `UPDATE runs SET state = $1, finished_at = $2
		WHERE collector = $3 AND kind = $4 AND state = $5 AND expected > 0 AND boot <> ''
		AND NOT EXISTS (SELECT 1 FROM run_items i WHERE i.run = runs.id AND i.status = 'expected')
		AND NOT `+unaccounted+` RETURNING id`,
		RunComplete, now, h.Collector, RunDemand, RunRunning)
	for i := 0; i < len(ids) && err == nil; i++ {
		err = finishJobOf(ctx, t, ids[i])
	}
	return err
}

// SawHealth notes a heartbeat. ErrConflict says that the collector never said
// hello for that boot.
func (s *Store) SawHealth(ctx context.Context, h wire.Health) error {
	health, err := asJSON(h)
	if err != nil {
		return err
	}
	ports, err := asJSON(h.Ports)
	if err != nil {
		return err
	}
	n, err := exec(ctx, s.write, `UPDATE collectors SET online = 1, lost_at = 0, missed_at = 0, last_seen = $1, health = $2, ports = $3,
		applied_version = $4, applied_sha256 = $5 WHERE id = $6 AND boot = $7 AND state = $8`,
		micros(time.Now()), health, ports, h.Config.Version, h.Config.SHA256, h.Collector, h.Boot, CollectorActive)
	return ofBoot(n, err, "health", h.Collector, h.Boot)
}

// SawState notes what became of a desired configuration. ErrConflict says that
// the collector never said hello for that boot.
func (s *Store) SawState(ctx context.Context, st wire.State) error {
	items, err := asJSON(st.Items)
	if err != nil {
		return err
	}
	// Until a version is applied, and when it never is, the one before runs on.
	kept := st.Status != wire.ConfigApplied
	n, err := exec(ctx, s.write, `UPDATE collectors SET
		applied_version = CASE WHEN $1 THEN applied_version ELSE $2 END,
		applied_sha256 = CASE WHEN $1 THEN applied_sha256 ELSE $3 END,
		applied_status = $4, applied_error = $5, item_errors = $6, last_seen = $7
		WHERE id = $8 AND boot = $9 AND state = $10`,
		kept, st.Config.Version, st.Config.SHA256, st.Status, st.Error, items, micros(time.Now()),
		st.Collector, st.Boot, CollectorActive)
	return ofBoot(n, err, "state", st.Collector, st.Boot)
}

func ofBoot(n int64, err error, what, collector, boot string) error {
	if err == nil && n == 0 {
		err = fmt.Errorf("it is not in boot %.40q: %w", boot, ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("noting the %s of collector %.80q: %w", what, collector, err)
	}
	return nil
}
