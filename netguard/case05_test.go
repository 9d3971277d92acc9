package netguard

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// scan scans the box's external addresses from one of the cloud's subnet that
// nobody has, and returns the answers.
func scan(t *testing.T, s *netguardtest.Site, six bool) netguardtest.Report {
	t.Helper()
	from := s.External.FarAddr(six).As16()
	from[15] = 77
	var report netguardtest.Report
	must(t, s.External.Far.Do(func() (err error) {
		report, err = netguardtest.Scan(within(t, time.Minute), netguardtest.FarLink, netip.AddrFrom16(from).Unmap(), s.External.Near(six), nil)
		return err
	}))
	return report
}

// The whole scan, with listeners behind it that would answer: nothing leaves the
// External Port but the answer to who has its address.
func TestCase05ScanOfTheExternalPort(t *testing.T) {
	t.Parallel()
	for _, six := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[six], func(t *testing.T) {
			t.Parallel()
			scanned(t, six)
		})
	}
}

func scanned(t *testing.T, six bool) {
	open := openScene(t)
	listenEverywhere(t, open.Box)
	seen := scan(t, open.Site, six)
	if seen.Answered < 65535 || !strings.Contains(strings.Join(seen.Answers, " "), "tcp") {
		t.Fatalf("control: an ordinary host answers like this: %v", seen)
	}
	s := newScene(t)
	s.guarded(t)
	listenEverywhere(t, s.boxes(t)...)
	leaves := sniff(t, s.External, fromBox(s.External))
	answers := sniff(t, s.External, func(frame []byte) bool { return netguardtest.Told(frame) == s.External.Near(six) })
	report := scan(t, s.Site, six)
	t.Log(report)
	if report.Answered > 0 {
		t.Errorf("the External Port answered: %v", report)
	}
	if answers.Count() == 0 {
		t.Error("nobody told who has the port's address: the scan never came to it")
	}
	crossed := silent(t, "during the scan", leaves)
	record(t, caseResult{Case: 5, What: "full scan of " + s.External.Near(six).String() + " (time: the scan's)",
		Control: seen.Answered, Crossed: report.Answered + crossed, Took: report.Took})
}

// fromPort matches what the port sends.
func fromPort(w netguardtest.Wire, frame []byte) bool { return bytes.Equal(frame[6:12], w.MAC) }

// aboutItself matches what a silent port says all the same: the answer to who has
// its own address, the question whether who asked is there still (RFC 4861 section
// 7.3, to one neighbour of its own subnet, from its own address), the membership
// in the groups at which IPv6 neighbours ask (RFC 4861 section 7.2.1, RFC 3810)
// and the probe for a common segment.
func aboutItself(w netguardtest.Wire, frame []byte) bool {
	own := func(a netip.Addr) bool { return a == w.Near(false) || a == w.Near(true) }
	src, dst := netguardtest.Source(frame), netguardtest.Destination(frame)
	switch {
	case own(netguardtest.Told(frame)):
		return true
	case netguardtest.IsUnicastProbe(frame):
		return own(src) && (w.Near4.Contains(dst) || w.Near6.Contains(dst)) || src.IsLinkLocalUnicast() && dst.Is6()
	case netguardtest.IsMLDReport(frame):
		return true
	}
	return carriesNonce(frame, nil)
}

// addressing is what the kernel's own tool says of a namespace.
func addressing(t *testing.T, h *netguardtest.Host) string {
	t.Helper()
	var all []string
	for _, args := range []string{"-o addr", "route show table all", "-6 route show table all", "rule", "-6 rule", "route show cache", "-6 route show cache"} {
		all = append(all, tool(t, h, "ip", strings.Fields(args)...))
	}
	return strings.Join(all, "\n")
}

// The addresses that a rogue router makes up: what it redirects, and whereto.
const (
	roguePrefix  = "2001:db8:bad::/64"
	elsewhere4   = "198.51.100.9"
	elsewhere6   = "2001:db8::9"
	rogueRouter6 = "fe80::66"
)

// rogueRouter4 is a neighbour of that wire that nobody knows.
func rogueRouter4(w netguardtest.Wire) netip.Addr {
	b := w.Far4.Addr().As4()
	b[3] = 66
	return netip.AddrFrom4(b)
}

