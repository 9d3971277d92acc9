package netguard

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"lwc/testdata/need"
)

// halt ends the patrol of g, so that nothing is put right any more.
func halt(g *Guard) {
	g.stop()
	g.tasks.Wait()
}

// tampering is a change in the namespace of the internal port, by the kernel's
// own tools, and what is found of it.
type tampering struct {
	name     string
	do, undo string // command lines; an empty undo: it cannot be undone so
	kind     Kind
	words    string
	grave    bool
}

func tamperings() []tampering {
	return []tampering{
		{"foreign address", "ip addr add 10.55.0.1/24 dev lwcint0", "ip addr del 10.55.0.1/24 dev lwcint0", KindAddress, "10.55.0.1/24 is not configured", false},
		{"address with a peer", "ip addr add 10.11.0.2 peer 203.0.113.9/24 dev lwcint0", "ip addr del 10.11.0.2 peer 203.0.113.9/24 dev lwcint0", KindAddress, "10.11.0.2/32 is not configured", false},
		{"missing address", "ip addr del 10.11.0.2/24 dev lwcint0", "", KindAddress, "10.11.0.2/24 is missing", false},
		{"foreign route", "ip route add 203.0.113.0/24 via 10.11.0.1", "ip route del 203.0.113.0/24", KindRoute, "203.0.113.0/24 via 10.11.0.1", false},
		{"route in another table", "ip route add default via 10.11.0.1 table 9", "ip route flush table 9", KindRoute, "table 9", false},
		{"route that claims to be the kernel's", "ip route add 203.0.113.0/24 dev lwcint0 proto kernel", "ip route del 203.0.113.0/24", KindRoute, "203.0.113.0/24", false},
		{"local route that claims to be the kernel's", "ip route add local 203.0.113.7 dev lo table local proto kernel", "ip route del local 203.0.113.7 dev lo table local", KindRoute, "203.0.113.7/32", false},
		{"missing route", "ip route del 10.99.0.0/16", "ip route add 10.99.0.0/16 via 10.11.0.1 proto static", KindRoute, "10.99.0.0/16 via 10.11.0.1 is missing", false},
		{"missing subnet", "ip route del 10.11.0.0/24", "", KindRoute, "10.11.0.0/24 is missing", false},
		{"rule", "ip rule add from all lookup 9", "ip rule del lookup 9", KindRule, "is not configured", false},
		{"no rule", "ip rule del lookup default", "ip rule add lookup default priority 32767", KindRule, "is missing", false},
		{"down", "ip link set lwcint0 down", "", KindLink, "lwcint0 was set down", false},
		{"queue", "tc qdisc add dev lwcint0 root handle 5: pfifo", "tc qdisc del dev lwcint0 root", KindQueue, "pfifo is not the kernel's on lwcint0", false},
		{"foreign table", "nft add table ip x", "nft delete table ip x", KindFilter, "x", false},
		{"clsact", "tc qdisc add dev lwcint0 clsact", "tc qdisc del dev lwcint0 clsact", KindQueue, "clsact is attached to lwcint0", true},
		{"ingress of lo", "tc qdisc add dev lo ingress", "tc qdisc del dev lo ingress", KindQueue, "ingress is attached to lo", true},
		{"mac", "ip link set lwcint0 address 02:00:00:00:00:07", "", KindLink, "has hardware address 02:00:00:00:00:07", true},
		{"rename", "ip link set lwcint0 name x0", "ip link set x0 name lwcint0", KindLink, "renamed to x0", true},
		{"extra", "ip link add x0 type bridge", "ip link del x0", KindExtraInterface, "x0 (bridge)", true},
		{"fallback tunnel that is up", "ip link add sit0 up type bridge", "ip link del sit0", KindExtraInterface, "sit0", true},
		{"overlap by address", "ip addr add 192.0.2.200/25 dev lwcint0", "ip addr del 192.0.2.200/25 dev lwcint0", KindOverlap, "lies inside address 192.0.2.2/24", true},
		{"overlap by route", "ip route add 192.0.2.0/25 dev lwcint0 proto kernel", "ip route del 192.0.2.0/25", KindOverlap, "route 192.0.2.0/25 lies inside", true},
		{"gone", "ip link del lwcint0", "", KindLink, "is gone", true},
	}
}

// Each way of tampering is found and named, and nothing is found once it is undone.
func TestVerifyFinds(t *testing.T) {
	for _, tt := range tamperings() {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			g := s.up(t)
			halt(g)
			s.inside(t, tt.do)
			v := expectViolation(t, g, tt.kind, InternalSide, tt.words)
			if v != nil && v.grave() != tt.grave {
				t.Errorf("%v: grave is %v", v, v.grave())
			}
			if tt.undo != "" {
				s.inside(t, tt.undo)
				report, err := g.Verify(t.Context())
				must(t, err)
				must(t, report.Err())
			}
		})
	}
}

