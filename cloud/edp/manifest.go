package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// PutManifest takes the manifest of a run; raw is its signed form and hash its
// name. If it calls documents stored that are not in the store, their ids are
// returned and nothing is changed. Otherwise it is kept, each of its entries
// accounts for one item, its devices get their results, and the run is complete
// when nothing of its expected set remains. Taking it twice changes nothing.
//
// ErrConflict says that it contradicts what is stored: another hash for a
// document, or a run of another collector.
func (s *Store) PutManifest(ctx context.Context, raw []byte, m wire.Manifest, hash string) (missing []string, err error) {
	packed := s.enc.EncodeAll(raw, nil)
	err = s.tx(ctx, func(t *sql.Tx) error {
		_, err := one(ctx, t, scanString, `SELECT hash FROM manifests WHERE collector = $1 AND hash = $2`, m.Collector, hash)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if missing, err = absent(ctx, t, m); err != nil || len(missing) > 0 {
			return err
		}
		return takeManifest(ctx, t, packed, m, hash)
	})
	if err != nil {
		return nil, fmt.Errorf("taking the manifest of run %.40q: %w", m.Run, err)
	}
	return missing, nil
}

// absent returns the ids of documents that a manifest calls stored and the store
// does not have.
func absent(ctx context.Context, t *sql.Tx, m wire.Manifest) ([]string, error) {
	have, err := storedOf(ctx, t, m)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, e := range m.Documents {
		if e.Status != wire.EntryStored && e.Status != wire.EntryDuplicate {
			continue
		}
		ok, err := have.holds(ctx, t, m.Collector, e)
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, e.ID)
		}
	}
	return sortedUnique(missing), nil
}

type place struct{ device, item string }

// hashes are of a document, and of the bytes of the device it was made of where
// those are others.
type hashes struct{ sha, raw string }

func scanHashes(r row) (h hashes, err error) { return h, r.Scan(&h.sha, &h.raw) }

// stored is what the store has of one run.
type stored struct {
	of     map[string]hashes // by id
	places map[place]bool
}

func storedOf(ctx context.Context, q querier, m wire.Manifest) (stored, error) {
	type doc struct {
		id string
		hashes
		place
	}
	scan := func(r row) (d doc, err error) { return d, r.Scan(&d.id, &d.sha, &d.raw, &d.device, &d.item) }
	docs, err := all(ctx, q, scan, `SELECT id, sha256, raw_sha256, device, item FROM documents WHERE collector = $1 AND run = $2`, m.Collector, m.Run)
	have := stored{map[string]hashes{}, map[place]bool{}}
	for _, d := range docs {
		have.of[d.id], have.places[d.place] = d.hashes, true
	}
	return have, err
}

// holds tells whether the document of an entry is in the store. A duplicate may
// be there under the id of an earlier boot, and have come in another run before.
func (have stored) holds(ctx context.Context, q querier, collector string, e wire.ManifestEntry) (bool, error) {
	if e.ID == "" {
		return false, fmt.Errorf("its entry %s/%s is %s and has no id: %w", e.Device, e.Item, e.Status, ErrInvalid)
	}
	got, ok := have.of[e.ID]
	if !ok && e.Status == wire.EntryDuplicate && have.places[place{e.Device, e.Item}] {
		return true, nil
	}
	if !ok {
		var err error
		got, err = one(ctx, q, scanHashes, `SELECT sha256, raw_sha256 FROM documents WHERE collector = $1 AND id = $2`, collector, e.ID)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	if e.SHA256 != "" && (got.sha != e.SHA256 || got.raw != e.RawSHA256) {
		return false, fmt.Errorf("it has another hash for document %s than the store: %w", e.ID, ErrConflict)
	}
	return true, nil
}

func takeManifest(ctx context.Context, t *sql.Tx, packed []byte, m wire.Manifest, hash string) error {
	if err := enterRun(ctx, t, m.Collector, m.Run, m.Boot, m.Started); err != nil {
		return err
	}
	_, err := exec(ctx, t, `INSERT INTO manifests (collector, hash, run, boot, previous, received_at, raw)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, m.Collector, hash, m.Run, m.Boot, m.Previous, micros(time.Now()), packed)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, t, `UPDATE collectors SET last_manifest = $1 WHERE id = $2`, hash, m.Collector); err != nil {
		return err
	}
	for _, e := range m.Documents {
		if err := account(ctx, t, m, e); err != nil {
			return err
		}
	}
	if now := time.Now(); m.Finished.After(now) {
		m.Finished = now // by our clock, so that the next run is newer
	}
	for _, r := range m.Devices {
		if err := takeResult(ctx, t, m, r); err != nil {
			return err
		}
	}
	if err := recount(ctx, t, m.Run); err != nil {
		return err
	}
	return complete(ctx, t, m.Run, m.Finished)
}

// account enters what a manifest says of one item. What is stored stays stored.
func account(ctx context.Context, t *sql.Tx, m wire.Manifest, e wire.ManifestEntry) error {
	status, outcome := e.Status, ""
	switch status {
	case wire.EntryStored, wire.EntryDuplicate:
		status = wire.EntryStored
		if err := noteMasked(ctx, t, m, e); err != nil {
			return err
		}
	case wire.EntrySkipped:
		var err error
		if outcome, err = beforehand(ctx, t, m.Collector, e.Device, e.Item); err != nil {
			return err
		}
	case wire.EntryFailed, wire.EntryLost, wire.EntryRejected:
	default:
		return fmt.Errorf("its entry %s/%s has the status %.40q: %w", e.Device, e.Item, e.Status, ErrInvalid)
	}
	_, err := exec(ctx, t, `INSERT INTO run_items (run, device, item, status, reason, outcome) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (run, device, item) DO UPDATE SET status = excluded.status, reason = excluded.reason, outcome = excluded.outcome
		WHERE run_items.status <> 'stored'`, m.Run, e.Device, e.Item, status, e.Reason, outcome)
	return err
}

// noteMasked keeps with a document how many values were replaced in it; its
// frames do not tell.
func noteMasked(ctx context.Context, t *sql.Tx, m wire.Manifest, e wire.ManifestEntry) error {
	if len(e.Masked) == 0 {
		return nil
	}
	counts, err := asJSON(e.Masked)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `UPDATE documents SET masked = $1 WHERE collector = $2 AND id = $3`, counts, m.Collector, e.ID)
	return err
}

// takeResult notes how a device ended. The collector is done with it: items that
// no entry names will not come any more.
func takeResult(ctx context.Context, t *sql.Tx, m wire.Manifest, r wire.DeviceResult) error {
	r, err := judged(ctx, t, m.Collector, m.Run, r)
	if err != nil {
		return err
	}
	if err := setResult(ctx, t, m.Collector, m.Run, m.Finished, r); err != nil {
		return err
	}
	reason := r.Error
	if reason == "" {
		reason = "the collector sent no reply for it and gave no reason"
	}
	if err := giveUp(ctx, t, m.Run, r.Device, reason); err != nil || !r.OK {
		return err
	}
	// A collection counts by its start: one that began before a window and whose
	// manifest came in it must not stand for that window.
	_, err = exec(ctx, t, `UPDATE devices SET last_complete = CASE WHEN last_complete < $1 THEN $1 ELSE last_complete END
		WHERE collector = $2 AND id = $3`, micros(m.Started), m.Collector, r.Device)
	return err
}
