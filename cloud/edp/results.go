package edp

import (
	"cmp"
	"context"
	"slices"

	"lwc/transport/wire"
)

// runResults returns how the devices of a run ended. Documents, Bytes and
// Outcomes are what is stored, over all boots.
func runResults(ctx context.Context, q querier, r Run) ([]DeviceResult, error) {
	tallies, err := tally(ctx, q, r.Collector, r.ID)
	if err != nil {
		return nil, err
	}
	return all(ctx, q, func(x row) (d DeviceResult, err error) {
		err = x.Scan(jsonColumn{&d.DeviceResult})
		d.Documents, d.Bytes, d.Outcomes = 0, 0, map[string]int{}
		for _, n := range tallies[d.Device] {
			d.Outcomes[n.outcome] = n.documents
			d.Documents += n.documents
			d.Bytes += n.bytes
		}
		return d, err
	}, `SELECT result FROM run_devices WHERE run = $1 ORDER BY device`, r.ID)
}

// count is how many documents of a device have one outcome.
type count struct {
	device, outcome string
	documents       int
	bytes           int64
}

func tally(ctx context.Context, q querier, collector, run string) (map[string][]count, error) {
	list, err := all(ctx, q, func(x row) (c count, err error) {
		return c, x.Scan(&c.device, &c.outcome, &c.documents, &c.bytes)
	}, `SELECT device, outcome, COUNT(*), COALESCE(SUM(size), 0) FROM documents
		WHERE collector = $1 AND run = $2 GROUP BY device, outcome`, collector, run)
	out := map[string][]count{}
	for _, c := range list {
		out[c.device] = append(out[c.device], c)
	}
	return out, err
}

// shownDevices is how many devices a Left names.
const shownDevices = 5

// leftOf groups what has no document by its reason, the most frequent first.
func leftOf(ctx context.Context, q querier, run string) ([]Left, error) {
	var out []Left
	_, err := all(ctx, q, func(x row) (l Left, err error) {
		var device string
		if err := x.Scan(&l.Status, &l.Outcome, &l.Reason, &device, &l.Items); err != nil {
			return l, err
		}
		at := slices.IndexFunc(out, func(o Left) bool {
			return o.Status == l.Status && o.Outcome == l.Outcome && o.Reason == l.Reason
		})
		if at < 0 {
			at = len(out)
			out = append(out, Left{Status: l.Status, Outcome: l.Outcome, Reason: l.Reason})
		}
		out[at].add(device, l.Items)
		return l, nil
	}, `SELECT status, outcome, reason, device, COUNT(*) FROM run_items
		WHERE run = $1 AND status NOT IN ('stored', 'expected')
		GROUP BY status, outcome, reason, device ORDER BY status, outcome, reason, device`, run)
	slices.SortStableFunc(out, func(a, b Left) int { return cmp.Compare(b.Items, a.Items) })
	return out, err
}

func (l *Left) add(device string, items int) {
	l.Items += items
	l.Of++
	if len(l.Devices) < shownDevices {
		l.Devices = append(l.Devices, device)
	}
}

// judged turns the result of a device into a failure when it sent nothing but
// documents that nobody can read.
func judged(ctx context.Context, q querier, collector, run string, r wire.DeviceResult) (wire.DeviceResult, error) {
	if !r.OK {
		return r, nil
	}
	readable, err := one(ctx, q, scanInt, `SELECT COUNT(*) FROM documents
		WHERE collector = $1 AND run = $2 AND device = $3 AND outcome <> 'malformed'`, collector, run, r.Device)
	if err != nil || readable > 0 {
		return r, err
	}
	stored, err := one(ctx, q, scanInt, `SELECT COUNT(*) FROM documents
		WHERE collector = $1 AND run = $2 AND device = $3`, collector, run, r.Device)
	if err != nil || stored == 0 {
		return r, err
	}
	r.OK, r.Phase, r.Kind = false, "parse", "malformed"
	r.Error = "Every reply of the device is malformed: none is well-formed XML, so nothing can be read from it. The bytes are stored as they came: look at one of its documents, and open a case with it."
	return r, nil
}
