package netguard

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

func tryTool(t *testing.T, h *netguardtest.Host, name string, args ...string) (string, error) {
	t.Helper()
	return h.Run(need.Program(t, name), args...)
}

// naming matches every frame that names an address of those subnets, as sender
// or target, of whatever protocol.
func naming(subnets ...netip.Prefix) func([]byte) bool {
	return func(frame []byte) bool {
		for _, p := range subnets {
			if p.Contains(netguardtest.Source(frame)) || p.Contains(netguardtest.Destination(frame)) {
				return true
			}
		}
		return false
	}
}

// bindInternal dials the cloud from sockets of a host that are bound to the
// box's internal address, by force too (IP_FREEBIND, IP_TRANSPARENT).
func bindInternal(t *testing.T, h *netguardtest.Host, w netguardtest.Wire, internal netip.Addr) (errs []error) {
	t.Helper()
	cloud := netip.AddrPortFrom(w.FarAddr(internal.Is6()), 443)
	ctx, cancel := context.WithTimeout(t.Context(), crossTime)
	defer cancel()
	plain := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(internal, 0))}
	forced := plain
	forced.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
		})
	}
	must(t, h.Do(func() error { // one literal address each: the dialer stays on this thread
		for _, d := range []net.Dialer{plain, forced} {
			c, err := d.DialContext(ctx, "tcp", cloud.String())
			if err == nil {
				_ = c.Close()
			}
			errs = append(errs, err)
		}
		return nil
	}))
	return errs
}

func TestCase07BindInternalAddress(t *testing.T) {
	t.Parallel()
	open := openScene(t)
	subnets := func(s *netguardtest.Site) []netip.Prefix {
		return []netip.Prefix{s.Internal.Near4.Masked(), s.Internal.Near6.Masked()}
	}
	control := sniff(t, open.External, naming(subnets(open.Site)...))
	for _, six := range []bool{false, true} {
		bindInternal(t, open.Box, open.External, open.Internal.Near(six))
	}
	must(t, control.Wait(within(t, testTimeout), 2))

	s := newScene(t)
	g := s.guarded(t)
	serveCloud(t, s)
	named := sniff(t, s.External, naming(subnets(s.Site)...))
	if m := g.ask(t, "external tcp "+net.JoinHostPort(s.External.Far4.Addr().String(), "443")); m.Answer != "connected" {
		t.Fatalf("the cloud cannot be dialled at all: %+v", m) // it is in the wall's set from here on
	}
	for _, h := range s.boxes(t) {
		for _, six := range []bool{false, true} {
			for _, err := range bindInternal(t, h, s.External, s.Internal.Near(six)) {
				if err == nil {
					t.Error("the cloud was dialled from the internal address")
				}
			}
		}
	}
	crossed := silent(t, "naming the internal subnet", named)
	record(t, caseResult{Case: 7, What: "cloud dialled from the internal address, by force too", Control: control.Count(), Crossed: crossed})
}

// Neither a dial nor a name that does not go through the guard leaves the box.
// The same code in a box without a guard reaches the cloud and the device.
func TestCase08PlainDial(t *testing.T) {
	t.Parallel()
	cloudAndDevice := func(s *netguardtest.Site) string {
		return netip.AddrPortFrom(s.External.FarAddr(false), listenerPort).String() + " " +
			netip.AddrPortFrom(s.Internal.FarAddr(false), listenerPort).String() + " " +
			netip.AddrPortFrom(s.External.FarAddr(true), listenerPort).String()
	}
	open := openScene(t)
	listenEverywhere(t, open.External.Far, open.Internal.Far)
	seen := []*netguardtest.Sniffer{sniff(t, open.External, fromBox(open.External)), sniff(t, open.Internal, fromBox(open.Internal))}
	asked := sniff(t, open.External, isQuestion)
	c := startIn(t, open.Box, "plain", envTarget+"="+cloudAndDevice(open.Site))
	line, err := c.lines.ReadString('\n')
	if err != nil || len(line) < 40 {
		t.Fatalf("control: plain dials do not work: %q, %v", line, err)
	}
	for _, s := range seen {
		must(t, s.Wait(within(t, testTimeout), 3))
	}
	if err := asked.Wait(within(t, testTimeout), 1); err != nil {
		t.Errorf("control: no question for a name leaves an ordinary process: %v", err)
	}

	s := newScene(t)
	g := s.guarded(t)
	listenEverywhere(t, s.External.Far, s.Internal.Far)
	left := []*netguardtest.Sniffer{sniff(t, s.External, fromBox(s.External)), sniff(t, s.Internal, fromBox(s.Internal))}
	if m := g.ask(t, "plain "+cloudAndDevice(s.Site)); m.Answer != "" {
		t.Errorf("in the process of the guard these succeed: %s", m.Answer)
	}
	crossed := silent(t, "on the external wire", left[0]) + silent(t, "on the internal wire", left[1])
	record(t, caseResult{Case: 8, What: "net.Dial, http.DefaultClient, LookupHost, UDP in the process",
		Control: seen[0].Count() + seen[1].Count(), Crossed: crossed})
}

// isQuestion matches what goes to a DNS server by UDP over IPv4.
func isQuestion(frame []byte) bool { return toUDPPort(frame, 53) }

// toUDPPort matches datagrams in packets without options.
func toUDPPort(frame []byte, port uint16) bool {
	const ethernet, proto4, proto6, udp = 14, 9, 6, 17
	proto, head := proto4, 20
	if netguardtest.Destination(frame).Is6() {
		proto, head = proto6, 40
	}
	at := ethernet + head + 2
	return len(frame) >= at+2 && netguardtest.Destination(frame).IsValid() && frame[ethernet+proto] == udp && binary.BigEndian.Uint16(frame[at:]) == port
}

// fromBox matches every frame that the box sends on that wire but the probe for
// a common segment.
func fromBox(w netguardtest.Wire) func([]byte) bool {
	return func(frame []byte) bool { return fromPort(w, frame) && !aboutItself(w, frame) }
}

// waitUntil polls with a deadline and returns how long it took.
func waitUntil(t *testing.T, limit time.Duration, what string, done func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Since(start) > limit {
			t.Errorf("%s: not within %v", what, limit)
			return time.Since(start)
		}
		<-tick.C
	}
	return time.Since(start)
}

// serveCloud accepts connections at the cloud's port 443 in both families.
func serveCloud(t *testing.T, s *scene) {
	t.Helper()
	l, err := s.External.Far.Listen(":443")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go accept(l)
}
