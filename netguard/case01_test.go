package netguard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lwc/netguard/netguardtest"
)

// strike is an attack of a few frames that a box without a guard lets through.
type strike struct {
	name   string
	nonce  netguardtest.Nonce
	frames [][]byte
}

// volley are all strikes from the host at a, over the box, to the host at b.
func volley(a, b netguardtest.Wire) []strike {
	var all []strike
	add := func(name string, packets func(mark []byte) []netguardtest.Packet) {
		s := strike{name: name, nonce: netguardtest.NewNonce()}
		for _, p := range packets(s.nonce[:]) {
			s.frames = append(s.frames, p.Frame(a.MAC, a.FarMAC))
		}
		all = append(all, s)
	}
	for _, six := range []bool{false, true} {
		src, dst := netip.AddrPortFrom(a.FarAddr(six), 40000), netip.AddrPortFrom(b.FarAddr(six), 8080)
		v := map[bool]string{false: "", true: " v6"}[six]
		add("icmp"+v, func(m []byte) []netguardtest.Packet { return list(netguardtest.Echo(src.Addr(), dst.Addr(), 1, m)) })
		add("udp"+v, func(m []byte) []netguardtest.Packet { return list(netguardtest.UDP(src, dst, m)) })
		add("tcp syn"+v, func(m []byte) []netguardtest.Packet { return list(netguardtest.TCP(src, dst, netguardtest.SYN, m)) })
		add("tcp ack"+v, func(m []byte) []netguardtest.Packet { return list(netguardtest.TCP(src, dst, netguardtest.ACK, m)) })
		add("gre"+v, func(m []byte) []netguardtest.Packet {
			return list(netguardtest.GRE(src.Addr(), dst.Addr(), netguardtest.UDP(src, dst, m)))
		})
		add("fragments"+v, func(m []byte) []netguardtest.Packet {
			f := netguardtest.UDP(src, dst, append(make([]byte, 56), append(m, m...)...)).Fragments(64)
			return f[:]
		})
	}
	addOdd(a, b, add)
	return all
}

func list(p ...netguardtest.Packet) []netguardtest.Packet { return p }

// The groups to which the strikes go.
const (
	group4 = "239.1.2.3"
	group6 = "ff0e::123"
)

// addOdd adds what routers treat specially.
func addOdd(a, b netguardtest.Wire, add func(string, func([]byte) []netguardtest.Packet)) {
	src, dst := netip.AddrPortFrom(a.FarAddr(false), 40000), netip.AddrPortFrom(b.FarAddr(false), 8080)
	for _, strict := range []bool{false, true} {
		add(map[bool]string{false: "lsrr", true: "ssrr"}[strict], func(m []byte) []netguardtest.Packet {
			return list(netguardtest.UDP(src, dst, m).SourceRouted(a.Near(false), strict))
		})
	}
	broadcast := b.Far4.Masked().Addr().As4()
	broadcast[3] = 255
	add("directed broadcast", func(m []byte) []netguardtest.Packet {
		return list(netguardtest.UDP(src, netip.AddrPortFrom(netip.AddrFrom4(broadcast), 8080), m))
	})
	for _, group := range []string{group4, group6} {
		to := netip.AddrPortFrom(netip.MustParseAddr(group), 8080)
		add("multicast "+group, func(m []byte) []netguardtest.Packet {
			return list(netguardtest.UDP(netip.AddrPortFrom(a.FarAddr(to.Addr().Is6()), 40000), to, m))
		})
	}
}

// tally counts what arrived of each strike.
type tally struct {
	strikes []strike
	mu      sync.Mutex // guards what follows
	arrived map[string]int
}

func newTally(strikes []strike) *tally { return &tally{strikes: strikes, arrived: map[string]int{}} }

func (c *tally) match(frame []byte) bool {
	for _, s := range c.strikes {
		if s.nonce.In(frame) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.arrived[s.name]++
			return true
		}
	}
	return false
}

// total is the number of frames, and missing the strikes of which none came.
func (c *tally) total() (frames int, missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.strikes {
		frames += c.arrived[s.name]
		if c.arrived[s.name] == 0 {
			missing = append(missing, s.name)
		}
	}
	return frames, missing
}

