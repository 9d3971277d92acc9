package netguard

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// Each way of tampering is found and named, blocks the ports, and its undoing
// opens them again.
func TestVerifyFinds(t *testing.T) {
	tests := []struct {
		name       string
		do, undo   []string // arguments of ip inside the namespace of the internal port
		kind       Kind
		words      string
		unblocking bool
	}{
		{"foreign address", []string{"addr", "add", "10.55.0.1/24", "dev", "lwcint0"}, []string{"addr", "del", "10.55.0.1/24", "dev", "lwcint0"}, KindAddress, "10.55.0.1/24 is not configured", true},
		{"missing address", []string{"addr", "del", "10.11.0.2/24", "dev", "lwcint0"}, nil, KindAddress, "10.11.0.2/24 is missing", false},
		{"foreign route", []string{"route", "add", "203.0.113.0/24", "via", "10.11.0.1"}, []string{"route", "del", "203.0.113.0/24"}, KindRoute, "203.0.113.0/24 via 10.11.0.1", true},
		{"route in another table", []string{"route", "add", "default", "via", "10.11.0.1", "table", "9"}, []string{"route", "flush", "table", "9"}, KindRoute, "table 9", true},
		{"route that claims to be the kernel's", []string{"route", "add", "203.0.113.0/24", "dev", "lwcint0", "proto", "kernel"}, []string{"route", "del", "203.0.113.0/24"}, KindRoute, "203.0.113.0/24", true},
		{"missing route", []string{"route", "del", "10.99.0.0/16"}, []string{"route", "add", "10.99.0.0/16", "via", "10.11.0.1", "proto", "static"}, KindRoute, "10.99.0.0/16 via 10.11.0.1 is missing", true},
		{"missing subnet", []string{"route", "del", "10.11.0.0/24"}, nil, KindRoute, "10.11.0.0/24 is missing", false},
		{"rule", []string{"rule", "add", "from", "all", "lookup", "9"}, []string{"rule", "del", "lookup", "9"}, KindRule, "is not configured", true},
		{"no rule", []string{"rule", "del", "lookup", "default"}, []string{"rule", "add", "lookup", "default", "priority", "32767"}, KindRule, "is missing", true},
		{"down", []string{"link", "set", "lwcint0", "down"}, nil, KindLink, "lwcint0 was set down", false},
		{"mac", []string{"link", "set", "lwcint0", "address", "02:00:00:00:00:07"}, nil, KindLink, "has hardware address 02:00:00:00:00:07", false},
		{"rename", []string{"link", "set", "lwcint0", "name", "x0"}, []string{"link", "set", "x0", "name", "lwcint0"}, KindLink, "renamed to x0", true},
		{"extra", []string{"link", "add", "x0", "type", "bridge"}, []string{"link", "del", "x0"}, KindExtraInterface, "x0 (bridge)", true},
		{"overlap", []string{"addr", "add", "192.0.2.200/25", "dev", "lwcint0"}, []string{"addr", "del", "192.0.2.200/25", "dev", "lwcint0"}, KindOverlap, "lies inside address 192.0.2.2/24", true},
		{"gone", []string{"link", "del", "lwcint0"}, nil, KindLink, "is gone", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			g := s.up(t)
			inside := filepath.Join(s.dir, InternalNamespace)
			ip(t, inside, tt.do...)
			expectViolation(t, g, tt.kind, InternalSide, tt.words)
			if _, err := g.External().DialContext(t.Context(), "tcp", cloudAddr4+":443"); !errors.Is(err, ErrBlocked) {
				t.Errorf("dial: %v, want ErrBlocked", err)
			}
			if tt.unblocking {
				ip(t, inside, tt.undo...)
				report, err := g.Verify(t.Context())
				must(t, err)
				if report.Err() != nil || g.State().Status != Open {
					t.Errorf("after undoing: %v, %v", report.Err(), g.State())
				}
			}
		})
	}
}

func expectViolation(t *testing.T, g *Guard, kind Kind, side Side, words string) {
	t.Helper()
	report, err := g.Verify(t.Context())
	must(t, err)
	if g.State().Status != Blocked || g.State().Detail == "" {
		t.Errorf("state is %+v, want blocked", g.State())
	}
	for _, v := range report.Violations {
		if v.Kind == kind && v.Port == side && strings.Contains(v.Error(), words) {
			return
		}
	}
	t.Errorf("violations are %v, want %s with %q", report.Err(), kind, words)
}

func TestVerifyFindsSysctls(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	for _, path := range []string{"ipv4/ip_forward", "ipv4/conf/lwcint0/proxy_arp", "ipv4/conf/default/route_localnet", "ipv6/conf/all/forwarding", "ipv6/conf/lwcint0/accept_ra"} {
		m := g.sides[0]
		must(t, m.ns.do(t.Context(), func() error { return quieten([]setting{{path, "1"}}) }))
		expectViolation(t, g, KindSysctl, InternalSide, path+" is 1, must be 0")
		must(t, m.applySysctls(t.Context()))
	}
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
}

func TestVerifyFindsAPortAtHome(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	m := g.sides[1]
	l, err := m.ns.nl.LinkByName("lwcext0")
	must(t, err)
	must(t, m.ns.nl.LinkSetNsFd(l, int(g.home.file.Fd())))
	expectViolation(t, g, KindHomeHoldsPort, ExternalSide, "lwcext0")
}

func TestVerifyFindsAnotherNamespace(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
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
	var v *Violation
	if _, err := Up(within(t, testTimeout), s.config); !errors.As(err, &v) || v.Kind != KindExtraInterface || !strings.Contains(err.Error(), "third0") {
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

// Events come in order, and a reader who is late finds the newest.
func TestEvents(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	inside := filepath.Join(s.dir, InternalNamespace)
	for range eventBacklog / 4 { // each round tells of the address and its routes
		ip(t, inside, "addr", "add", "10.55.0.1/24", "dev", "lwcint0")
		expectViolation(t, g, KindAddress, InternalSide, "10.55.0.1/24")
		ip(t, inside, "addr", "del", "10.55.0.1/24", "dev", "lwcint0")
		report, err := g.Verify(t.Context())
		must(t, err)
		must(t, report.Err())
	}
	must(t, g.Close())
	var all []Event
	for e := range g.Events() {
		all = append(all, e)
	}
	if len(all) != eventBacklog || all[len(all)-1].Status != Down {
		t.Fatalf("%d events, the last %+v", len(all), all[len(all)-1])
	}
	violations := 0
	for _, e := range all {
		if e.Violation != nil {
			violations++
			if e.Status != Blocked || !strings.Contains(e.Text, "10.55.0.") {
				t.Errorf("event %+v", e)
			}
		}
	}
	if violations == 0 {
		t.Error("no event of a violation")
	}
}
