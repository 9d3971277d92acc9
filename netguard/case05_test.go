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
	open := openScene(t)
	listenEverywhere(t, open.Box)
	seen := scan(t, open.Site, false)
	if seen.Answered < 65535 || !strings.Contains(strings.Join(seen.Answers, " "), "tcp") {
		t.Fatalf("control: an ordinary host answers like this: %v", seen)
	}
	s := newScene(t)
	s.guarded(t)
	listenEverywhere(t, s.boxes(t)...)
	leaves := sniff(t, s.External, func(frame []byte) bool { return fromPort(s.External, frame) && !aboutItself(s.External, frame) })
	for _, six := range []bool{false, true} {
		report := scan(t, s.Site, six)
		t.Log(report)
		if report.Answered > 0 {
			t.Errorf("the External Port answered: %v", report)
		}
		record(t, caseResult{Case: 5, What: "full scan of " + s.External.Near(six).String(), Control: seen.Answered, Crossed: report.Answered, Took: report.Took})
	}
	silent(t, "during the scan", leaves)
}

// fromPort matches what the port sends.
func fromPort(w netguardtest.Wire, frame []byte) bool { return bytes.Equal(frame[6:12], w.MAC) }

// aboutItself matches the answer to who has the port's own address, what goes
// with it (the question whether who asked is there still, RFC 4861 section 7.3,
// and the membership in the groups at which IPv6 neighbours ask), and the probe
// for a common segment (IEEE 802, local experimental EtherType 1).
func aboutItself(w netguardtest.Wire, frame []byte) bool {
	if a := netguardtest.Told(frame); a == w.Near(false) || a == w.Near(true) {
		return true
	}
	return bytes.Equal(frame[12:14], []byte{0x88, 0xb5}) || netguardtest.IsMLDReport(frame) || netguardtest.IsUnicastProbe(frame)
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

// rogue lets the cloud's host offer itself as router, DHCP server and shortcut.
func rogue(t *testing.T, s *netguardtest.Site) {
	t.Helper()
	w := s.External
	at := sender(t, w)
	elsewhere := netip.MustParseAddr("198.51.100.9")
	prefix := netip.MustParsePrefix("2001:db8:bad::/64")
	lladdr := netip.MustParseAddr("fe80::bad")
	all := [][]byte{netguardtest.RouterAdvertisement(at.MAC, lladdr, prefix),
		// A redirect is believed when its new router is a known neighbour.
		netguardtest.ARPRequest(at.MAC, netip.MustParseAddr("192.0.2.66"), w.Near(false))}
	for _, kind := range []byte{2, 5} {
		all = append(all, netguardtest.DHCPOffer(kind, 1, w.FarAddr(false), netip.MustParsePrefix("192.0.2.99/24"), w.MAC).Frame(netguardtest.Broadcast(), at.MAC))
	}
	// It quotes an echo reply, which the kernel believes without a socket to match.
	sent := netguardtest.ICMP(w.Near(false), elsewhere, []byte{0, 0, 0, 0, 0, 1, 0, 1})
	all = append(all, netguardtest.Redirect(w.FarAddr(false), netip.MustParseAddr("192.0.2.66"), sent).Frame(w.MAC, at.MAC))
	six := netguardtest.Echo(w.Near(true), netip.MustParseAddr("2001:db8::9"), 1, []byte("sent once"))
	all = append(all, netguardtest.Redirect(lladdr, netip.MustParseAddr("fe80::66"), six).Frame(w.MAC, at.MAC))
	must(t, at.Send(all...))
}

func TestCase06RogueRouter(t *testing.T) {
	t.Parallel()
	open := openScene(t)
	must(t, open.Box.Route(netip.MustParsePrefix("0.0.0.0/0"), open.External.FarAddr(false)))
	offered, err := open.Box.ListenPacket(":68")
	must(t, err)
	defer offered.Close()
	redirected := func(h *netguardtest.Host) bool {
		return strings.Contains(tool(t, h, "ip", "route", "get", "198.51.100.9"), "via 192.0.2.66")
	}
	waitFor(t, func() bool {
		rogue(t, open.Site)
		return redirected(open.Box) && strings.Contains(addressing(t, open.Box), "2001:db8:bad:")
	})
	must(t, offered.SetReadDeadline(time.Now().Add(testTimeout)))
	if _, _, err := offered.ReadFrom(make([]byte, 1500)); err != nil {
		t.Fatalf("control: no offer arrives: %v", err)
	}

	s := newScene(t)
	s.guarded(t)
	inside := s.in(t, ExternalSide)
	before := addressing(t, inside)
	deaf, err := inside.ListenPacket(":68")
	must(t, err)
	defer deaf.Close()
	rogue(t, s.Site)
	rogue(t, s.Site)
	must(t, deaf.SetReadDeadline(time.Now().Add(crossTime)))
	if n, _, err := deaf.ReadFrom(make([]byte, 1500)); err == nil {
		t.Errorf("an offer of %d bytes came in", n)
	}
	if after := addressing(t, inside); after != before {
		t.Errorf("addresses and routes changed\nbefore:\n%s\nafter:\n%s", before, after)
	}
	if redirected(inside) {
		t.Error("the redirect is followed")
	}
	record(t, caseResult{Case: 6, What: "rogue RA, DHCP offer, redirects: changes of addresses, routes", Control: 3})
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
