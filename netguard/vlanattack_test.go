package netguard

import (
	"net/netip"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// inquiry is an attack that counts answers.
type inquiry struct {
	name string
	ask  func(t *testing.T, s *trunk) (answers int)
}

func inquiries() []inquiry {
	return []inquiry{
		{"weak host", func(t *testing.T, s *trunk) int { return weakHost(t, s.Site) }},
		{"spoofed source", func(t *testing.T, s *trunk) int { return spoof(t, s.Site) }},
		{"127.0.0.1", func(t *testing.T, s *trunk) int { n, _ := loopback(t, s.Site); return n }},
		{"ARP and NS", func(t *testing.T, s *trunk) int { return whoHas(t, s.Site, time.Second) }},
		{"scan", shortScan},
		{"broadcast and multicast", groupcast},
	}
}

// asked makes all inquiries, each as a test of its own, whose sniffers end with it.
func (s *trunk) asked(t *testing.T, when string) map[string]int {
	t.Helper()
	answers := map[string]int{}
	for _, q := range inquiries() {
		t.Run(when+", "+q.name, func(t *testing.T) { answers[q.name] = q.ask(t, s) })
	}
	return answers
}

// The other port's address, a forged source, loopback, neighbours: what a host
// with both VLANs in one namespace answers.
func TestVLANAttackAnswers(t *testing.T) {
	eachLayout(t, func(t *testing.T, l layout) {
		open := openTrunk(t, l)
		listenEverywhere(t, open.Box)
		control := open.asked(t, "control")
		s := newTrunk(t, l)
		g := s.guarded(t)
		listenEverywhere(t, s.all(t)...)
		loose := s.loose(t)
		watched := s.asked(t, "guard watching")
		if m := g.ask(t, "state"); m.Answer != string(Open) {
			t.Errorf("after the attacks the ports are %s", m.Answer)
		}
		stop(t, g)
		for _, h := range s.all(t) {
			must(t, h.Forward())
		}
		stopped := s.asked(t, "guard stopped")
		for _, q := range inquiries() {
			if control[q.name] < 2 {
				t.Errorf("control: %s: %d answers", q.name, control[q.name])
			}
			if watched[q.name]+stopped[q.name] > 0 {
				t.Errorf("%s: %d answers, %d while the guard is stopped", q.name, watched[q.name], stopped[q.name])
			}
			t.Logf("%s: control %d, crossed %d", q.name, control[q.name], watched[q.name]+stopped[q.name])
		}
		for where, at := range loose {
			silent(t, where, at)
		}
	})
}

// shortScan probes some ports and protocols of the External Port and returns the
// number of answers.
func shortScan(t *testing.T, s *trunk) int {
	t.Helper()
	w := s.External
	at, heard := sender(t, w), sniff(t, w, fromBox(w))
	for _, six := range []bool{false, true} {
		src, dst := w.FarAddr(six), w.Near(six)
		probes := []netguardtest.Packet{netguardtest.Echo(src, dst, 9, []byte("scan")), netguardtest.GRE(src, dst, netguardtest.Echo(src, dst, 9, nil)),
			netguardtest.SCTPInit(netip.AddrPortFrom(src, 40004), netip.AddrPortFrom(dst, listenerPort)),
			netguardtest.Packet{Src: src, Dst: dst, Proto: 253, Body: make([]byte, 24)}}
		for _, port := range []uint16{22, 53, 80, 123, 161, 443, 830, 1883, listenerPort, 40000} {
			from, to := netip.AddrPortFrom(src, 40004), netip.AddrPortFrom(dst, port)
			for _, flags := range []byte{netguardtest.SYN, netguardtest.ACK, netguardtest.FIN, 0, netguardtest.FIN | netguardtest.PSH | netguardtest.URG} {
				probes = append(probes, netguardtest.TCP(from, to, flags, nil))
			}
			probes = append(probes, netguardtest.UDP(from, to, []byte("scan")))
		}
		for _, p := range probes {
			must(t, at.Send(p.Frame(w.MAC, at.MAC)))
		}
	}
	must(t, settle(t, heard))
	return heard.Count()
}

// groupcast sends to everybody and to groups, on each wire, and returns the
// number of answers on either.
func groupcast(t *testing.T, s *trunk) (answers int) {
	t.Helper()
	for _, w := range []netguardtest.Wire{s.Internal, s.External} {
		heard := []*netguardtest.Sniffer{sniff(t, s.Internal, fromBox(s.Internal)), sniff(t, s.External, fromBox(s.External))}
		at := sender(t, w)
		for _, to := range []string{"255.255.255.255", "224.0.0.1", "224.0.0.251", "239.1.2.3", "ff02::1", "ff02::2", "ff02::fb", "ff0e::123",
			lastOf(s.Internal), lastOf(s.External)} {
			dst := netip.MustParseAddr(to)
			for _, p := range knocks(w.FarAddr(dst.Is6()), dst) {
				must(t, at.Send(p.Frame(netguardtest.Broadcast(), at.MAC)))
			}
		}
		must(t, settle(t, heard[0]))
		answers += heard[0].Count() + heard[1].Count()
	}
	return answers
}

// lastOf is the directed broadcast address of a wire.
func lastOf(w netguardtest.Wire) string {
	a := w.Far4.Masked().Addr().As4()
	a[3] = 255
	return netip.AddrFrom4(a).String()
}

// hopping hops in a test of its own, whose sniffers end with it.
func hopping(t *testing.T, s *trunk, when string) (names []string, arrived map[string]int) {
	t.Helper()
	t.Run(when, func(t *testing.T) { names, arrived = hop(t, s) })
	return names, arrived
}

// hop sends frames in every disguise, from each side of the trunk, and returns by
// disguise how many came out at the device or the cloud.
func hop(t *testing.T, s *trunk) (names []string, arrived map[string]int) {
	t.Helper()
	at := s.sendAtTrunk(t)
	var strikes []netguardtest.Strike
	for _, way := range []struct {
		name       string
		own, other netguardtest.Wire
		a, b       uint16
	}{{"cloud side: ", s.External, s.Internal, s.external, s.internal}, {"device side: ", s.Internal, s.External, s.internal, s.external}} {
		for _, d := range disguises(way.a, way.b) {
			k := netguardtest.Strike{Name: way.name + d.name, Nonce: netguardtest.NewNonce()}
			for _, f := range contents(way.own, way.other, k.Nonce) {
				k.Frames = append(k.Frames, tagged(f, d.tags...))
			}
			strikes, names = append(strikes, k), append(names, k.Name)
		}
	}
	c := netguardtest.NewTally(strikes)
	heard := []*netguardtest.Sniffer{sniff(t, s.Internal, c.Match), sniff(t, s.External, c.Match)}
	for range 2 {
		for _, k := range strikes {
			must(t, at.Send(k.Frames...))
		}
		must(t, settle(t, heard[0]))
	}
	return names, c.Arrived()
}

// crossings are the controls of a layout: how many frames arrive of each disguise
// where a box bridges its VLANs or routes between them, and of the volley.
func crossings(t *testing.T, l layout) (names []string, disguised map[string]int, volleys int) {
	t.Helper()
	names, disguised = hopping(t, bridgedTrunk(t, l), "control, bridged")
	open := openTrunk(t, l)
	relayGroups(t, open.Site)
	_, routed := hopping(t, open, "control, routed")
	for _, name := range names {
		if disguised[name] += routed[name]; disguised[name] == 0 {
			t.Errorf("control: %s: nothing arrives", name)
		}
	}
	t.Run("control, volley", func(t *testing.T) {
		out, in := through(t, open.Site)
		n, missing := out.Total()
		m, missingIn := in.Total()
		if missing = append(missing, missingIn...); len(missing) > 0 {
			t.Fatalf("control: these do not arrive: %v", missing)
		}
		volleys = n + m
	})
	return names, disguised, volleys
}

// Frames with the other VLAN's tag, with two tags, with none, and all that a router
// would pass: nothing crosses the box and nothing is answered, while the guard
// watches, and when it is stopped, then killed, and forwarding is forced on in every
// namespace, the card's too.
func TestVLANAttackCrossing(t *testing.T) {
	eachLayout(t, func(t *testing.T, l layout) {
		names, control, volleys := crossings(t, l)
		s := newTrunk(t, l)
		g := s.guarded(t)
		listenEverywhere(t, s.all(t)...)
		loose := s.loose(t)
		for _, state := range []string{"guard watching", "guard stopped", "guard killed"} {
			switch state {
			case "guard stopped":
				stop(t, g)
				for _, h := range s.all(t) {
					must(t, h.Forward())
				}
			case "guard killed":
				kill(t, g)
			}
			_, crossed := hopping(t, s, state)
			for _, name := range names {
				if crossed[name] > 0 {
					t.Errorf("%s, %s: %d frames crossed, control %d", name, state, crossed[name], control[name])
				}
			}
			t.Logf("%s: %d disguises, crossed %d", state, len(names), len(crossed))
			t.Run(state+", volley", func(t *testing.T) {
				t.Logf("control %d, crossed %d", volleys, nothingThrough(t, s.Site, state))
			})
			for where, at := range loose {
				silent(t, state+", "+where, at)
			}
		}
	})
}

// The namespace of the card has no address: it answers nobody, not even when the
// guard is stopped and IPv6 switched on in it.
func TestVLANAttackCard(t *testing.T) {
	eachLayout(t, func(t *testing.T, l layout) {
		open := newTrunk(t, l)
		must(t, open.Box.Up(trunkCard))
		must(t, open.Box.Forward())
		listenEverywhere(t, open.Box)
		must(t, open.Box.AwaitUp(within(t, slow(testTimeout)), trunkCard))
		control := atCard(t, open)
		if control < 4 {
			t.Fatalf("control: a card without an address sends %d frames", control)
		}
		s := newTrunk(t, l)
		g := s.guarded(t)
		listenEverywhere(t, s.card(t))
		watched := atCard(t, s)
		stop(t, g)
		must(t, s.card(t).Forward())
		stopped := atCard(t, s)
		kill(t, g)
		if killed := atCard(t, s); watched+stopped+killed > 0 {
			t.Errorf("the card sends %d frames, %d while the guard is stopped, %d when it is dead", watched, stopped, killed)
		}
		t.Logf("card: control %d", control)
	})
}

// atCard probes the card itself, untagged and priority-tagged, and returns how
// many frames it sends, but for those that the ports may send.
func atCard(t *testing.T, s *trunk) int {
	t.Helper()
	w := s.Internal
	own := linkLocal(w.MAC)
	at := s.sendAtTrunk(t)
	allTagged := s.internal != 0 && s.external != 0
	heard, err := netguardtest.Sniff(s.plug, trunkLink, func(frame []byte) bool {
		// An untagged port has the card's hardware address and so its link-local one.
		itself := !allTagged && netguardtest.Told(frame) == own
		return fromPort(w, frame) && !itself && !aboutItself(s.Internal, frame) && !aboutItself(s.External, frame)
	})
	must(t, err)
	peer := netip.MustParseAddr("fe80::77")
	var frames [][]byte
	for _, p := range append(knocks(peer, own), knocks(peer, netip.MustParseAddr("ff02::1"))...) {
		frames = append(frames, p.Frame(w.MAC, w.FarMAC), p.Frame(netguardtest.Broadcast(), w.FarMAC))
	}
	for _, to := range []string{"127.0.0.1", "224.0.0.1", "255.255.255.255", "10.11.0.2", "192.0.2.2"} {
		for _, from := range []netip.Addr{s.Internal.FarAddr(false), s.External.FarAddr(false)} {
			for _, p := range knocks(from, netip.MustParseAddr(to)) {
				frames = append(frames, p.Frame(w.MAC, w.FarMAC), p.Frame(netguardtest.Broadcast(), w.FarMAC))
			}
		}
	}
	frames = append(frames, netguardtest.Solicitation(w.FarMAC, peer, own),
		netguardtest.ARPRequest(w.FarMAC, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")))
	for range 2 {
		for _, f := range frames {
			must(t, at.Send(f, tagged(f, tag(0))))
		}
		// Whoever asked for the address of an asker gets it.
		must(t, at.Send(netguardtest.Advertisement(w.FarMAC, peer, w.MAC, own)))
		must(t, settle(t, heard))
	}
	n, err := heard.Stop()
	must(t, err)
	return n
}

// linkLocal is the address that the kernel makes of a hardware address (RFC 4291
// appendix A).
func linkLocal(mac []byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