// through sends all strikes both ways and counts what crosses. Twice, because
// the first frame to an unknown neighbour waits for its answer.
func through(t *testing.T, s *netguardtest.Site) (out, in *tally) {
	t.Helper()
	out, in = newTally(volley(s.Internal, s.External)), newTally(volley(s.External, s.Internal))
	atCloud, atDevice := sniff(t, s.External, out.match), sniff(t, s.Internal, in.match)
	device, cloud := sender(t, s.Internal), sender(t, s.External)
	for range 2 {
		for i := range out.strikes {
			must(t, device.Send(out.strikes[i].frames...))
			must(t, cloud.Send(in.strikes[i].frames...))
		}
		_, err := atCloud.Settle(t.Context(), crossTime/2)
		must(t, err)
	}
	_, err := atDevice.Settle(t.Context(), crossTime)
	must(t, err)
	return out, in
}

// control shows that every strike crosses a box without a guard, and returns the
// number of frames that arrived.
func control(t *testing.T) int {
	t.Helper()
	open := openScene(t)
	relayGroups(t, open.Site)
	out, in := through(t, open.Site)
	n, missing := out.total()
	m, missingIn := in.total()
	if missing = append(missing, missingIn...); len(missing) > 0 {
		t.Fatalf("control: with nobody on guard these do not arrive, so that the sniffer proves nothing: %s", strings.Join(missing, ", "))
	}
	return n + m
}

// nothingThrough attacks and reports each strike of which anything crossed.
func nothingThrough(t *testing.T, s *netguardtest.Site, when string) int {
	t.Helper()
	crossed := 0
	out, in := through(t, s)
	for way, c := range map[string]*tally{"to the cloud": out, "to the device": in} {
		n, _ := c.total()
		crossed += n
		if n > 0 {
			t.Errorf("%s: %d frames crossed %s: %v", when, n, way, slices.Sorted(maps.Keys(c.arrived)))
		}
	}
	return crossed
}

// relayGroups has the box forward the groups both ways, as a multicast router
// would: a kernel forwards none by itself.
func relayGroups(t *testing.T, s *netguardtest.Site) {
	t.Helper()
	for _, group := range []netip.Addr{netip.MustParseAddr(group4), netip.MustParseAddr(group6)} {
		six := group.Is6()
		relay, err := s.Box.RelayGroup(group, [2]string{s.Internal.Port, s.External.Port}, [2]netip.Addr{s.Internal.FarAddr(six), s.External.FarAddr(six)})
		must(t, err)
		t.Cleanup(func() { _ = relay.Close() })
	}
}

// Forwarding is forced on everywhere while the guard cannot act: it is stopped by
// a signal, then killed.
func TestCase01ForwardingForcedOn(t *testing.T) {
	t.Parallel()
	seen := control(t)
	s := newScene(t)
	g := s.guarded(t)
	for _, state := range []struct {
		name   string
		signal syscall.Signal
	}{{"guard stopped", syscall.SIGSTOP}, {"guard killed", syscall.SIGKILL}} {
		must(t, g.cmd.Process.Signal(state.signal))
		if state.signal == syscall.SIGKILL {
			_ = g.cmd.Wait()
		}
		forceForwarding(t, s)
		crossed := nothingThrough(t, s.Site, state.name)
		record(t, caseResult{Case: 1, What: "forwarding forced on, " + state.name, Control: seen, Crossed: crossed})
	}
}

// forceForwarding makes every namespace of the box as an attacker would wish,
// and checks that it really is.
func forceForwarding(t *testing.T, s *scene) {
	t.Helper()
	for _, h := range s.boxes(t) {
		must(t, h.Forward())
		for _, path := range []string{"ipv4/ip_forward", "ipv4/conf/all/accept_source_route", "ipv6/conf/all/forwarding"} {
			if v, err := h.Get(path); err != nil || v != "1" {
				t.Fatal(fmt.Errorf("%s is %q: %w", path, v, err))
			}
		}
	}
}
