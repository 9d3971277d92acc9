// Package dial joins the collector, which wants channels to devices, to
// transport/device, which makes them: New gives a collector.Dialer.
package dial

import (
	"context"
	"errors"
	"fmt"

	"lwc/collector"
	"lwc/netguard"
	"lwc/transport/device"
	"lwc/transport/wire"
)

// Dialer is a collector.Dialer.
type Dialer struct{ d *device.Dialer }

// New returns a Dialer that dials through d.
func New(d *device.Dialer) Dialer { return Dialer{d} }

// Dial implements collector.Dialer.
func (d Dialer) Dial(ctx context.Context, t collector.Target) (collector.Channel, error) {
	c, err := d.d.Dial(ctx, targetOf(t))
	if err != nil {
		return nil, withHop(err)
	}
	return channel{c, hopsOf(t)}, nil
}

// Close ends the connections to the bastions. Nothing is dialled after it.
func (d Dialer) Close() error { return d.d.Close() }

func targetOf(t collector.Target) device.Target {
	out := device.Target{AllowCLI: t.AllowCLI, Device: device.Hop{Name: t.Device.ID, Address: t.Device.Address,
		Port: t.Device.Port, Auth: authOf(t.Auth), HostKeys: t.Device.HostKeys, TrustFirst: t.Device.TrustFirst,
		Legacy: t.Device.Legacy}}
	for _, h := range t.Via {
		out.Via = append(out.Via, device.Hop{Name: h.Name, Address: h.Address, Port: h.Port, Auth: authOf(h.Auth),
			HostKeys: h.HostKeys, TrustFirst: h.TrustFirst, Legacy: h.Legacy, MaxSessions: h.MaxSessions})
	}
	return out
}

func authOf(a collector.Auth) device.Auth {
	return device.Auth{User: a.User, Password: a.Password, PrivateKey: a.PrivateKey,
		Passphrase: a.Passphrase, Certificate: a.Certificate}
}

// hopsOf names the hops in order, the device last.
func hopsOf(t collector.Target) []string {
	var out []string
	for _, h := range t.Via {
		out = append(out, h.Name)
	}
	return append(out, t.Device.ID)
}

// dialError adds to an error which hop it was, in the form the collector reads,
// and tells a refusal of the Internal Port from a silence of the device.
type dialError struct{ at *device.Error }

func (e dialError) Error() string               { return e.at.Error() }
func (e dialError) Unwrap() error               { return e.at }
func (e dialError) FailedHop() string           { return e.at.Hop }
func (e dialError) FirstUse() map[string]string { return e.at.FirstUse() }
func (e dialError) Steps() []wire.ProbeStep     { return stepsOf(e.at.Steps) }

// Diagnosis implements what the collector asks of an error.
func (e dialError) Diagnosis() (phase, kind, advice string) {
	switch {
	case errors.Is(e.at, netguard.ErrBlocked), errors.Is(e.at, netguard.ErrClosed):
		return string(device.PhaseConnect), string(device.KindConnect),
			"The ports of the collector are blocked, so nothing was sent. Nothing is wrong with the device: see the port violations among the collector's events."
	case errors.Is(e.at, netguard.ErrNotAllowed):
		return string(device.PhaseConfig), string(device.KindConfig), fmt.Sprintf(
			"The Internal Port must not reach the address of %q (%v). Correct that address, or the subnets and routes of the two ports in lwcd.toml.", e.at.Hop, e.at.Err)
	case errors.Is(e.at, netguard.ErrNoDNS):
		return string(device.PhaseResolve), string(device.KindResolve), fmt.Sprintf(
			"The name of %q cannot be resolved, because the Internal Port has no name server. Give an IP address, or set internal.dns in lwcd.toml.", e.at.Hop)
	}
	return e.at.Diagnosis()
}

func withHop(err error) error {
	var de *device.Error
	if errors.As(err, &de) {
		return dialError{de}
	}
	return err
}
