package edp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"lwc/transport/wire"
)

const (
	// lostAfter is how old a gap among the parts of a document must be before a
	// part behind it, sent again, says that the gap's parts are not coming: their
	// sender has forgotten what it had a receipt for. By then each part has been sent
	// four times (at once, and after 30, 90 and 210 s): a cloud that is overrun
	// drops a frame now and then, and must not take that for the loss of its own rows.
	lostAfter = 5 * time.Minute
	// partsLife is how long parts wait for the next.
	partsLife = 24 * time.Hour
	// maxArriving and maxArrivingBytes bound what is not whole of one collector.
	maxArriving      = 1024
	maxArrivingBytes = 8 << 30
)

// Part is one frame of a document that is kept as it came, because it has several
// or is large. Body is unsealed, and compressed still.
type Part struct {
	Header     wire.Header
	Body       []byte
	Max        int64     // bytes that the document may have
	ReceivedAt time.Time // zero: now
}

// PartStatus is what became of a part: PutKept, PutWhole, PutDuplicate (of a
// document that is stored), PutRefused, PutLost, PutBusy, PutTooLarge or
// PutMalformed. After the last three and PutLost the document's parts are gone.
type PartStatus struct {
	Status PutStatus
	// Kept says how many parts are stored, from the first on. Until the document
	// is stored it never counts all of them: its sender is to have something to
	// ask again with.
	Kept int
}

// arriving is a document that is not whole yet.
type arriving struct {
	header           wire.Header // of the last part once it is there, else of the newest
	enc              string
	parts, had, kept int
	bytes            int64
	gapAt, seenAt    time.Time
	collector        string
	gone             PutStatus // why it was dropped in this batch; empty: it was not
}

func arrivingKey(h wire.Header) [2]string { return [2]string{h.Collector, h.ID} }

func enc(h wire.Header) string { return strings.TrimSuffix(h.Enc, wire.SealedSuffix) }

func (b *batch) putPart(ctx context.Context, p Part) (PartStatus, error) {
	h := p.Header
	if wire.CheckID(h.ID) != nil || wire.CheckID(h.Run) != nil || h.Device == "" || h.Item == "" {
		return PartStatus{Status: PutRefused}, nil
	}
	n, err := b.enter(ctx, h.Collector, h.Run, h.Boot, h.CollectedAt)
	if err != nil || n.refused {
		return PartStatus{Status: PutRefused}, err
	}
	if p.ReceivedAt.IsZero() {
		p.ReceivedAt = time.Now()
	}
	a, st, err := b.find(ctx, h)
	if err != nil || st != "" {
		return PartStatus{Status: st}, err
	}
	st, err = a.take(ctx, b, p)
	if err == nil && st != PutKept && st != PutWhole {
		a.gone = st
		err = dropParts(ctx, b, h.Collector, h.ID)
	}
	return PartStatus{st, a.told()}, err
}

// told is the count that the sender may act on.
func (a *arriving) told() int {
	if a.parts > 0 {
		return min(a.kept, a.parts-1)
	}
	return a.kept
}

// find returns what is there of a document, or why no part of it is taken.
func (b *batch) find(ctx context.Context, h wire.Header) (*arriving, PutStatus, error) {
	if a := b.arriving[arrivingKey(h)]; a != nil {
		return a, a.gone, nil
	}
	a, err := loadArriving(ctx, b, h.Collector, h.ID)
	if errors.Is(err, ErrNotFound) {
		st, err := b.admit(ctx, h)
		if err != nil || st != "" {
			return nil, st, err
		}
		a = &arriving{collector: h.Collector, header: h, enc: enc(h)}
	} else if err != nil {
		return nil, "", err
	}
	b.arriving[arrivingKey(h)] = a
	return a, "", nil
}

func loadArriving(ctx context.Context, q querier, collector, id string) (*arriving, error) {
	a := &arriving{collector: collector}
	err := q.QueryRowContext(ctx, `SELECT header, enc, parts, had, kept, bytes, gap_at FROM arriving WHERE collector = $1 AND id = $2`, collector, id).
		Scan(jsonColumn{&a.header}, &a.enc, &a.parts, &a.had, &a.kept, &a.bytes, moment{&a.gapAt})
	return a, noRows(err)
}

const idQuery = `SELECT COUNT(*) FROM documents WHERE id = $1`

