package netguard

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
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

// A DHCP server that lends addresses of the other port's network blocks both
// ports, whichever asks; they open again once it lends one of its own network.
func TestCase11OverlapByDHCP(t *testing.T) {
	t.Parallel()
	for _, side := range []Side{ExternalSide, InternalSide} {
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			lentOverlap(t, side)
		})
	}
}

func lentOverlap(t *testing.T, side Side) {
	s := newScene(t)
	own, foreign := s.config.Internal, netip.MustParsePrefix("192.0.2.50/24")
	asker := &s.config.Internal
	if side == ExternalSide {
		own, foreign, asker = s.config.External, netip.MustParsePrefix("10.11.0.50/24"), &s.config.External
	}
	*asker = Port{Interface: own.Interface, DHCP: true}
	server := lend(t, s.wire(side), foreign)
	g := s.guarded(t)
	e := g.event(t, limit(testTimeout), KindOverlap)
	took := e.At.Sub(server.firstAnswer())
	if v := e.Violation; v.Healed || v.Port != side || e.Status != Blocked || !strings.Contains(v.Detail, "need separate subnets") {
		t.Errorf("the event is %+v, %v", e, v)
	}
	if took > limit(100*time.Millisecond) {
		t.Errorf("the ports were blocked %v after the offer", took)
	}
	for _, dial := range []string{"external tcp " + s.External.FarAddr(false).String() + ":443", "internal tcp " + s.Internal.FarAddr(false).String() + ":830"} {
		if m := g.ask(t, dial); m.Code != "blocked" {
			t.Errorf("dialling %s: %q", dial, m.Answer)
		}
	}
	if side == InternalSide {
		s.portDown(t, time.Now())
	} else {
		s.asksAlone(t)
	}
	s.holdsNone(t, side, foreign)
	server.lendNow(netip.PrefixFrom(own.Addresses[0].Addr().Next(), own.Addresses[0].Bits()))
	g.status(t, slow(time.Minute), Open)
	if st := g.ask(t, "state").State; st.Latched || st.Violations != st.Healed {
		t.Errorf("in the end the state is %+v", st)
	}
	if m := g.ask(t, "verify"); m.Answer != "clean" {
		t.Errorf("in the end: %s", m.Answer)
	}
	record(t, caseResult{Case: 11, What: "lease in the other port's subnet, " + string(side) + ": blocked", Took: took})
}

// asksAlone: a blocked External Port that waits for a lease stays up, and nothing
// but the asking leaves it.
func (s *scene) asksAlone(t *testing.T) {
	t.Helper()
	outside := s.in(t, ExternalSide)
	l, err := outside.Link(s.External.Port)
	if err != nil || l.Attrs().RawFlags&unix.IFF_UP == 0 {
		t.Errorf("the port that asks for a lease is down (%v)", err)
	}
	others := sniff(t, s.External, func(frame []byte) bool {
		_, _, asks := netguardtest.DHCPRequest(frame)
		return !asks && slices.Equal(frame[6:12], s.External.MAC)
	})
	must(t, outside.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_ = unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, s.External.Port)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
		_ = unix.Sendto(fd, []byte("a stray"), 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{255, 255, 255, 255}})
		return nil
	}))
	silent(t, "from a port that only asks for a lease", others)
}

// holdsNone: no namespace of the box has an address of that subnet at the port.
func (s *scene) holdsNone(t *testing.T, side Side, subnet netip.Prefix) {
	t.Helper()
	for _, h := range s.boxes(t) {
		l, err := h.Link(s.wire(side).Port)
		if err != nil {
			continue
		}
		addrs, err := h.Netlink().AddrList(l, netlink.FAMILY_V4)
		if err != nil || slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return subnet.Overlaps(prefix(a.IPNet)) }) {
			t.Errorf("the %s port has %v (%v)", side, addrs, err)
		}
	}
}

// lender is a DHCP server that gives everybody on its wire one address.
type lender struct {
	mu      sync.Mutex // guards what follows
	offered netip.Prefix
	first   time.Time // when it answered first
}

func (s *lender) lendNow(p netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = p
}

func (s *lender) firstAnswer() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

func lend(t *testing.T, w netguardtest.Wire, offered netip.Prefix) *lender {
	t.Helper()
	s := &lender{offered: offered}
	at := sender(t, w)
	sniff(t, w, func(frame []byte) bool {
		kind, xid, ok := netguardtest.DHCPRequest(frame)
		if !ok || kind != 1 && kind != 3 {
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.first.IsZero() {
			s.first = time.Now()
		}
		answer := byte(2) // DHCPOFFER to DHCPDISCOVER, DHCPACK to DHCPREQUEST
		if kind == 3 {
			answer = 5
		}
		_ = at.Send(netguardtest.DHCPOffer(answer, xid, w.FarAddr(false), s.offered, w.MAC).Frame(w.MAC, at.MAC))
		return true
	})
	return s
}