// rogue lets the far host of a wire offer itself as router, DHCP server and
// shortcut.
func rogue(t *testing.T, w netguardtest.Wire) {
	t.Helper()
	at := sender(t, w)
	lladdr, better := netip.MustParseAddr("fe80::bad"), rogueRouter4(w)
	all := [][]byte{netguardtest.RouterAdvertisement(at.MAC, lladdr, netip.MustParsePrefix(roguePrefix)),
		// A redirect is believed when its new router is a known neighbour.
		netguardtest.ARPRequest(at.MAC, better, w.Near(false))}
	for _, kind := range []byte{2, 5} {
		all = append(all, netguardtest.DHCPOffer(kind, 1, w.FarAddr(false), netip.PrefixFrom(better.Next(), 24), w.MAC).Frame(netguardtest.Broadcast(), at.MAC))
	}
	// It quotes an echo reply, which the kernel believes without a socket to match.
	sent := netguardtest.ICMP(w.Near(false), netip.MustParseAddr(elsewhere4), []byte{0, 0, 0, 0, 0, 1, 0, 1})
	all = append(all, netguardtest.Redirect(w.FarAddr(false), better, sent).Frame(w.MAC, at.MAC))
	six := netguardtest.Echo(w.Near(true), netip.MustParseAddr(elsewhere6), 1, []byte("sent once"))
	all = append(all, netguardtest.Redirect(lladdr, netip.MustParseAddr(rogueRouter6), six).Frame(w.MAC, at.MAC))
	must(t, at.Send(all...))
}

// believed are the attacks of a rogue router that a host fell for.
func believed(t *testing.T, h *netguardtest.Host, w netguardtest.Wire) (all []string) {
	t.Helper()
	leads := func(to, via string) bool {
		out, _ := tryTool(t, h, "ip", "route", "get", to) // it may lead nowhere
		return strings.Contains(out, "via "+via)
	}
	if leads(elsewhere4, rogueRouter4(w).String()) {
		all = append(all, "redirect")
	}
	if leads(elsewhere6, rogueRouter6) {
		all = append(all, "redirect of IPv6")
	}
	if strings.Contains(addressing(t, h), strings.TrimSuffix(roguePrefix, ":/64")) {
		all = append(all, "prefix")
	}
	return all
}

// A rogue router at either port changes neither addresses nor routes.
func TestCase06RogueRouter(t *testing.T) {
	t.Parallel()
	for _, side := range []Side{InternalSide, ExternalSide} {
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			seen := fallForRogue(t, side)
			resistRogue(t, side, seen)
		})
	}
}

// fallForRogue is the control: an ordinary host that is no IPv6 router, because
// those believe no redirects, falls for everything.
func fallForRogue(t *testing.T, side Side) (seen int) {
	t.Helper()
	open := openScene(t)
	w := open.wire(side)
	must(t, open.Box.Route(netip.MustParsePrefix("0.0.0.0/0"), w.FarAddr(false)))
	for _, which := range []string{"all", "default", w.Port} {
		must(t, open.Box.Set("ipv6/conf/"+which+"/forwarding", "0"))
	}
	offered, err := open.Box.ListenPacket(":68")
	must(t, err)
	defer offered.Close()
	waitUntil(t, limit(testTimeout), "control: everything is believed", func() bool {
		rogue(t, w)
		return len(believed(t, open.Box, w)) == 3
	})
	if got := believed(t, open.Box, w); len(got) != 3 {
		t.Fatalf("control: only these are believed: %v\n%s", got, addressing(t, open.Box))
	}
	must(t, offered.SetReadDeadline(time.Now().Add(limit(testTimeout))))
	if _, _, err := offered.ReadFrom(make([]byte, 1500)); err != nil {
		t.Fatalf("control: no offer arrives: %v", err)
	}
	return 4
}

func resistRogue(t *testing.T, side Side, seen int) {
	t.Helper()
	s := newScene(t)
	s.guarded(t)
	inside, w := s.in(t, side), s.wire(side)
	before := addressing(t, inside)
	deaf, err := inside.ListenPacket(":68")
	must(t, err)
	defer deaf.Close()
	rogue(t, w)
	rogue(t, w)
	changes := believed(t, inside, w)
	must(t, deaf.SetReadDeadline(time.Now().Add(crossTime)))
	if n, _, err := deaf.ReadFrom(make([]byte, 1500)); err == nil {
		t.Errorf("an offer of %d bytes came in", n)
		changes = append(changes, "offer")
	}
	if changes = append(changes, believed(t, inside, w)...); len(changes) > 0 {
		t.Errorf("believed: %v", changes)
	}
	if after := addressing(t, inside); after != before {
		t.Errorf("addresses and routes changed\nbefore:\n%s\nafter:\n%s", before, after)
	}
	record(t, caseResult{Case: 6, What: "rogue RA, DHCP offer, redirects at the " + string(side) + " port: believed", Control: seen, Crossed: len(changes)})
}

// tool runs one of the kernel's own tools inside a host and returns what it
// says.
func tool(t *testing.T, h *netguardtest.Host, name string, args ...string) string {
	t.Helper()
	out, err := tryTool(t, h, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return out
}