// inside runs a command line in the namespace of the internal port.
func (s *site) inside(t testing.TB, line string) string {
	t.Helper()
	return s.within(t, filepath.Join(s.dir, InternalNamespace), line)
}

func (s *site) within(t testing.TB, namespace, line string) string {
	t.Helper()
	words := strings.Fields(line)
	tool := need.Program(t, words[0])
	n := newNamespace("", namespace)
	n.joined = true // a guard holds it
	n, err := openThread(t.Context(), n, false)
	must(t, err)
	defer func() { _ = n.close() }()
	var out []byte
	err = n.do(t.Context(), func() (err error) {
		out, err = command(tool, words[1:]...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func expectViolation(t *testing.T, g *Guard, kind Kind, side Side, words string) *Violation {
	t.Helper()
	report, err := g.Verify(t.Context())
	must(t, err)
	for _, v := range report.Violations {
		if v.Kind == kind && v.Port == side && strings.Contains(v.Error(), words) {
			return v
		}
	}
	t.Errorf("violations are %v, want %s with %q", report.Err(), kind, words)
	return nil
}

func TestVerifyFindsSysctls(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	halt(g)
	m := g.sides[0]
	for _, path := range []string{"ipv4/ip_forward", "ipv4/conf/lwcint0/proxy_arp", "ipv4/conf/default/route_localnet",
		"ipv6/conf/all/forwarding", "ipv6/conf/lwcint0/accept_ra", "ipv6/conf/all/seg6_enabled"} {
		must(t, setSysctl(m, path, "1"))
		expectViolation(t, g, KindSysctl, InternalSide, path+" is 1, must be 0")
		must(t, m.applySysctls(t.Context()))
	}
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
}

// Every setting of every device is read, not just those above.
func TestVerifyReadsAllSettings(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	halt(g)
	m := g.sides[1]
	for _, want := range m.plan.sysctls(m.link.name) {
		was := readSysctl(m, want.path)
		if was == absent || setSysctl(m, want.path, "2") != nil && setSysctl(m, want.path, "0") != nil {
			continue // one that can have no other value
		}
		if readSysctl(m, want.path) == want.value && setSysctl(m, want.path, "1") != nil {
			continue
		}
		if readSysctl(m, want.path) != want.value {
			expectViolation(t, g, KindSysctl, ExternalSide, want.path)
		}
		must(t, m.applySysctls(t.Context()))
	}
}

func TestVerifyFindsAPortAtHome(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	m := g.sides[1]
	l, err := m.ns.nl.LinkByName("lwcext0")
	must(t, err)
	must(t, m.ns.nl.LinkSetNsFd(l, int(g.home.file.Fd())))
	expectViolation(t, g, KindHomeHoldsPort, ExternalSide, "lwcext0")
}

func TestVerifyFindsAnotherNamespace(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	path := filepath.Join(s.dir, ExternalNamespace)
	must(t, bind(filepath.Join(s.dir, "cloud"), path))
	expectViolation(t, g, KindNamespace, ExternalSide, "names another namespace")
}

func TestDedicatedMachine(t *testing.T) {
	s := newSite(t)
	a := netlink.NewLinkAttrs()
	a.Name = "third0"
	third := &netlink.Bridge{LinkAttrs: a}
	must(t, netlink.LinkAdd(third))
	t.Cleanup(func() { _ = netlink.LinkDel(third) })
	g := s.up(t)
	report, err := g.Verify(t.Context())
	must(t, err)
	if len(report.Home) != 1 || report.Home[0] != "third0" || report.Err() != nil {
		t.Errorf("report is %+v", report)
	}
	must(t, g.Close())
	s.config.Dedicated = true
	if _, err := Up(within(t, testTimeout), s.config); !isKind(err, KindExtraInterface) || !strings.Contains(err.Error(), "third0") {
		t.Errorf("error is %v, want an extra interface", err)
	}
}

func TestReportShowsThePorts(t *testing.T) {
	s := newSite(t)
	report, err := s.up(t).Verify(t.Context())
	must(t, err)
	r := report.External
	if r.Link != "lwcext0" || !r.Up || !r.Carrier || r.MTU != 1500 || r.MAC == "" || len(r.Addresses) != 1 ||
		r.Addresses[0] != netip.MustParsePrefix("192.0.2.2/24") || len(r.Routes) != 2 || r.Cookie == report.Internal.Cookie {
		t.Errorf("external port is %+v", r)
	}
}
