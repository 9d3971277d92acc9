package edp

import (
	"context"

	"lwc/transport/wire"
)

// itemExpected is the status of an item that nothing came of yet. It never stands
// in a manifest.
const itemExpected wire.EntryStatus = "expected"

// item is what became of one item of a device in a run.
type item struct {
	status          wire.EntryStatus
	reason, outcome string
}

// setItem enters what became of an item, and returns its status before, which is
// empty where nobody knew of it.
func setItem(ctx context.Context, q querier, run, device, name string, to item) (old wire.EntryStatus, err error) {
	n, err := exec(ctx, q, `INSERT INTO run_items (run, device, item, status, reason, outcome) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (run, device, item) DO NOTHING`, run, device, name, to.status, to.reason, to.outcome)
	if err != nil || n == 1 {
		return "", err
	}
	before, err := one(ctx, q, scanString, `SELECT status FROM run_items WHERE run = $1 AND device = $2 AND item = $3`, run, device, name)
	if err != nil {
		return "", err
	}
	_, err = exec(ctx, q, `UPDATE run_items SET status = $1, reason = $2, outcome = $3 WHERE run = $4 AND device = $5 AND item = $6`,
		to.status, to.reason, to.outcome, run, device, name)
	return wire.EntryStatus(before), err
}

// counters count the items of a run, or a change of them.
type counters struct{ expected, stored, failed, skipped, withheld int }

// move counts an item from one status into another.
func (c *counters) move(from, to wire.EntryStatus) {
	if from == "" {
		c.expected++
	}
	c.add(from, -1)
	c.add(to, 1)
}

func (c *counters) add(s wire.EntryStatus, n int) {
	switch s {
	case "", itemExpected:
	case wire.EntryStored, wire.EntryDuplicate:
		c.stored += n
	case wire.EntrySkipped:
		c.skipped += n
	case wire.EntryWithheld:
		c.withheld += n
	default:
		c.failed += n
	}
}

// write adds the change to the counters of a run.
func (c counters) write(ctx context.Context, q querier, run string) error {
	if c == (counters{}) {
		return nil
	}
	_, err := exec(ctx, q, `UPDATE runs SET expected = expected + $1, stored = stored + $2, failed = failed + $3,
		skipped = skipped + $4, withheld = withheld + $5 WHERE id = $6`,
		c.expected, c.stored, c.failed, c.skipped, c.withheld, run)
	return err
}

// itemsOf returns what is known of the items of a device in a run.
func itemsOf(ctx context.Context, q querier, run, device string) (map[string]wire.EntryStatus, error) {
	rows, err := q.QueryContext(ctx, `SELECT item, status FROM run_items WHERE run = $1 AND device = $2`, run, device)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]wire.EntryStatus{}
	for rows.Next() {
		var name string
		var status wire.EntryStatus
		if err := rows.Scan(&name, &status); err != nil {
			return nil, err
		}
		out[name] = status
	}
	return out, rows.Err()
}

// giveUp accounts for all items of a device that are still expected.
func giveUp(ctx context.Context, q querier, run, device, reason string) (counters, error) {
	n, err := exec(ctx, q, `UPDATE run_items SET status = 'failed', reason = $1
		WHERE run = $2 AND device = $3 AND status = 'expected'`, reason, run, device)
	return counters{failed: int(n)}, err
}
