package netguard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"lwc/netguard/netguardtest"
)

// lies are names on the allow-list that the cloud's DNS server leads elsewhere:
// to the devices, to the box itself, to the link, also in mapped form.
func lies(s *netguardtest.Site) map[string][]string {
	device := s.Internal.FarAddr(false).String()
	return map[string][]string{
		"cloud.example.": {s.External.FarAddr(false).String()}, "off.example.": {s.External.FarAddr(false).String()},
		"device.example.": {device}, "device6.example.": {s.Internal.FarAddr(true).String()},
		"own.example.": {s.Internal.Near(false).String()}, "mapped.example.": {"::ffff:" + device},
		"loop.example.": {"127.0.0.1"}, "loop6.example.": {"::1"}, "loopmapped.example.": {"::ffff:127.0.0.1"},
		"link.example.": {"169.254.169.254"}, "link6.example.": {"fe80::1"}, "nothing.example.": {"0.0.0.0"},
		"group.example.": {"224.0.0.1"}, "both.example.": {device, "127.0.0.1"},
	}
}

// isSYN matches the first segment of a connection.
func isSYN(frame []byte) bool { return netguardtest.IsTCP(frame, netguardtest.SYN) }

// isDial matches the first frame of a dial of a test.
func isDial(frame []byte) bool { return isSYN(frame) || toUDPPort(frame, 443) }

// leaveOpen dials, in a box that nobody guards, all that the guard is to refuse,
// and returns the addresses to which something left. The others lead to the host
// itself or nowhere: they leave no host.
func leaveOpen(t *testing.T) (frames int, reached map[netip.Addr]bool) {
	t.Helper()
	open := openScene(t)
	must(t, open.Box.Route(netip.MustParsePrefix("0.0.0.0/0"), open.External.FarAddr(false)))
	var mu sync.Mutex // guards reached
	reached = map[netip.Addr]bool{}
	match := func(frame []byte) bool {
		if !isDial(frame) {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		reached[netguardtest.Destination(frame)] = true
		return true
	}
	seen := []*netguardtest.Sniffer{sniff(t, open.External, match), sniff(t, open.Internal, match)}
	dial := func(network, address string) {
		ctx, cancel := context.WithTimeout(t.Context(), crossTime)
		defer cancel()
		if c, err := (&net.Dialer{}).DialContext(ctx, network, address); err == nil {
			_, _ = c.Write([]byte("hello"))
			_ = c.Close()
		}
	}
	must(t, open.Box.Do(func() error { // literal addresses: the dialer stays on this thread
		for _, addrs := range lies(open.Site) {
			for _, a := range addrs {
				dial("tcp", net.JoinHostPort(a, "443"))
			}
		}
		for _, command := range refused(open.Site, nil) {
			words := strings.Fields(command)
			if _, err := netip.ParseAddrPort(words[2]); err == nil {
				dial(words[1], words[2])
			}
		}
		return nil
	}))
	must(t, settle(t, seen[0]))
	mu.Lock()
	defer mu.Unlock()
	return seen[0].Count() + seen[1].Count(), reached
}

// The External Port dials what is on the list, and not what a name on the list
// is made to stand for; the Internal Port does not dial into the external side.
func TestCase10AllowList(t *testing.T) {
	t.Parallel()
	control, reached := leaveOpen(t)
	s := newScene(t)
	for _, a := range []netip.Addr{s.Internal.FarAddr(false), s.Internal.FarAddr(true), s.External.FarAddr(false),
		s.External.FarAddr(true), netip.MustParseAddr("169.254.169.254")} {
		if !reached[a] {
			t.Fatalf("control: with nobody on guard nothing leaves to %s, only to %v", a, reached)
		}
	}
	table := lies(s.Site)
	s.withNames(t, table, nil)
	s.config.Allow = nil
	for name := range table {
		if host := strings.TrimSuffix(name, "."); host != "off.example" {
			s.config.Allow = append(s.config.Allow, Endpoint{Host: host, Port: 443})
		}
	}
	serveCloud(t, s)
	g := s.guarded(t)
	syns := []*netguardtest.Sniffer{sniff(t, s.External, isDial), sniff(t, s.Internal, isDial)}
	for _, command := range refused(s.Site, table) {
		if m := g.ask(t, command); m.Code != "not-allowed" {
			t.Errorf("%s: %q, want ErrNotAllowed", command, m.Answer)
		}
	}
	crossed := silent(t, "refused dials, external wire", syns[0]) + silent(t, "refused dials, internal wire", syns[1])
	record(t, caseResult{Case: 10, What: fmt.Sprintf("dials off the list, names that lie (control of %d addresses)", len(reached)), Control: control, Crossed: crossed})
	if m := g.ask(t, "external tcp cloud.example:443"); m.Answer != "connected" {
		t.Errorf("the cloud: %q", m.Answer)
	}
	must(t, syns[0].Wait(within(t, testTimeout), 1)) // it would have seen the others too
}

// refused are the dials that must not be made.
func refused(s *netguardtest.Site, table map[string][]string) (commands []string) {
	for name := range table {
		if name != "cloud.example." {
			commands = append(commands, "external tcp "+strings.TrimSuffix(name, ".")+":443")
		}
	}
	for _, a := range []netip.Addr{s.Internal.FarAddr(false), s.Internal.FarAddr(true), netip.AddrFrom16(s.Internal.FarAddr(false).As16()), s.External.FarAddr(true)} {
		commands = append(commands, "external tcp "+netip.AddrPortFrom(a, 443).String())
	}
	commands = append(commands, "external tcp cloud.example:8443", "external udp cloud.example:443", "external tcp 127.0.0.1:443", "external tcp [fe80::1]:443")
	for _, a := range []netip.Addr{s.External.FarAddr(false), s.External.FarAddr(true), netip.AddrFrom16(s.External.FarAddr(false).As16())} {
		commands = append(commands, "internal tcp "+netip.AddrPortFrom(a, 22).String(), "internal tcp "+netip.AddrPortFrom(a, 443).String())
	}
	return commands
}
