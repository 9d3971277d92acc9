package netguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"lwc/netguard/netguardtest"
)

// joint is a way to join the namespaces of the two ports: left holds the port
// inside, right the port outside.
type joint struct {
	name   string
	join   func(t *testing.T, left, right *netguardtest.Host, inside, outside string) error
	unseen bool // the kernel tells the namespaces of the ports nothing: the wall alone stops it
}

func joints() []joint {
	bridged := func(filtered string) func(_ *testing.T, left, right *netguardtest.Host, inside, outside string) error {
		return func(_ *testing.T, left, right *netguardtest.Host, inside, outside string) error {
			errs := []error{netguardtest.Cable(left, "x0", right, "x1"),
				left.Bridge("br0", inside, "x0"), right.Bridge("br0", outside, "x1")}
			for _, h := range []*netguardtest.Host{left, right} {
				for _, call := range []string{"ip", "ip6", "arp"} {
					errs = append(errs, h.Set("bridge/bridge-nf-call-"+call+"tables", filtered))
				}
			}
			return errors.Join(errs...)
		}
	}
	return []joint{
		{"bridge, br_netfilter on", bridged("1"), false},
		{"bridge, br_netfilter off", bridged("0"), false},
		{"macvlan moved across", func(_ *testing.T, left, right *netguardtest.Host, inside, outside string) error {
			return errors.Join(left.MACVLAN(inside, "mv0", right), right.Bridge("br0", outside, "mv0"))
		}, false},
		{"veth with routes", routed, false},
		{"macvlans routed in a third namespace", func(t *testing.T, left, right *netguardtest.Host, inside, outside string) error {
			return above(t, left, right, inside, outside, func(third *netguardtest.Host) error {
				return errors.Join(third.Address("m0", netip.MustParsePrefix("10.11.0.99/24")),
					third.Address("m1", netip.MustParsePrefix("192.0.2.99/24")), third.Forward())
			})
		}, true},
		{"macvlans bridged in a third namespace", func(t *testing.T, left, right *netguardtest.Host, inside, outside string) error {
			return above(t, left, right, inside, outside, func(third *netguardtest.Host) error { return third.Bridge("br0", "m0", "m1") })
		}, true},
	}
}

// above puts a macvlan on each port, with the port's own hardware address, right
// into a third namespace, where the kernel tells neither port of it.
func above(t *testing.T, left, right *netguardtest.Host, inside, outside string, join func(third *netguardtest.Host) error) error {
	third, err := netguardtest.NewHost()
	if err != nil {
		return err
	}
	t.Cleanup(third.Close)
	return errors.Join(left.MACVLANIn(inside, "m0", third), right.MACVLANIn(outside, "m1", third), join(third))
}

// routed joins by a cable with addresses, routes and forwarding.
func routed(_ *testing.T, left, right *netguardtest.Host, _, _ string) error {
	a, b := netip.MustParsePrefix("172.31.9.1/30"), netip.MustParsePrefix("172.31.9.2/30")
	return errors.Join(netguardtest.Cable(left, "x0", right, "x1"), left.Address("x0", a), right.Address("x1", b),
		left.Route(netip.MustParsePrefix("192.0.2.0/24"), b.Addr()), right.Route(netip.MustParsePrefix("10.11.0.0/24"), a.Addr()),
		left.Forward(), right.Forward())
}

// split makes the control: the ports are in two namespaces as with the guard,
// but nothing else is done.
func split(t *testing.T) (s *netguardtest.Site, right *netguardtest.Host) {
	t.Helper()
	s = openScene(t).Site
	right, err := netguardtest.NewHost()
	must(t, err)
	t.Cleanup(right.Close)
	must(t, s.Box.Move(s.External.Port, right))
	must(t, right.Address(s.External.Port, s.External.Near4, s.External.Near6))
	must(t, right.Forward())
	must(t, right.AwaitUp(within(t, testTimeout), s.External.Port))
	return s, right
}

// across sends marked frames both ways, to the far host itself, to everybody and
// to the port, for as long as crossTime, and counts those that cross.
func across(t *testing.T, s *netguardtest.Site) (toCloud, toDevice int) {
	t.Helper()
	nonce := netguardtest.NewNonce()
	sniffers := []*netguardtest.Sniffer{sniff(t, s.External, nonce.In), sniff(t, s.Internal, nonce.In)}
	senders := []*netguardtest.Sender{sender(t, s.Internal), sender(t, s.External)}
	for range 4 {
		for i, pair := range [][2]netguardtest.Wire{{s.Internal, s.External}, {s.External, s.Internal}} {
			a, b := pair[0], pair[1]
			p := netguardtest.Echo(a.FarAddr(false), b.FarAddr(false), 3, nonce[:])
			for _, to := range []net.HardwareAddr{b.FarMAC, netguardtest.Broadcast(), a.MAC} {
				must(t, senders[i].Send(p.Frame(to, a.FarMAC)))
			}
		}
		must(t, settle(t, sniffers[0]))
	}
	return sniffers[0].Count(), sniffers[1].Count()
}

// Whoever is root on the box joins the two namespaces: nothing crosses, whether
// the guard lives to undo it or not.
func TestCase14JoinedNamespaces(t *testing.T) {
	t.Parallel()
	for _, j := range joints() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			site, right := split(t)
			if err := j.join(t, site.Box, right, site.Internal.Port, site.External.Port); err != nil {
				if unableInUserns(t, j.name, err) {
					return
				}
				t.Fatalf("control: %v", err)
			}
			out, in := across(t, site)
			if out == 0 || in == 0 {
				t.Fatalf("control: %d frames to the cloud, %d to the device", out, in)
			}
			for _, killed := range []bool{false, true} {
				attackJoined(t, j, out+in, killed)
			}
		})
	}
}

func attackJoined(t *testing.T, j joint, seen int, killed bool) {
	t.Helper()
	s := newScene(t)
	g := s.guarded(t)
	left, right := s.in(t, InternalSide), s.in(t, ExternalSide)
	when := "guard alive"
	if killed {
		kill(t, g)
		when = "guard killed"
	}
	err := j.join(t, left, right, s.Internal.Port, s.External.Port)
	if err != nil && (killed || j.unseen) {
		t.Errorf("%s, %s: the attack itself went wrong: %v", j.name, when, err)
	}
	if err != nil {
		t.Logf("%s, %s: the guard, which must block below, was in the way: %v", j.name, when, err)
	}
	out, in := across(t, s.Site)
	if out+in > 0 {
		t.Errorf("%s, %s: %d frames crossed to the cloud, %d to the device", j.name, when, out, in)
	}
	record(t, caseResult{Case: 14, What: j.name + ", " + when, Control: seen, Crossed: out + in})
	if killed {
		return
	}
	want := Open
	if !j.unseen {
		g.event(t, limit(testTimeout), KindExtraInterface)
		want = Blocked
	}
	if m := g.ask(t, "state"); m.Answer != string(want) {
		t.Errorf("%s: the ports are %s, want %s", j.name, m.Answer, want)
	}
}
