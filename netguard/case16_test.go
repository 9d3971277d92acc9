package netguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// meddling is what root does to a port inside its namespace.
type meddling struct {
	name   string
	kind   Kind
	blocks bool
	make   func(h *netguardtest.Host, w netguardtest.Wire) error
}

func meddlings() []meddling {
	return []meddling{
		{"rule", KindRule, false, func(h *netguardtest.Host, _ netguardtest.Wire) error { return addRule(h, unix.AF_INET) }},
		{"rule of IPv6", KindRule, false, func(h *netguardtest.Host, _ netguardtest.Wire) error { return addRule(h, unix.AF_INET6) }},
		{"extra route", KindRoute, false, func(h *netguardtest.Host, w netguardtest.Wire) error {
			return h.Route(netip.MustParsePrefix("198.51.100.0/24"), w.FarAddr(false))
		}},
		{"extra route of IPv6", KindRoute, false, func(h *netguardtest.Host, w netguardtest.Wire) error {
			return h.Route(netip.MustParsePrefix("2001:db8:9::/48"), w.FarAddr(true))
		}},
		{"MAC", KindLink, true, func(h *netguardtest.Host, w netguardtest.Wire) error {
			l, err := h.Link(w.Port)
			if err != nil {
				return err
			}
			return h.Netlink().LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 7})
		}},
		{"namesake", KindLink, true, func(h *netguardtest.Host, w netguardtest.Wire) error {
			l, err := h.Link(w.Port)
			if err != nil {
				return err
			}
			attrs := netlink.NewLinkAttrs()
			attrs.Name = w.Port
			return errors.Join(h.Netlink().LinkDel(l),
				h.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "evil", PeerNamespace: netlink.NsFd(w.Far.Fd())}))
		}},
	}
}

func addRule(h *netguardtest.Host, family int) error {
	r := netlink.NewRule()
	r.Table, r.Priority, r.Family = 99, 10, family
	return h.Netlink().RuleAdd(r)
}

// Each change by root is detected at once, by its event: without one, the sweep
// of everything comes only each half minute. What can be undone while the ports
// stay open is.
func TestCase16Changes(t *testing.T) {
	for _, side := range []Side{InternalSide, ExternalSide} {
		for _, c := range meddlings() {
			t.Run(string(side)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				c.detected(t, side)
			})
		}
	}
}

func (c meddling) detected(t *testing.T, side Side) {
	s := newScene(t)
	g := s.guarded(t)
	start := time.Now()
	must(t, c.make(s.in(t, side), s.wire(side)))
	e := g.event(t, limit(testTimeout), c.kind)
	took := e.At.Sub(start)
	if took > limit(100*time.Millisecond) {
		t.Errorf("detected after %v", took)
	}
	if v := e.Violation; v.Port != side || v.Healed == c.blocks || (e.Status == Blocked) != c.blocks {
		t.Errorf("the event is %+v, %+v", e, v)
	}
	if !c.blocks {
		if m := g.ask(t, "verify"); m.Answer != "clean" {
			t.Errorf("afterwards: %s", m.Answer)
		}
	}
	record(t, caseResult{Case: 16, What: c.name + " at the " + string(side) + " port: detected", Took: took})
}
