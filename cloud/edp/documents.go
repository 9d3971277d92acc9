package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lwc/transport/wire"
)

// PutDocuments stores a batch in one transaction: when it returns without an
// error, the documents it calls stored are on disk. The answer has one status for
// each document, in order.
func (s *Store) PutDocuments(ctx context.Context, docs []Document) ([]PutStatus, error) {
	bodies := make([][]byte, len(docs))
	for i, d := range docs {
		bodies[i] = s.enc.EncodeAll(d.Body, nil)
	}
	out := make([]PutStatus, len(docs))
	err := s.tx(ctx, func(t *sql.Tx) error {
		for i, d := range docs {
			var err error
			if out[i], err = putDocument(ctx, t, d, bodies[i]); err != nil {
				return fmt.Errorf("document %.40q: %w", d.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("storing %d documents: %w", len(docs), err)
	}
	return out, nil
}

func putDocument(ctx context.Context, t *sql.Tx, d Document, body []byte) (PutStatus, error) {
	if wire.CheckID(d.ID) != nil || wire.CheckID(d.Run) != nil || d.Device == "" || d.Item == "" {
		return PutRefused, nil
	}
	err := enterRun(ctx, t, d.Collector, d.Run, d.Boot, d.CollectedAt)
	if errors.Is(err, errForeignRun) || errors.Is(err, ErrNotFound) {
		return PutRefused, nil
	} else if err != nil {
		return "", err
	}
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = time.Now()
	}
	flags, err := asJSON(d.Flags)
	if err != nil {
		return "", err
	}
	n, err := exec(ctx, t, `INSERT INTO documents (collector, id, run, device, item, boot, outcome, flags, sha256, size,
			collected_at, received_at, body, raw_sha256, raw_size)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`, d.Collector, d.ID, d.Run, d.Device, d.Item, d.Boot, d.Outcome, flags, d.SHA256,
		int64(len(d.Body)), micros(d.CollectedAt), micros(d.ReceivedAt), body,
		d.RawSHA256, d.RawSize)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return whyNot(ctx, t, d)
	}
	return PutStored, noteStored(ctx, t, d)
}

// whyNot tells a document that came before from one whose id is another
// collector's.
func whyNot(ctx context.Context, t *sql.Tx, d Document) (PutStatus, error) {
	n, err := one(ctx, t, scanInt, `SELECT COUNT(*) FROM documents WHERE collector = $1 AND
		(id = $2 OR (run = $3 AND device = $4 AND item = $5))`, d.Collector, d.ID, d.Run, d.Device, d.Item)
	if err != nil || n > 0 {
		return PutDuplicate, err
	}
	return PutRefused, nil
}

// noteStored enters a new document in its run and among the newest.
func noteStored(ctx context.Context, t *sql.Tx, d Document) error {
	old, err := one(ctx, t, scanString, `SELECT status FROM run_items WHERE run = $1 AND device = $2 AND item = $3`, d.Run, d.Device, d.Item)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	expected, failed, skipped := 0, 0, 0
	switch old {
	case "":
		expected = 1
	case string(wire.EntrySkipped):
		skipped = -1
	case string(wire.EntryFailed), string(wire.EntryLost), string(wire.EntryRejected):
		failed = -1
	}
	if _, err := exec(ctx, t, `INSERT INTO run_items (run, device, item, status) VALUES ($1, $2, $3, 'stored')
		ON CONFLICT (run, device, item) DO UPDATE SET status = 'stored', reason = '', outcome = ''`, d.Run, d.Device, d.Item); err != nil {
		return err
	}
	if _, err := exec(ctx, t, `UPDATE runs SET expected = expected + $1, stored = stored + 1, failed = failed + $2,
		skipped = skipped + $3, bytes = bytes + $4 WHERE id = $5`, expected, failed, skipped, len(d.Body), d.Run); err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO latest_documents (collector, device, item, document, collected_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (collector, device, item) DO UPDATE SET
		document = excluded.document, collected_at = excluded.collected_at
		WHERE excluded.collected_at >= latest_documents.collected_at`,
		d.Collector, d.Device, d.Item, d.ID, micros(d.CollectedAt))
	return err
}

const documentColumns = `d.id, d.collector, d.boot, d.run, d.device, d.item, d.outcome, d.flags, d.sha256, d.size,
	d.collected_at, d.received_at, d.raw_sha256, d.raw_size, d.masked`

func documentDest(d *Document) []any {
	return []any{&d.ID, &d.Collector, &d.Boot, &d.Run, &d.Device, &d.Item, &d.Outcome, jsonColumn{&d.Flags},
		&d.SHA256, &d.Size, moment{&d.CollectedAt}, moment{&d.ReceivedAt},
		&d.RawSHA256, &d.RawSize, jsonColumn{&d.Masked}}
}

// Documents returns the documents that f chooses, newest first, without their
// bodies.
func (s *Store) Documents(ctx context.Context, f DocumentFilter) ([]Document, error) {
	if f.Limit <= 0 {
		f.Limit = math.MaxInt32
	}
	query, args := f.query()
	scan := func(r row) (d Document, err error) { return d, r.Scan(documentDest(&d)...) }
	list, err := all(ctx, s.read, scan, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing documents: %w", err)
	}
	return list, nil
}

// query names only what f asks for: with "$2 = ” OR ..." no index would be of
// use. Where devices or runs narrow it down, the few that are left are sorted;
// "+ 0" keeps the index by time, which would give all in order, out of it.
// CROSS JOIN makes SQLite begin with the newest ones.
func (f DocumentFilter) query() (text string, args []any) {
	from, place, time := `documents d`, `d`, `d.collected_at`
	args = []any{f.Limit}
	var where []string
	is := func(condition, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, fmt.Sprintf(condition, len(args)))
		}
	}
	if f.Latest {
		from, place = `latest_documents l CROSS JOIN documents d`, `l`
		where = append(where, `d.collector = l.collector AND d.id = l.document`)
	}
	if f.Latest || f.Device != "" || f.Run != "" {
		time += ` + 0`
	}
	is(place+`.collector = $%d`, f.Collector)
	is(place+`.device = $%d`, f.Device)
	is(place+`.item = $%d`, f.Item)
	is(`d.run = $%d`, f.Run)
	switch { // indexes begin with the collector
	case f.Collector != "":
	case f.Run != "":
		is(place+`.collector = (SELECT collector FROM runs WHERE id = $%d)`, f.Run)
	case f.Device != "":
		where = append(where, place+`.collector IN (SELECT id FROM collectors)`)
	}
	if len(where) > 0 {
		from += ` WHERE ` + strings.Join(where, ` AND `)
	}
	return `SELECT ` + documentColumns + ` FROM ` + from + ` ORDER BY ` + time + ` DESC, d.id DESC LIMIT $1`, args
}

// Document returns one document with its body, byte for byte as its
// collector sent it.
func (s *Store) Document(ctx context.Context, id string) (Document, error) {
	scan := func(r row) (d Document, err error) {
		return d, r.Scan(append(documentDest(&d), &d.Body)...)
	}
	d, err := one(ctx, s.read, scan, `SELECT `+documentColumns+`, d.body FROM documents d WHERE d.id = $1`, id)
	if err == nil {
		d.Body, err = s.dec.DecodeAll(d.Body, make([]byte, 0, d.Size))
	}
	if err == nil && wire.Digest(d.Body) != d.SHA256 {
		err = errors.New("its bytes do not match its hash: the database is damaged")
	}
	if err != nil {
		return Document{}, fmt.Errorf("reading document %.40q: %w", id, err)
	}
	return d, nil
}

// sortedUnique sorts ids, each once.
func sortedUnique(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
