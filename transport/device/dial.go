package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	if t.dialer.isClosed() {
		return nil, (&Error{Phase: PhaseConnect, Kind: KindCancelled, Err: errDialerClosed}).blame(0)
	}
	defer func() {
		for _, h := range t.hops {
			h.key.drop()
		}
	}()
	if t.hops, e = t.dialer.prepare(t.target); e != nil {
		return nil, e
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

// try is one log-in at a device.
type try struct {
	port     uint16
	standIns bool // what can stand in for the subsystem is allowed
	known    Mode // that worked there before, in place of the subsystem; empty: none
}

// tries returns the ways into a device, in order: what worked before, and then
// the usual ones.
func tries(port uint16, w way) []try {
	known := w.mode
	if known == ModeNETCONF {
		known = ""
	}
	usual := []try{{port: netconfPort}, {sshPort, true, known}}
	switch {
	case port != 0:
		return []try{{port, true, known}}
	case w.port == sshPort:
		return append([]try{{sshPort, known != "", known}}, usual...)
	}
	return usual
}

// missed is a try that failed.
type missed struct {
	port uint16
	*Error
}

// device tries the ways into the device. Another is tried only where the one
// before did not serve: never after a refused log-in or host key.
func (t *trip) device(ctx context.Context, via *link) (*Conn, *Error) {
	h := *t.hops[len(t.hops)-1]
	at, memory := place{h.address, h.Port}, &t.dialer.memory
	var all []missed
	for _, try := range tries(h.Port, memory.wayTo(at)) {
		if slices.ContainsFunc(all, func(m missed) bool { return m.port == try.port && m.Kind != KindSubsystem }) {
			continue // nothing serves there
		}
		h.Port = try.port
		c, e := t.at(ctx, &h, via, try)
		if e == nil {
			memory.entered(at, way{try.port, c.info.Mode})
			return c, nil
		}
		if all = append(all, missed{try.port, e}); !e.elsewhere() || ctx.Err() != nil {
			break
		}
	}
	return nil, most(all)
}

// most returns of several failures the one to act on: the last, unless it says
// no more than that another port serves better.
func most(all []missed) *Error {
	last := all[len(all)-1]
	if last.elsewhere() { // else it is where the tries ended
		slices.SortStableFunc(all, func(a, b missed) int { return int(b.port) - int(a.port) })
		last = all[len(all)-1]
	}
	e := last.Error
	for _, m := range all {
		switch {
		case m.Error == last.Error || m.port == last.port:
		case m.Kind == KindSubsystem && last.elsewhere() && last.Kind != KindSubsystem:
			return m.Error
		default:
			e.Err = fmt.Errorf("port %d: %w (port %d: %w)", last.port, e.Err, m.port, m.Err)
		}
	}
	return e
}

// elsewhere tells whether another port may serve what this one did not.
func (e *Error) elsewhere() bool {
	switch e.Kind {
	case KindRefused, KindConnect, KindSubsystem, KindForwardRefused:
		return true
	}
	return errors.Is(e.Err, errWordless)
}

// at logs in at one port of the device.
func (t *trip) at(ctx context.Context, h *hop, via *link, try try) (*Conn, *Error) {
	c, e := t.dialer.enter(ctx, h, via, &t.rec)
	if e != nil {
		return nil, e
	}
	s, e := t.open(ctx, c, try)
	if e != nil {
		return nil, e
	}
	conn := &Conn{session: *s, client: c, via: via, closed: make(chan struct{})}
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
