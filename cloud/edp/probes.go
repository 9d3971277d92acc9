package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"lwc/transport/wire"
)

// chooseDevices fills in the devices of a probe job.
func chooseDevices(ctx context.Context, t *sql.Tx, j *Job) error {
	f, err := loadFleet(ctx, t, j.Collector)
	if err != nil {
		return err
	}
	devices, err := f.choose(j.Devices)
	if err != nil {
		return err
	}
	j.Devices, j.Total = nil, len(devices)
	for _, d := range devices {
		j.Devices = append(j.Devices, d.ID)
	}
	return nil
}

// putProbe keeps the diagnosis of one device of a probe job, and how it was
// reached. What a job does not ask for is passed over.
func putProbe(ctx context.Context, t *sql.Tx, j Job, at time.Time, p wire.Probe) error {
	if !slices.Contains(j.Devices, p.Device) {
		return nil
	}
	body, err := asJSON(p)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO probes (job, device, collector, at, result) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (job, device) DO UPDATE SET at = excluded.at, result = excluded.result`,
		j.ID, p.Device, j.Collector, micros(at), body)
	if err != nil {
		return err
	}
	if err := forgetProbes(ctx, t, j.Collector, p.Device); err != nil || p.Access == nil {
		return err
	}
	return setAccess(ctx, t, j.Collector, p.Device, p.Access)
}

// keptProbes is how many diagnoses of one device are kept: enough to compare.
const keptProbes = 10

// forgetProbes drops the old diagnoses of a device. Those of a job that is under
// way stay: they tell what it still has to ask for.
func forgetProbes(ctx context.Context, t *sql.Tx, collector, device string) error {
	_, err := exec(ctx, t, `DELETE FROM probes WHERE collector = $1 AND device = $2
		AND at < (SELECT at FROM probes WHERE collector = $1 AND device = $2 ORDER BY at DESC LIMIT 1 OFFSET $3)
		AND job IN (SELECT id FROM jobs WHERE state IN ($4, $5, $6))`,
		collector, device, keptProbes-1, wire.JobDone, wire.JobFailed, wire.JobRefused)
	return err
}

// forgetGone drops the diagnoses of devices that are in no fleet, up to a time.
func forgetGone(ctx context.Context, t *sql.Tx, until int64) error {
	_, err := exec(ctx, t, `DELETE FROM probes WHERE at <= $1 AND NOT EXISTS
		(SELECT 1 FROM devices d WHERE d.collector = probes.collector AND d.id = probes.device)`, until)
	return err
}

func setAccess(ctx context.Context, t querier, collector, device string, a *wire.Access) error {
	body, err := asJSON(a)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `UPDATE devices SET access = $1 WHERE collector = $2 AND id = $3`, body, collector, device)
	return err
}

func scanProbe(r row) (p Probe, err error) {
	return p, r.Scan(&p.Job, moment{&p.At}, jsonColumn{&p.Probe})
}

// Probes returns the diagnoses of a job that are there so far, in the order in
// which they came.
func (s *Store) Probes(ctx context.Context, job string) ([]Probe, error) {
	list, err := all(ctx, s.read, scanProbe, `SELECT job, at, result FROM probes WHERE job = $1 ORDER BY at, device`, job)
	if err != nil {
		return nil, fmt.Errorf("listing the diagnoses of job %.40q: %w", job, err)
	}
	return list, nil
}

// LastProbe returns the newest diagnosis of a device; ErrNotFound when there is
// none.
func (s *Store) LastProbe(ctx context.Context, collector, device string) (Probe, error) {
	p, err := one(ctx, s.read, scanProbe, `SELECT job, at, result FROM probes WHERE collector = $1 AND device = $2
		ORDER BY at DESC, job DESC LIMIT 1`, collector, device)
	if err != nil {
		return Probe{}, fmt.Errorf("reading the last probe of device %.80q: %w", device, err)
	}
	return p, nil
}

// RemainingProbes returns the devices of a probe job that no diagnosis is there
// of: what a repeated job has to ask for.
func (s *Store) RemainingProbes(ctx context.Context, job string) ([]string, error) {
	j, err := s.Job(ctx, job)
	if err != nil {
		return nil, err
	}
	done, err := s.Probes(ctx, job)
	return slices.DeleteFunc(j.Devices, func(id string) bool {
		return slices.ContainsFunc(done, func(p Probe) bool { return p.Device == id })
	}), err
}

// beforehand is what a device said of an item in its newest document.
func beforehand(ctx context.Context, t querier, collector, device, item string) (string, error) {
	out, err := one(ctx, t, scanString, `SELECT d.outcome FROM latest_documents l JOIN documents d
		ON d.collector = l.collector AND d.id = l.document WHERE l.collector = $1 AND l.device = $2 AND l.item = $3`,
		collector, device, item)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return out, err
}
