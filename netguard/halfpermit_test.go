package netguard

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// misledUpstream is a supervisor that permits what it must not.
type misledUpstream struct {
	Upstream
	permits []netip.AddrPort
}

func (u misledUpstream) Permit(context.Context, Endpoint) ([]netip.AddrPort, error) {
	return u.permits, nil
}

// A half goes by its own view of the internal side before it dials what it is
// told, and by the port that it asked for.
func TestHalfDistrustsPermissions(t *testing.T) {
	s := newSite(t)
	cloud := serve(t, s.cloud, cloudAddr4+":443", "cloud")
	g := s.up(t)
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	_, err = g.Permit(within(t, testTimeout), Endpoint{Host: cloudAddr4, Port: 443})
	must(t, err)
	permits := make([]netip.AddrPort, 1)
	h := v.run(t, misledUpstream{g, permits})
	for addr, says := range map[string]string{deviceAddr4 + ":443": "internal port", "10.99.7.7:443": "internal port", "127.0.0.1:443": "loopback",
		"[::ffff:" + cloudAddr4 + "]:443": "mapped", "192.0.2.2:443": "own address"} {
		permits[0] = netip.MustParseAddrPort(addr)
		if _, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud); !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s was permitted: %v, want ErrNotAllowed and %q", addr, err, says)
		}
	}
	permits[0] = netip.AddrPort{}
	if _, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("no address was permitted: %v", err)
	}
	permits[0] = netip.MustParseAddrPort(cloudAddr4 + ":444")
	c, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud)
	must(t, err)
	if got := readAll(t, c); got != "cloud" {
		t.Errorf("read %q", got)
	}
}

// A half goes on with the namespaces that it joined, or not at all; and what was
// blocked is open again once it has looked itself.
func TestHalfTakesViews(t *testing.T) {
	first := View{Serial: 1, Config: good(), Cookies: [2]uint64{1, 2}, State: State{Status: Open}}
	h := &Half{view: first, events: make(chan Event, eventBacklog), ready: make(chan struct{})}
	other, plain := first, first
	other.Cookies[1], plain.Config.Mode = 3, Unprotected
	for _, v := range []View{other, plain} {
		if err := h.take(v); !errors.Is(err, ErrWrongNamespace) {
			t.Errorf("took %+v: %v", v, err)
		}
	}
	status := func(want Status, when string) {
		t.Helper()
		if got := h.State().Status; got != want || (h.refusal() == nil) != (want == Open) {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	blocked := first
	blocked.State.Status = Blocked
	status(Down, "at first")
	h.settle(nil, true)
	status(Open, "once it has looked")
	must(t, h.take(first))
	status(Open, "with the same view")
	must(t, h.take(blocked))
	status(Blocked, "with the supervisor's word")
	must(t, h.take(first))
	status(Down, "before it has looked again")
	h.settle([]*Violation{{Kind: KindRoute}}, true)
	status(Blocked, "with a violation")
}

// noted is something open, and whether it was ended.
type noted struct{ ended bool }

func (n *noted) abort() { n.ended = true }

// What is open is ended when the supervisor blocks the ports, and when it is gone.
func TestHalfHangsUp(t *testing.T) {
	for name, end := range map[string]func(*Half){
		"blocked": func(h *Half) { h.verify(t.Context(), nil) },
		"gone":    func(h *Half) { h.abandon(context.Canceled) },
	} {
		h := &Half{view: View{State: State{Status: Blocked}}, events: make(chan Event, eventBacklog), ready: make(chan struct{})}
		h.internal.port, h.external.port = newPort(h, InternalSide, Enforce), newPort(h, ExternalSide, Enforce)
		inside, outside := new(noted), new(noted)
		h.internal.port.conns.add(inside)
		h.external.port.conns.add(outside)
		end(h)
		if !inside.ended || !outside.ended {
			t.Errorf("%s: inside ended %v, outside %v", name, inside.ended, outside.ended)
		}
	}
}
