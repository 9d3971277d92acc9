package edp

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// Devices returns the devices of a collector, or of all when collector is empty,
// by collector and id.
func (s *Store) Devices(ctx context.Context, collector string) ([]DeviceRow, error) {
	list, err := all(ctx, s.read, scanDevice, deviceQuery+`
		WHERE $1 = '' OR d.collector = $1 ORDER BY d.collector, d.id`, collector)
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	return list, nil
}

// Device returns one device of a collector.
func (s *Store) Device(ctx context.Context, collector, id string) (DeviceRow, error) {
	d, err := one(ctx, s.read, scanDevice, deviceQuery+` WHERE d.collector = $1 AND d.id = $2`, collector, id)
	if err != nil {
		return DeviceRow{}, fmt.Errorf("reading device %.80q: %w", id, err)
	}
	return d, nil
}

const deviceQuery = `SELECT d.collector, d.body, d.host_name, d.model, d.version, d.serials,
	d.state, d.phase, d.kind, d.error, d.host_key, d.last_run, d.last_attempt, d.last_success, d.seconds, d.access,
	(SELECT COUNT(*) FROM documents x WHERE x.collector = d.collector AND x.run = d.last_run AND x.device = d.id),
	(SELECT COALESCE(SUM(x.size), 0) FROM documents x WHERE x.collector = d.collector AND x.run = d.last_run AND x.device = d.id)
	FROM devices d`

func scanDevice(r row) (d DeviceRow, err error) {
	var body Device
	err = r.Scan(&d.Collector, jsonColumn{&body}, &d.HostName, &d.Model, &d.Version, jsonColumn{&d.Serials},
		&d.State, &d.Phase, &d.Kind, &d.Error, &d.HostKey, &d.LastRun, moment{&d.LastAttempt}, moment{&d.LastSuccess},
		&d.Seconds, jsonColumn{&d.Access}, &d.Documents, &d.Bytes)
	d.Device, d.Groups = body.Device, body.Groups
	if len(d.Serials) > 0 {
		d.Serial = d.Serials[0]
	}
	return d, err
}

// SetIdentity notes what a device says of itself. What id does not know stays as
// it was. A device that left the fleet is passed over.
func (s *Store) SetIdentity(ctx context.Context, collector, device string, id junos.Identity) error {
	if err := setIdentity(ctx, s.write, collector, device, id); err != nil {
		return fmt.Errorf("noting the identity of device %.80q: %w", device, err)
	}
	return nil
}

func setIdentity(ctx context.Context, q querier, collector, device string, id junos.Identity) error {
	serials, err := asJSON(id.Serials)
	if err != nil {
		return err
	}
	if len(id.Serials) == 0 {
		serials = ""
	}
	_, err = exec(ctx, q, `UPDATE devices SET
		host_name = CASE WHEN $1 = '' THEN host_name ELSE $1 END, model = CASE WHEN $2 = '' THEN model ELSE $2 END,
		version = CASE WHEN $3 = '' THEN version ELSE $3 END, serials = CASE WHEN $4 = '' THEN serials ELSE $4 END
		WHERE collector = $5 AND id = $6`, id.HostName, id.Model, id.Version, serials, collector, device)
	return err
}

// SetDeviceResult notes how the collection of a device ended at a time. An older
// run never replaces a newer one; within a run the last word counts.
func (s *Store) SetDeviceResult(ctx context.Context, collector, run string, at time.Time, r wire.DeviceResult) error {
	err := s.tx(ctx, func(t *sql.Tx) error { return setResult(ctx, t, collector, run, at, r) })
	if err != nil {
		return fmt.Errorf("noting the result of device %.80q: %w", r.Device, err)
	}
	return nil
}

func setResult(ctx context.Context, t querier, collector, run string, at time.Time, r wire.DeviceResult) error {
	r, err := judged(ctx, t, collector, run, r)
	if err != nil {
		return err
	}
	body, err := asJSON(r)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO run_devices (run, device, at, result)
		SELECT id, $1, $2, $3 FROM runs WHERE id = $4 AND collector = $5
		ON CONFLICT (run, device) DO UPDATE SET at = excluded.at, result = excluded.result`,
		r.Device, micros(at), body, run, collector)
	if err != nil {
		return err
	}
	state := DeviceFailed
	if r.OK {
		state, r.Phase, r.Kind, r.Error = DeviceOK, "", "", ""
	}
	_, err = exec(ctx, t, `UPDATE devices SET state = $1, phase = $2, kind = $3, error = $4, last_run = $5,
		last_attempt = $6, last_success = CASE WHEN $7 THEN $6 ELSE last_success END, seconds = $8,
		host_key = CASE WHEN $9 = '' THEN host_key ELSE $9 END
		WHERE collector = $10 AND id = $11 AND (last_attempt <= $6 OR last_run = $5)`,
		state, r.Phase, r.Kind, r.Error, run, micros(at), r.OK, r.Seconds, r.HostKey, collector, r.Device)
	if err != nil || r.Access == nil {
		return err
	}
	return setAccess(ctx, t, collector, r.Device, r.Access)
}
