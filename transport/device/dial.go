package device

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Ports of a device whose port is not configured, in this order: that of
// NETCONF over SSH (RFC 6242 §4), where the subsystem is alone, and that of SSH.
const (
	netconfPort = 830
	sshPort     = 22
)

// trip is one Dial.
type trip struct {
	dialer *Dialer
	target Target
	hops   []*hop // the device last
	rec    record // of the device
}

// Dial logs in at each bastion, or takes the connection that stands, and then at
// the device, and opens the netconf subsystem there or what can stand in for it.
// Errors are of type *Error. It returns at once when ctx ends.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Conn, error) {
	tr := &trip{dialer: d, target: t}
	conn, e := tr.run(ctx)
	if e != nil {
		tr.complete(e)
		return nil, e
	}
	return conn, nil
}

func (t *trip) run(ctx context.Context) (c *Conn, e *Error) {
	if t.hops, e = t.dialer.prepare(t.target); e != nil {
		return nil, e
	}
	if t.dialer.isClosed() {
		return nil, (&Error{Phase: PhaseConnect, Kind: KindCancelled, Err: errDialerClosed}).blame(0)
	}
	device := func(via *link, stood bool) (e *Error) {
		t.rec = record{}
		if c, e = t.device(ctx, via); e == nil {
			c.info.gather(t, via, stood)
		}
		return e
	}
	if len(t.hops) == 1 {
		return c, device(nil, false)
	}
	_, e = t.dialer.reach(ctx, t.hops[:len(t.hops)-1], device)
	return c, e
}

// device tries the ports of the device. The second is tried only where the first
// did not serve: never after a refused log-in or host key.
func (t *trip) device(ctx context.Context, via *link) (*Conn, *Error) {
	h := *t.hops[len(t.hops)-1]
	if h.Port != 0 {
		return t.at(ctx, &h, via, true)
	}
	h.Port = netconfPort
	c, first := t.at(ctx, &h, via, false)
	if first == nil || !first.elsewhere() || ctx.Err() != nil {
		return c, first
	}
	h.Port = sshPort
	c, second := t.at(ctx, &h, via, true)
	switch {
	case second == nil:
		return c, nil
	case first.Kind == KindSubsystem && second.elsewhere() && second.Kind != KindSubsystem:
		return nil, first
	}
	second.Err = fmt.Errorf("port %d: %w (port %d before: %w)", sshPort, second.Err, netconfPort, first.Err)
	return nil, second
}

// elsewhere tells whether another port may serve what this one did not.
func (e *Error) elsewhere() bool {
	switch e.Kind {
	case KindRefused, KindConnect, KindSubsystem, KindForwardRefused:
		return true
	}
	return false
}

// at logs in at one port of the device. standIns allows what can stand in for the
// subsystem.
func (t *trip) at(ctx context.Context, h *hop, via *link, standIns bool) (*Conn, *Error) {
	c, e := t.dialer.enter(ctx, h, via, &t.rec)
	if e != nil {
		return nil, e
	}
	s, e := t.open(ctx, c, standIns)
	if e != nil {
		return nil, e
	}
	conn := &Conn{session: *s, client: c, via: via}
	for _, h := range t.hops {
		conn.names = append(conn.names, h.name())
	}
	conn.info.Port, conn.info.Mode = h.Port, s.mode
	return conn, nil
}

// gather tells what became known on the way.
func (i *Info) gather(t *trip, via *link, stood bool) {
	var records []record
	if via != nil {
		records = via.records()
	}
	i.add(t.hops, append(records, t.rec), stood)
}

func (i *Info) add(hops []*hop, records []record, stood bool) {
	i.FirstUse, i.HostKeys, i.Algorithms = map[string]string{}, map[string]string{}, map[string]Algorithms{}
	for n, r := range records[:min(len(records), len(hops))] {
		h, bastion := hops[n], n < len(hops)-1
		i.addSteps(r.steps, h.name(), bastion, stood && bastion)
		if r.key == nil {
			continue
		}
		key := bare(r.key)
		i.HostKeys[h.name()] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		if first, err := h.pins.verify(r.key, h.TrustFirst); first && err == nil {
			i.FirstUse[h.name()] = ssh.FingerprintSHA256(key)
		}
		if r.algorithms != (Algorithms{}) {
			i.Algorithms[h.name()] = r.algorithms
		}
	}
}

func (i *Info) addSteps(steps []Step, name string, bastion, stood bool) {
	for _, s := range steps {
		s.Hop, s.Bastion = name, bastion
		if stood {
			s.Took = 0
			s.Detail = strings.TrimSpace(s.Detail + " (shared connection)")
		}
		i.Steps = append(i.Steps, s)
	}
}

// complete puts the caller's names into an error, and what became known.
func (t *trip) complete(e *Error) {
	hops := t.target.Via
	e.blame(len(hops))
	at := t.target.Device
	if e.Bastion = e.at <= len(hops); e.Bastion {
		at = hops[e.at-1]
	}
	e.Hop = at.name()
	records := e.records
	if len(records) == len(hops) {
		records = append(records, t.rec)
	}
	var i Info
	i.add(t.hops, records, false)
	e.Trusted, e.Steps = i.FirstUse, i.Steps
}
