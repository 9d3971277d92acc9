package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A lease that cannot be: the port stays without an address and says why, the
// other port works, and a dial fails with the reason. One that overlaps the other
// port blocks both.
func TestDHCPRefused(t *testing.T) {
	tests := []struct {
		name, lent string
		options    []string
		change     func(*Config)
		words      string
		overlap    bool
	}{
		{name: "overlap", lent: "10.11.0.100,10.11.0.120,255.255.255.0,10m", words: "separate subnets", overlap: true},
		{name: "route over the internal subnet", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m",
			options: []string{"--dhcp-option=121,10.0.0.0/8,192.0.2.1"}, words: "lies inside route 10.0.0.0/8", overlap: true},
		{name: "half of all addresses", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m",
			options: []string{"--dhcp-option=121,128.0.0.0/1,192.0.2.1"}, words: "route \"128.0.0.0/1\" of a lease is wider than /8"},
		{name: "route over the other port's server", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m",
			options: []string{"--dhcp-option=121,203.0.112.0/22,192.0.2.1"}, words: "dns server 203.0.113.53:53 lies inside route 203.0.112.0/22", overlap: true,
			change: func(c *Config) {
				c.Internal.Gateway, c.Internal.DNS = netip.MustParseAddr("10.11.0.1"), []netip.AddrPort{netip.MustParseAddrPort("203.0.113.53:53")}
			}},
		{name: "gateway elsewhere", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m",
			options: []string{"--dhcp-option=3,198.51.100.1"}, words: "gateway \"198.51.100.1\" is in no subnet"},
		{name: "small mtu", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m",
			options: []string{"--dhcp-option=26,400"}, words: "mtu \"400\" is too small"},
		{name: "mtu too small for ipv6", lent: "192.0.2.100,192.0.2.120,255.255.255.0,10m", options: []string{"--dhcp-option=26,1000"},
			change: func(c *Config) { c.External.Addresses = prefixes("fd00:22::2/64") }, words: "IPv6 needs 1280"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newLentSite(t)
			if tt.change != nil {
				tt.change(&s.config)
			}
			if strings.HasPrefix(tt.lent, "10.11.") {
				ip(t, filepath.Join(s.dir, "cloud"), "addr", "add", "10.11.0.9/24", "dev", "eth0")
			}
			serveLeases(t, s.cloud, tt.lent, tt.options...)
			device := serve(t, s.device, deviceAddr4+":830", "device")
			g := s.up(t)
			await(t, "the reason", func() bool { return strings.Contains(fmt.Sprint(g.State().Degraded), tt.words) })
			if out := ip(t, s.config.paths()[1], "-4", "addr"); strings.Contains(out, "inet 1") && strings.Contains(out, "lwcext0") {
				t.Errorf("the port has an address:\n%s", out)
			}
			if tt.overlap {
				expectOverlap(t, g)
				return
			}
			if _, err := g.External().DialContext(within(t, testTimeout), "tcp", cloudAddr4+":443"); !errors.Is(err, ErrNoAddress) {
				t.Errorf("dial: %v, want ErrNoAddress", err)
			}
			c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", device)
			must(t, err)
			if got := readAll(t, c); got != "device" {
				t.Errorf("the internal port said %q", got)
			}
		})
	}
}

// expectOverlap waits until the ports are blocked for the lease.
func expectOverlap(t *testing.T, g *Guard) {
	t.Helper()
	await(t, "blocked ports", func() bool { return g.State().Status == Blocked })
	report, err := g.Verify(t.Context())
	must(t, err)
	var overlap *OverlapError
	if !errors.As(report.Err(), &overlap) {
		t.Errorf("verifying: %v, want an OverlapError", report.Err())
	}
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		cloudAddr4 + ":443": g.External().DialContext, deviceAddr4 + ":830": g.Internal().DialContext,
	} {
		if _, err := dial(within(t, testTimeout), "tcp", name); !errors.Is(err, ErrBlocked) {
			t.Errorf("dialling %s: %v, want ErrBlocked", name, err)
		}
	}
}

// What was open through the other port is closed when a lease overlaps, and a card
// that is put back meanwhile is fetched again: the lease has not been let in.
func TestDHCPOverlapClosesAndStillFetches(t *testing.T) {
	s := newLentSite(t)
	hold := listen(t, s.device, deviceAddr4+":830")
	g := s.up(t)
	c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", hold.Addr().String())
	must(t, err)
	defer c.Close()
	ip(t, filepath.Join(s.dir, "cloud"), "addr", "add", "10.11.0.9/24", "dev", "eth0")
	serveLeases(t, s.cloud, "10.11.0.100,10.11.0.120,255.255.255.0,10m")
	await(t, "blocked ports", func() bool { return g.State().Status == Blocked })
	_ = c.SetReadDeadline(time.Now().Add(testTimeout)) // closed already, or about to be
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection of the internal port stays: %v", err)
	}
	l, err := g.sides[1].ns.nl.LinkByName("lwcext0")
	must(t, err)
	must(t, g.sides[1].ns.nl.LinkSetNsFd(l, int(g.home.file.Fd())))
	await(t, "the card to be fetched", func() bool {
		l, err := g.sides[1].ns.nl.LinkByName("lwcext0")
		return err == nil && l.Attrs().RawFlags&unix.IFF_UP != 0
	})
}

// The wall of a port that only asks for a lease lets nothing begin.
func TestShutWall(t *testing.T) {
	p := Port{Interface: "eth0", Addresses: prefixes("fd00:22::2/64"), DNS: []netip.AddrPort{netip.MustParseAddrPort("[fd00:22::53]:53")}}
	m := &member{plan: newPlan(ExternalSide, p), link: identity{"eth0", 3, "02:00:00:00:00:01"}}
	if w := m.wallPort(); !w.Dynamic || !w.IPv6 || len(w.DNS) != 1 {
		t.Errorf("control: the open wall is %+v", w)
	}
	m.shut = true
	if w := m.wallPort(); w.Dynamic || w.IPv6 || len(w.DNS) != 0 || w.Index != 3 || len(w.MAC) != 6 {
		t.Errorf("the shut wall is %+v", w)
	}
}
