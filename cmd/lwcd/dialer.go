package main

import (
	"context"
	"errors"

	"lwc/collector"
	"lwc/transport/device"
)

// dialer lets the collector dial through transport/device.
type dialer struct{ d *device.Dialer }

// Dial implements collector.Dialer.
func (d dialer) Dial(ctx context.Context, t collector.Target) (collector.Channel, error) {
	c, err := d.d.Dial(ctx, targetOf(t))
	if err != nil {
		return nil, withHop(err)
	}
	return c, nil
}

func targetOf(t collector.Target) device.Target {
	out := device.Target{Device: device.Hop{Name: t.Device.ID, Address: t.Device.Address, Port: t.Device.Port,
		Auth: device.Auth(t.Auth), HostKeys: t.Device.HostKeys, TrustFirst: t.Device.TrustFirst}}
	for _, h := range t.Via {
		out.Via = append(out.Via, device.Hop{Name: h.Name, Address: h.Address, Port: h.Port,
			Auth: device.Auth(h.Auth), HostKeys: h.HostKeys, TrustFirst: h.TrustFirst})
	}
	return out
}

// dialError adds to an error which hop it was, in the form the collector reads.
type dialError struct{ at *device.Error }

func (e dialError) Error() string                       { return e.at.Error() }
func (e dialError) Unwrap() error                       { return e.at }
func (e dialError) Diagnosis() (string, string, string) { return e.at.Diagnosis() }
func (e dialError) FailedHop() string                   { return e.at.Hop }

func withHop(err error) error {
	var de *device.Error
	if errors.As(err, &de) {
		return dialError{de}
	}
	return err
}
