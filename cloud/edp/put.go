package edp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// PutDocuments stores a batch of whole documents in one transaction, as Put does.
func (s *Store) PutDocuments(ctx context.Context, docs []Document) ([]PutStatus, error) {
	out, _, err := s.Put(ctx, docs, nil)
	return out, err
}

// Put stores a batch of documents and of parts of documents in one transaction:
// when it returns without an error, what it calls stored, offered or kept is on
// disk. The answers have one status for each document and each part, in order.
// With an error nothing of the batch is stored.
func (s *Store) Put(ctx context.Context, docs []Document, parts []Part) ([]PutStatus, []PartStatus, error) {
	bodies := make([][]byte, len(docs))
	for i, d := range docs {
		if bodies[i] = d.Packed; d.Packed == nil && !d.Unchanged && !d.Held {
			bodies[i] = s.enc.EncodeAll(d.Body, nil)
		}
	}
	of, kept := make([]PutStatus, len(docs)), make([]PartStatus, len(parts))
	err := s.txBatch(ctx, func(b *batch) (err error) {
		for i, d := range docs {
			if of[i], err = b.put(ctx, d, bodies[i]); err != nil {
				return fmt.Errorf("document %.40q: %w", d.ID, err)
			}
		}
		for i, p := range parts {
			if kept[i], err = b.putPart(ctx, p); err != nil {
				return fmt.Errorf("part %d of document %.40q: %w", p.Header.Part, p.Header.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("storing %d documents and %d parts: %w", len(docs), len(parts), err)
	}
	return of, kept, nil
}

// batch is a transaction that stores documents. What it changes of runs and of
// unfinished documents is written once, at its end.
type batch struct {
	*cached
	runs     map[runBoot]*tallied
	arriving map[[2]string]*arriving // by collector and id
	holding  map[string]bool         // collectors: whether it has held documents
}

type runBoot struct{ collector, run, boot string }

// tallied is what a batch adds to the counters of a run.
type tallied struct {
	refused bool // the run is not the collector's to use
	counters
	documents, unchanged int
	bytes                int64
}

func (s *Store) txBatch(ctx context.Context, f func(*batch) error) error {
	return s.txCached(ctx, func(c *cached) error {
		b := &batch{cached: c, runs: map[runBoot]*tallied{}, arriving: map[[2]string]*arriving{}, holding: map[string]bool{}}
		if err := f(b); err != nil {
			return err
		}
		return b.finish(ctx)
	})
}

// finish writes what the batch gathered.
func (b *batch) finish(ctx context.Context) error {
	for k, a := range b.arriving {
		if err := a.save(ctx, b, k[1]); err != nil {
			return err
		}
	}
	for k, n := range b.runs {
		if n.documents == 0 {
			continue
		}
		// A scheduled run that a later boot goes on with is under way again.
		if _, err := exec(ctx, b, `UPDATE runs SET expected = expected + $1, stored = stored + $2, failed = failed + $3,
			skipped = skipped + $4, withheld = withheld + $5, unchanged = unchanged + $6, bytes = bytes + $7,
			state = CASE WHEN kind = 'schedule' AND state IN ('complete', 'interrupted') AND NOT EXISTS
				(SELECT 1 FROM manifests m WHERE m.run = runs.id AND m.boot = $8 AND m.last <> 0) THEN 'running' ELSE state END
			WHERE id = $9`, n.expected, n.stored, n.failed, n.skipped, n.withheld, n.unchanged, n.bytes, k.boot, k.run); err != nil {
			return err
		}
	}
	return nil
}

// enter makes sure that the run is there; its tally says if it is refused.
func (b *batch) enter(ctx context.Context, collector, run, boot string, at time.Time) (*tallied, error) {
	k := runBoot{collector, run, boot}
	if n := b.runs[k]; n != nil {
		return n, nil
	}
	n := &tallied{}
	err := enterRun(ctx, b, collector, run, boot, at)
	if errors.Is(err, errForeignRun) || errors.Is(err, ErrNotFound) {
		n.refused, err = true, nil
	}
	b.runs[k] = n
	return n, err
}

// content is where the bytes of a document are: one of the three.
type content struct {
	body   []byte
	parts  int
	sameAs string
	enc    string
}

func (b *batch) put(ctx context.Context, d Document, body []byte) (PutStatus, error) {
	if wire.CheckID(d.ID) != nil || wire.CheckID(d.Run) != nil || d.Device == "" || d.Item == "" {
		return PutRefused, nil
	}
	n, err := b.enter(ctx, d.Collector, d.Run, d.Boot, d.CollectedAt)
	if err != nil || n.refused {
		return PutRefused, err
	}
	c := content{body: body, enc: wire.EncZstd}
	switch {
	case d.Held:
		return b.offer(ctx, d)
	case d.Unchanged:
		c.body = []byte{}
		if c.sameAs, err = b.base(ctx, &d); errors.Is(err, ErrNotFound) {
			return b.noBase(ctx, d)
		} else if err != nil {
			return "", err
		}
	default:
		d.Size = int64(len(d.Body))
	}
	return b.insert(ctx, d, c)
}

const baseQuery = `SELECT CASE WHEN same_as = '' THEN id ELSE same_as END FROM documents
	WHERE collector = $1 AND device = $2 AND item = $3 AND sha256 = $4 AND size = $5 ORDER BY collected_at DESC LIMIT 1`

// base finds the document that has the bytes of one that came without a body.
func (b *batch) base(ctx context.Context, d *Document) (id string, err error) {
	err = b.QueryRowContext(ctx, baseQuery, d.Collector, d.Device, d.Item, d.SHA256, d.Size).Scan(&id)
	return id, noRows(err)
}

// noBase tells a document that came before from one that cannot be had.
func (b *batch) noBase(ctx context.Context, d Document) (PutStatus, error) {
	st, err := whyNot(ctx, b, d)
	if err == nil && st == PutRefused {
		st = PutBase
	}
	return st, err
}

// insert stores a document, unless it came before.
func (b *batch) insert(ctx context.Context, d Document, c content) (PutStatus, error) {
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = time.Now()
	}
	flags, err := asJSON(d.Flags)
	if err != nil {
		return "", err
	}
	n, err := exec(ctx, b, `INSERT INTO documents (collector, id, run, device, item, boot, outcome, flags, sha256, size,
			collected_at, received_at, body, raw_sha256, raw_size, enc, parts, same_as)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT DO NOTHING`,
		d.Collector, d.ID, d.Run, d.Device, d.Item, d.Boot, d.Outcome, flags, d.SHA256, d.Size,
		micros(d.CollectedAt), micros(d.ReceivedAt), c.body, d.RawSHA256, d.RawSize, c.enc, c.parts, c.sameAs)
	if err != nil {
		return "", err
	}
	if n == 0 {
		st, err := whyNot(ctx, b, d)
		if err == nil && st == PutDuplicate {
			err = b.settleHeld(ctx, d)
		}
		return st, err
	}
	return PutStored, b.noteStored(ctx, d)
}

// whyNot tells a document that came before from one whose id is another
// collector's.
func whyNot(ctx context.Context, q querier, d Document) (PutStatus, error) {
	n, err := one(ctx, q, scanInt, `SELECT COUNT(*) FROM documents WHERE collector = $1 AND
		(id = $2 OR (run = $3 AND device = $4 AND item = $5))`, d.Collector, d.ID, d.Run, d.Device, d.Item)
	if err != nil || n > 0 {
		return PutDuplicate, err
	}
	return PutRefused, nil
}

// noteStored enters a new document in its run and among the newest, and what it
// tells of its device.
func (b *batch) noteStored(ctx context.Context, d Document) error {
	n := b.runs[runBoot{d.Collector, d.Run, d.Boot}]
	n.documents++
	n.bytes += d.Size
	if d.Unchanged {
		n.unchanged++
	}
	old, err := setItem(ctx, b, d.Run, d.Device, d.Item, item{status: wire.EntryStored})
	if err != nil {
		return err
	}
	n.move(old, wire.EntryStored)
	if err := b.settleHeld(ctx, d); err != nil {
		return err
	}
	if d.Identity != nil {
		if err := setIdentity(ctx, b, d.Collector, d.Device, *d.Identity); err != nil {
			return err
		}
	}
	_, err = exec(ctx, b, `INSERT INTO latest_documents (collector, device, item, document, collected_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (collector, device, item) DO UPDATE SET
		document = excluded.document, collected_at = excluded.collected_at
		WHERE excluded.collected_at >= latest_documents.collected_at`,
		d.Collector, d.Device, d.Item, d.ID, micros(past(d.CollectedAt, d.ReceivedAt)))
	return err
}

// past is a time that a collector gives, or now where its clock is ahead or was
// never set.
func past(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}
