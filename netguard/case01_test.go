package netguard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lwc/netguard/netguardtest"
)

// through sends all strikes both ways and counts what crosses. Twice, because
// the first frame to an unknown neighbour waits for its answer.
func through(t *testing.T, s *netguardtest.Site) (out, in *netguardtest.Tally) {
	t.Helper()
	out, in = netguardtest.NewTally(netguardtest.Volley(s.Internal, s.External)), netguardtest.NewTally(netguardtest.Volley(s.External, s.Internal))
	atCloud, atDevice := sniff(t, s.External, out.Match), sniff(t, s.Internal, in.Match)
	device, cloud := sender(t, s.Internal), sender(t, s.External)
	for range 2 {
		for i := range out.Strikes {
			must(t, device.Send(out.Strikes[i].Frames...))
			must(t, cloud.Send(in.Strikes[i].Frames...))
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
	n, missing := out.Total()
	m, missingIn := in.Total()
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
	for way, c := range map[string]*netguardtest.Tally{"to the cloud": out, "to the device": in} {
		n, _ := c.Total()
		crossed += n
		if n > 0 {
			t.Errorf("%s: %d frames crossed %s: %v", when, n, way, slices.Sorted(maps.Keys(c.Arrived())))
		}
	}
	return crossed
}

// relayGroups has the box forward the groups both ways, as a multicast router
// would: a kernel forwards none by itself.
func relayGroups(t *testing.T, s *netguardtest.Site) {
	t.Helper()
	for _, group := range []netip.Addr{netip.MustParseAddr(netguardtest.Group4), netip.MustParseAddr(netguardtest.Group6)} {
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