// admit says why a new document is not taken, if so.
func (b *batch) admit(ctx context.Context, h wire.Header) (PutStatus, error) {
	n, err := one(ctx, b, scanInt, idQuery, h.ID)
	if err != nil || n > 0 {
		return whyNot(ctx, b, Document{ID: h.ID, Collector: h.Collector})
	}
	var count, bytes int64
	err = b.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM arriving WHERE collector = $1`, h.Collector).Scan(&count, &bytes)
	for _, a := range b.arriving {
		bytes += a.bytes // at most the batch is counted twice
	}
	if err == nil && (count+int64(len(b.arriving)) >= maxArriving || bytes >= maxArrivingBytes) {
		return PutBusy, nil
	}
	return "", err
}

// take stores one part.
func (a *arriving) take(ctx context.Context, b *batch, p Part) (PutStatus, error) {
	h := p.Header
	switch {
	case enc(h) != a.enc, h.Run != a.header.Run || h.Device != a.header.Device || h.Item != a.header.Item,
		a.parts > 0 && (h.Part >= a.parts || (h.Parts > 0 && h.Parts != a.parts)):
		return PutMalformed, nil
	case h.Size > p.Max, a.bytes+int64(len(p.Body)) > p.Max+p.Max/8+wire.MaxFrame:
		return PutTooLarge, nil
	}
	n, err := exec(ctx, b, `INSERT INTO parts (collector, document, part, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		h.Collector, h.ID, h.Part, p.Body)
	if err != nil {
		return "", err
	}
	if n == 0 && h.Part > a.kept && !a.gapAt.IsZero() && p.ReceivedAt.Sub(a.gapAt) > lostAfter {
		return PutLost, nil
	}
	if n == 1 {
		a.had++
		a.bytes += int64(len(p.Body))
	}
	if h.Parts > 0 {
		a.parts, a.header = h.Parts, h
	}
	a.seenAt = p.ReceivedAt
	if err := a.advance(ctx, b, h.ID); err != nil {
		return "", err
	}
	if a.parts > 0 && a.had > a.parts {
		return PutMalformed, nil
	}
	if a.parts > 0 && a.kept == a.parts {
		return PutWhole, nil
	}
	return PutKept, nil
}

// advance counts the parts from the first on, as far as there is no gap.
func (a *arriving) advance(ctx context.Context, b *batch, id string) error {
	for a.kept < a.had {
		n, err := one(ctx, b, scanInt, `SELECT COUNT(*) FROM parts WHERE collector = $1 AND document = $2 AND part = $3`, a.collector, id, a.kept)
		if err != nil {
			return err
		}
		if n == 0 {
			if a.gapAt.IsZero() {
				a.gapAt = a.seenAt
			}
			return nil
		}
		a.kept++
		a.gapAt = time.Time{}
	}
	a.gapAt = time.Time{}
	return nil
}

// save writes what the batch changed.
func (a *arriving) save(ctx context.Context, b *batch, id string) error {
	if a.gone != "" {
		return nil
	}
	header, err := json.Marshal(a.header)
	if err != nil {
		return fmt.Errorf("encoding a header: %w", err)
	}
	_, err = exec(ctx, b, `INSERT INTO arriving (collector, id, header, enc, parts, had, kept, bytes, gap_at, seen_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (collector, id) DO UPDATE SET
		header = excluded.header, parts = excluded.parts, had = excluded.had, kept = excluded.kept,
		bytes = excluded.bytes, gap_at = excluded.gap_at, seen_at = excluded.seen_at`,
		a.collector, id, string(header), a.enc, a.parts, a.had, a.kept, a.bytes, micros(a.gapAt), micros(a.seenAt))
	return err
}

// dropParts forgets a document that is not whole.
func dropParts(ctx context.Context, q querier, collector, id string) error {
	if _, err := exec(ctx, q, `DELETE FROM parts WHERE collector = $1 AND document = $2`, collector, id); err != nil {
		return err
	}
	_, err := exec(ctx, q, `DELETE FROM arriving WHERE collector = $1 AND id = $2`, collector, id)
	return err
}

// forgetUnfinished drops documents whose next part did not come.
func forgetUnfinished(ctx context.Context, t *sql.Tx, now time.Time) error {
	type of struct{ collector, id string }
	old, err := all(ctx, t, func(r row) (o of, err error) { return o, r.Scan(&o.collector, &o.id) },
		`SELECT collector, id FROM arriving WHERE seen_at <= $1`, micros(now.Add(-partsLife)))
	for i := 0; i < len(old) && err == nil; i++ {
		err = dropParts(ctx, t, old[i].collector, old[i].id)
	}
	return err
}
