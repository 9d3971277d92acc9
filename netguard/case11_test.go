package netguard

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// No port moves, and none is brought up, when the two share addresses.
func TestCase11OverlapConfigured(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*Config){
		"equal":      func(c *Config) { c.External.Addresses = prefixes("10.11.0.9/24") },
		"nested":     func(c *Config) { c.External.Addresses = prefixes("10.11.0.130/25") },
		"containing": func(c *Config) { c.External.Addresses = prefixes("10.9.0.9/8") },
		"mapped": func(c *Config) {
			c.External.Addresses = append(c.External.Addresses, netip.MustParsePrefix("::ffff:10.11.0.9/120"))
		},
		"internal route": func(c *Config) { c.Internal.Routes = []Route{route("192.0.0.0/16 via 10.11.0.1")} },
		"equal v6":       func(c *Config) { c.External.Addresses = prefixes("192.0.2.2/24", "fd00:11::9/64") },
	}
	s := newScene(t)
	good := s.config
	for name, change := range tests {
		s.config = good
		s.config.External.Gateway, s.config.External.Routes = netip.Addr{}, nil
		change(&s.config)
		g := s.guardian(t)
		// The mapped form is refused as such, before it is compared.
		if m := g.answer(t); m.Answer == "up" || !strings.Contains(m.Answer, "need separate subnets") && name != "mapped" {
			t.Errorf("%s: the guard says %q", name, m.Answer)
		}
		for _, w := range []netguardtest.Wire{s.Internal, s.External} {
			if l, err := s.Box.Link(w.Port); err != nil || l.Attrs().Flags&net.FlagUp != 0 {
				t.Errorf("%s: port %s was moved or brought up (%v)", name, w.Port, err)
			}
		}
	}
	record(t, caseResult{Case: 11, What: "equal, nested, mapped, covering subnets: ports moved", Control: len(tests)})
}

// An address that makes the two overlap at run time blocks, and stays.
func TestCase11OverlapAtRunTime(t *testing.T) {
	s := newScene(t)
	g := s.guarded(t)
	inside := s.in(t, InternalSide)
	start := time.Now()
	must(t, inside.Address(s.Internal.Port, netip.MustParsePrefix("192.0.2.200/25")))
	s.downWithin(t, start, "address in the other port's subnet")
	if e := g.event(t, limit(testTimeout), KindOverlap); e.Violation.Healed || e.Status != Blocked {
		t.Errorf("the event is %+v", e)
	}
	if m := g.ask(t, "external tcp "+netip.AddrPortFrom(s.External.FarAddr(false), 443).String()); m.Code != "blocked" {
		t.Errorf("dialling: %q", m.Answer)
	}
}

// downWithin measures how long the External Port stays up after start.
func (s *scene) downWithin(t *testing.T, start time.Time, what string) {
	t.Helper()
	took := s.portDown(t, start)
	if took > limit(100*time.Millisecond) {
		t.Errorf("%s: the External Port was down after %v", what, took)
	}
	record(t, caseResult{Case: 11, What: what + ": External Port down", Took: took})
}

// portDown waits until the External Port is down and says how long after start.
func (s *scene) portDown(t *testing.T, start time.Time) time.Duration {
	t.Helper()
	outside := s.in(t, ExternalSide)
	waitUntil(t, limit(testTimeout), "external port down", func() bool {
		l, err := outside.Link(s.External.Port)
		return err != nil || l.Attrs().RawFlags&unix.IFF_UP == 0
	})
	return time.Since(start)
}

// A DHCP server of the external network that gives out addresses of the internal
// one is not believed: the lease is declined and no port opens with it.
func TestCase11OverlapByDHCP(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.config.External = Port{Interface: s.External.Port, DHCP: true}
	stop := offerEverybody(t, s.External, netip.MustParsePrefix("10.11.0.50/24"))
	g := s.guardian(t)
	deadline := within(t, limit(testTimeout))
	m, err := g.next(deadline, func(m saying) bool {
		return strings.Contains(m.Answer, "separate subnets") || m.Event != nil && m.Event.Violation != nil && m.Event.Violation.Kind == KindOverlap
	})
	if err != nil {
		t.Fatalf("no overlap was told: %v; the guard said %s", err, g.said())
	}
	t.Logf("%+v", m)
	if acked := stop(); acked == 0 {
		t.Error("control: the server was never asked for the address")
	}
	for _, h := range s.boxes(t) {
		l, err := h.Link(s.External.Port)
		if err != nil {
			continue
		}
		addrs, err := h.Netlink().AddrList(l, netlink.FAMILY_V4)
		if err != nil || len(addrs) > 0 {
			t.Errorf("the external port has %v (%v)", addrs, err)
		}
	}
	record(t, caseResult{Case: 11, What: "lease in the other port's subnet: addresses taken"})
}

// offerEverybody offers everybody on the wire one address, until stopped, and returns
// how often it was asked for.
func offerEverybody(t *testing.T, w netguardtest.Wire, offered netip.Prefix) (stop func() (asked int)) {
	t.Helper()
	at := sender(t, w)
	asked := 0
	heard, err := netguardtest.Sniff(w.Far, netguardtest.FarLink, func(frame []byte) bool {
		kind, xid, ok := netguardtest.DHCPRequest(frame)
		switch {
		case ok && kind == 1:
			asked++
			_ = at.Send(netguardtest.DHCPOffer(2, xid, w.FarAddr(false), offered, w.MAC).Frame(w.MAC, at.MAC))
		case ok && kind == 3:
			_ = at.Send(netguardtest.DHCPOffer(5, xid, w.FarAddr(false), offered, w.MAC).Frame(w.MAC, at.MAC))
		}
		return ok
	})
	must(t, err)
	return func() int {
		if _, err := heard.Stop(); err != nil {
			t.Error(err)
		}
		return asked
	}
}
