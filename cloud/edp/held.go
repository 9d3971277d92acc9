package edp

import (
	"context"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// HeldState is where the approval of a held document stands.
type HeldState string

// The states of a held document. Once its body is stored, or its collector has
// said that it is not to be had any more, it is no held document.
const (
	HeldWaiting  HeldState = "waiting"
	HeldApproved HeldState = "approved" // its body is to come
	HeldDeclined HeldState = "declined" // its collector is to drop it
)

// Held is a document whose body waits in its collector for an approval.
type Held struct {
	ID, Collector, Boot, Run, Device, Item, Outcome string
	SHA256                                          string
	Size                                            int64
	RawSHA256                                       string
	RawSize                                         int64
	Flags                                           []string
	CollectedAt, OfferedAt                          time.Time
	State                                           HeldState
	By                                              string // who decided
	DecidedAt                                       time.Time
}

// The kinds of events that tell of decisions.
const (
	EventApproved = "held-approved"
	EventDeclined = "held-declined"
)

const heldColumns = `id, collector, boot, run, device, item, outcome, sha256, size, raw_sha256, raw_size, flags,
	collected_at, offered_at, state, decided_by, decided_at`

func scanHeld(r row) (h Held, err error) {
	return h, r.Scan(&h.ID, &h.Collector, &h.Boot, &h.Run, &h.Device, &h.Item, &h.Outcome, &h.SHA256, &h.Size,
		&h.RawSHA256, &h.RawSize, jsonColumn{&h.Flags}, moment{&h.CollectedAt}, moment{&h.OfferedAt}, &h.State, &h.By, moment{&h.DecidedAt})
}

// Held returns the held documents of a collector, or of all where it is empty,
// oldest first.
func (s *Store) Held(ctx context.Context, collector string) ([]Held, error) {
	query, args := heldQuery(collector)
	list, err := all(ctx, s.read, scanHeld, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing held documents: %w", err)
	}
	return list, nil
}

func heldQuery(collector string) (string, []any) {
	if collector == "" {
		return `SELECT ` + heldColumns + ` FROM held ORDER BY offered_at, id`, nil
	}
	return `SELECT ` + heldColumns + ` FROM held WHERE collector = $1 ORDER BY offered_at, id`, []any{collector}
}

const decidedQuery = `SELECT ` + heldColumns + ` FROM held WHERE collector = $1 AND state IN ($2, $3) AND boot = $4 ORDER BY offered_at, id`

// HeldDecided returns the held documents of a boot that an admin has decided on,
// and whose collector has not followed yet.
func (s *Store) HeldDecided(ctx context.Context, collector, boot string) ([]Held, error) {
	list, err := all(ctx, s.read, scanHeld, decidedQuery, collector, HeldApproved, HeldDeclined, boot)
	if err != nil {
		return nil, fmt.Errorf("listing decisions on held documents: %w", err)
	}
	return list, nil
}

// DecideHeld approves or declines held documents, all or none, and returns the
// collectors that have to be told. Each decision is an event. ErrNotFound names an
// id that does not wait, ErrConflict one that was decided otherwise before.
func (s *Store) DecideHeld(ctx context.Context, ids []string, approve bool, by string) (collectors []string, err error) {
	err = s.txCached(ctx, func(c *cached) error {
		for _, id := range ids {
			h, err := c.decide(ctx, id, approve, by)
			if err != nil {
				return fmt.Errorf("document %.40q: %w", id, err)
			}
			collectors = append(collectors, h.Collector)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("deciding on held documents: %w", err)
	}
	return sortedUnique(collectors), nil
}

func (c *cached) decide(ctx context.Context, id string, approve bool, by string) (Held, error) {
	h, err := one(ctx, c, scanHeld, `SELECT `+heldColumns+` FROM held WHERE id = $1`, id)
	if err != nil {
		return h, err
	}
	to, kind := HeldDeclined, EventDeclined
	if approve {
		to, kind = HeldApproved, EventApproved
	}
	switch h.State {
	case to:
		return h, nil
	case HeldWaiting:
	default:
		return h, fmt.Errorf("it was %s by %s before: %w", h.State, h.By, ErrConflict)
	}
	if _, err = exec(ctx, c, `UPDATE held SET state = $1, decided_by = $2, decided_at = $3 WHERE id = $4`,
		to, by, micros(time.Now()), id); err != nil {
		return h, err
	}
	return h, addEvent(ctx, c, wire.Event{Collector: h.Collector, Boot: h.Boot, Time: time.Now().UTC(), Kind: kind, Device: h.Device,
		Text: fmt.Sprintf("%s %s document %s: %s, %d bytes", by, to, h.ID, h.Item, h.Size)})
}

// offer keeps the header of a held document.
func (b *batch) offer(ctx context.Context, d Document) (PutStatus, error) {
	if st, err := whyNot(ctx, b, d); err != nil || st == PutDuplicate {
		return st, err // an earlier boot sent it: there is nothing to approve
	}
	flags, err := asJSON(d.Flags)
	if err != nil {
		return "", err
	}
	n, err := exec(ctx, b, `INSERT INTO held (id, collector, boot, run, device, item, outcome, flags, sha256, size,
			raw_sha256, raw_size, collected_at, offered_at, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
		d.ID, d.Collector, d.Boot, d.Run, d.Device, d.Item, d.Outcome, flags, d.SHA256, d.Size,
		d.RawSHA256, d.RawSize, micros(d.CollectedAt), micros(time.Now()), HeldWaiting)
	if err != nil {
		return "", err
	}
	b.holding[d.Collector] = true
	if n == 1 {
		return PutOffered, nil
	}
	owner, err := one(ctx, b, scanString, `SELECT collector FROM held WHERE id = $1`, d.ID)
	if err == nil && owner != d.Collector {
		return PutRefused, nil
	}
	return PutOffered, err
}

// settleHeld forgets a held document whose body is stored.
func (b *batch) settleHeld(ctx context.Context, d Document) error {
	holds, known := b.holding[d.Collector]
	if !known {
		var err error
		if holds, err = holdsAny(ctx, b, d.Collector); err != nil {
			return err
		}
		b.holding[d.Collector] = holds
	}
	if !holds {
		return nil
	}
	return forgetHeld(ctx, b, d.Collector, d.ID)
}

func holdsAny(ctx context.Context, q querier, collector string) (bool, error) {
	n, err := one(ctx, q, scanInt, `SELECT EXISTS (SELECT 1 FROM held WHERE collector = $1)`, collector)
	return n > 0, err
}

// settleAccounted forgets the held documents that a manifest has the last word on,
// whatever it is: nothing of them is to come any more.
func settleAccounted(ctx context.Context, q querier, m wire.Manifest) error {
	holds, err := holdsAny(ctx, q, m.Collector)
	for i := 0; i < len(m.Documents) && holds && err == nil; i++ {
		if id := m.Documents[i].ID; id != "" {
			err = forgetHeld(ctx, q, m.Collector, id)
		}
	}
	return err
}

func forgetHeld(ctx context.Context, q querier, collector, id string) error {
	_, err := exec(ctx, q, `DELETE FROM held WHERE collector = $1 AND id = $2`, collector, id)
	return err
}
