package netguard

import (
	"net/netip"
	"testing"
)

// Whatever Check accepts has two ports that share no address, and gateways and
// servers that the ports reach.
func FuzzCheck(f *testing.F) {
	f.Add("eth1", "52:54:00:00:00:01", "10.1.0.2/24", "10.1.0.1", "10.64.0.0/10 via 10.1.0.1", "10.1.0.53:53", 1500, "192.0.2.2/24", "fd00::/8")
	f.Add("eth1", "", "fd00:1::2/64", "fe80::1", "default via fe80::1", "[fd00:1::53]:53", 1280, "::ffff:10.0.0.1/120", "::/0 via fe80::1")
	f.Add("lo", "x", "0.0.0.0/0", "::ffff:1.2.3.4", "::ffff:0:0/96", "127.0.0.1:0", -1, "10.1.0.3/24", "128.0.0.0/1")
	f.Fuzz(func(t *testing.T, name, mac, a, gateway, r, dns string, mtu int, b, s string) {
		c := Config{Internal: Port{Interface: name, MAC: mac, MTU: mtu}, External: Port{Interface: "ext0"}}
		c.Internal.Addresses = somePrefix(a)
		c.Internal.Gateway, _ = netip.ParseAddr(gateway)
		c.Internal.Routes = someRoute(r)
		if server, err := netip.ParseAddrPort(dns); err == nil {
			c.Internal.DNS = []netip.AddrPort{server}
		}
		c.External.Addresses, c.External.Routes = somePrefix(b), someRoute(s)
		if Check(c) == nil {
			disjoint(t, c)
		}
	})
}

func somePrefix(s string) []netip.Prefix {
	p, _ := netip.ParsePrefix(s)
	return []netip.Prefix{p}
}

func someRoute(s string) []Route {
	r, err := ParseRoute(s)
	if err != nil {
		return nil
	}
	return []Route{r}
}

// disjoint asks by address, not by prefix: the first and last address of all
// that one port reaches must be refused to the other.
func disjoint(t *testing.T, c Config) {
	for _, side := range []Side{InternalSide, ExternalSide} {
		mine, theirs := c.port(side), c.port(side.other()).claims()
		for _, p := range mine.Addresses {
			if err := allow(side, theirs, p.Addr()); err != nil {
				t.Errorf("%v was accepted, yet %s %v", c, side, err)
			}
			if err := allow(side.other(), mine.claims(), netip.AddrFrom16(p.Addr().As16())); err == nil {
				t.Errorf("%v was accepted, yet the %s port may dial %s", c, side.other(), p.Addr())
			}
		}
		for _, r := range mine.Routes {
			if r.Destination.Bits() == 0 {
				continue
			}
			if err := allow(side.other(), mine.claims(), r.Destination.Addr()); err == nil {
				t.Errorf("%v was accepted, yet the %s port may dial %s", c, side.other(), r.Destination.Addr())
			}
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8 via 10.1.0.1", "default via fe80::1", "fd00::/8", " default  via 1.2.3.4 ", "via via via"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRoute(s)
		if err != nil {
			if r != (Route{}) {
				t.Errorf("%q gives %v and an error", s, r)
			}
			return
		}
		if again, err := ParseRoute(r.String()); err != nil || again != r {
			t.Errorf("%q gives %v, which gives %v, %v", s, r, again, err)
		}
	})
}
