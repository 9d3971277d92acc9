package edp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// PutManifest takes one section of the account of a run, with its signed form. If
// it calls documents stored that are not in the store, their ids are returned, sorted,
// and nothing is changed. Otherwise it is kept, each of its entries accounts for one
// item, and its devices get their results. A run on demand is complete when nothing
// of its expected set remains; one by schedule when the last section of a boot, and
// all before it, are there. Taking a section twice changes nothing.
//
// ErrConflict says that it contradicts what is stored: another hash for a
// document, or a run of another collector.
func (s *Store) PutManifest(ctx context.Context, m wire.Manifest, signed SignedManifest) (missing []string, err error) {
	if m.Section == 0 { // it is the whole account of its boot
		m.Section, m.Last = 1, true
	}
	packed := s.enc.EncodeAll(signed.Plain, nil)
	err = s.txCached(ctx, func(c *cached) error {
		_, err := one(ctx, c, scanString, `SELECT hash FROM manifests WHERE collector = $1 AND hash = $2`, m.Collector, signed.Hash)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if missing, err = absent(ctx, c, m); err != nil || len(missing) > 0 {
			return err
		}
		return takeManifest(ctx, c, m, signed, packed)
	})
	if err != nil {
		return nil, fmt.Errorf("taking a manifest of run %.40q: %w", m.Run, err)
	}
	return missing, nil
}

// absent returns the ids of documents that a manifest calls stored and the store
// does not have.
func absent(ctx context.Context, q querier, m wire.Manifest) ([]string, error) {
	have := stored{of: map[string]hashes{}, places: map[place]bool{}}
	read := map[string]bool{}
	var missing []string
	for _, e := range m.Documents {
		if e.Status != wire.EntryStored && e.Status != wire.EntryDuplicate {
			continue
		}
		if !read[e.Device] {
			read[e.Device] = true
			if err := have.load(ctx, q, m, e.Device); err != nil {
				return nil, err
			}
		}
		ok, err := have.holds(ctx, q, m.Collector, e)
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

// stored is what the store has of some devices of one run.
type stored struct {
	of     map[string]hashes // by id
	places map[place]bool
}

// load adds what is there of a device.
func (have stored) load(ctx context.Context, q querier, m wire.Manifest, device string) error {
	rows, err := q.QueryContext(ctx, `SELECT id, sha256, raw_sha256, item FROM documents
		WHERE collector = $1 AND run = $2 AND device = $3`, m.Collector, m.Run, device)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, item string
		var h hashes
		if err := rows.Scan(&id, &h.sha, &h.raw, &item); err != nil {
			return err
		}
		have.of[id], have.places[place{device, item}] = h, true
	}
	return rows.Err()
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

func takeManifest(ctx context.Context, q querier, m wire.Manifest, signed SignedManifest, packed []byte) error {
	if err := enterRun(ctx, q, m.Collector, m.Run, m.Boot, m.Started); err != nil {
		return err
	}
	if err := keepManifest(ctx, q, m, signed, packed); err != nil {
		return err
	}
	var n counters
	if err := accountAll(ctx, q, m, &n); err != nil {
		return err
	}
	if err := noteAccounted(ctx, q, m); err != nil {
		return err
	}
	if err := settleAccounted(ctx, q, m); err != nil {
		return err
	}
	if now := time.Now(); m.Finished.After(now) {
		m.Finished = now // by our clock, so that the next run is newer
	}
	for _, r := range m.Devices {
		given, err := takeResult(ctx, q, m, r)
		if err != nil {
			return err
		}
		n.stored, n.failed = n.stored+given.stored, n.failed+given.failed
	}
	if err := n.write(ctx, q, m.Run); err != nil {
		return err
	}
	if err := conclude(ctx, q, m); err != nil {
		return err
	}
	return complete(ctx, q, m.Run, m.Finished)
}

// noteAccounted remembers the devices that a manifest tells of.
func noteAccounted(ctx context.Context, q querier, m wire.Manifest) error {
	devices := make([]string, 0, len(m.Devices))
	for _, r := range m.Devices {
		devices = append(devices, r.Device)
	}
	for _, e := range m.Documents {
		devices = append(devices, e.Device)
	}
	for _, d := range sortedUnique(devices) {
		if _, err := exec(ctx, q, `INSERT INTO accounted (run, device) VALUES ($1, $2) ON CONFLICT DO NOTHING`, m.Run, d); err != nil {
			return err
		}
	}
	return nil
}

// accountAll enters what a manifest says of its items, and counts what changed.
func accountAll(ctx context.Context, q querier, m wire.Manifest, n *counters) error {
	known := map[string]map[string]wire.EntryStatus{}
	for _, e := range m.Documents {
		if known[e.Device] == nil {
			var err error
			if known[e.Device], err = itemsOf(ctx, q, m.Run, e.Device); err != nil {
				return err
			}
		}
		to, err := account(ctx, q, m, e)
		if err != nil {
			return err
		}
		old := known[e.Device][e.Item]
		if old == wire.EntryStored {
			continue // what is stored stays stored
		}
		if _, err := setItem(ctx, q, m.Run, e.Device, e.Item, to); err != nil {
			return err
		}
		n.move(old, to.status)
		known[e.Device][e.Item] = to.status
	}
	return nil
}

// account reads what a manifest says of one item.
func account(ctx context.Context, q querier, m wire.Manifest, e wire.ManifestEntry) (item, error) {
	to := item{status: e.Status, reason: e.Reason}
	switch e.Status {
	case wire.EntryStored, wire.EntryDuplicate:
		to.status = wire.EntryStored
		return to, noteMasked(ctx, q, m, e)
	case wire.EntrySkipped:
		var err error
		to.outcome, err = beforehand(ctx, q, m.Collector, e.Device, e.Item)
		return to, err
	case wire.EntryFailed, wire.EntryLost, wire.EntryRejected, wire.EntryWithheld:
		return to, nil
	}
	return to, fmt.Errorf("its entry %s/%s has the status %.40q: %w", e.Device, e.Item, e.Status, ErrInvalid)
}

// noteMasked keeps with a document how many values were replaced in it; its
// frames do not tell.
func noteMasked(ctx context.Context, q querier, m wire.Manifest, e wire.ManifestEntry) error {
	if len(e.Masked) == 0 {
		return nil
	}
	counts, err := asJSON(e.Masked)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `UPDATE documents SET masked = $1 WHERE collector = $2 AND id = $3`, counts, m.Collector, e.ID)
	return err
}

// takeResult notes how a device ended. The collector is done with it: items that
// no entry names will not come any more.
func takeResult(ctx context.Context, q querier, m wire.Manifest, r wire.DeviceResult) (counters, error) {
	r, err := judged(ctx, q, m.Collector, m.Run, r)
	if err != nil {
		return counters{}, err
	}
	if err := setResult(ctx, q, m.Collector, m.Run, m.Finished, r); err != nil {
		return counters{}, err
	}
	reason := r.Error
	if reason == "" {
		reason = "the collector sent no reply for it and gave no reason"
	}
	n, err := giveUp(ctx, q, m.Run, r.Device, reason)
	if err != nil || !r.OK {
		return n, err
	}
	return n, noteDone(ctx, q, m, r)
}
