package netguard

import (
	"net/netip"
	"testing"
)

// Whatever Check accepts has two ports that share no address, gateways and
// servers that the ports reach, and one card for both only under two tags.
func FuzzCheck(f *testing.F) {
	f.Add("eth1", "52:54:00:00:00:01", uint16(0), false, "10.1.0.2/24", "10.1.0.1", "10.64.0.0/10 via 10.1.0.1", "10.1.0.53:53", 1500, "ext0", uint16(0), "192.0.2.2/24", "fd00::/8", "cloud.example", uint16(22))
	f.Add("eth1", "", uint16(20), false, "fd00:1::2/64", "fe80::1", "default via fe80::1", "[fd00:1::53]:53", 1280, "eth1", uint16(30), "::ffff:10.0.0.1/120", "::/0 via fe80::1", "192.0.2.9", uint16(830))
	f.Add("lo", "x", uint16(4095), true, "0.0.0.0/0", "::ffff:1.2.3.4", "::ffff:0:0/96", "127.0.0.1:0", -1, "lo", uint16(1), "10.1.0.3/24", "128.0.0.0/1", "::1", uint16(0))
	f.Add("eth1", "", uint16(0), true, "fd00:1::2/64", "", "", "10.0.0.53:53", 0, "eth1", uint16(1), "192.0.2.2/24", "", "10.1.0.1", uint16(65535))
	f.Fuzz(func(t *testing.T, name, mac string, tag uint16, dhcp bool, a, gateway, r, dns string, mtu int, other string, otherTag uint16, b, s, host string, port uint16) {
		c := Config{Internal: Port{Interface: name, MAC: mac, VLAN: tag, DHCP: dhcp, MTU: mtu}, External: Port{Interface: other, VLAN: otherTag}}
		c.Internal.Addresses = somePrefix(a)
		c.Internal.Gateway, _ = netip.ParseAddr(gateway)
		c.Internal.Routes = someRoute(r)
		if server, err := netip.ParseAddrPort(dns); err == nil {
			c.Internal.DNS = []netip.AddrPort{server}
		}
		c.External.Addresses, c.External.Routes = somePrefix(b), someRoute(s)
		c.DevicePorts = []PortRange{{port, max(port, 1024)}}
		c.Allow = []Endpoint{{Host: host, Port: 443}}
		if Check(c) == nil {
			disjoint(t, c)
			apart(t, c)
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
		mine, theirs := c.port(side), outlet{side: side.other(), foreign: c.port(side).claims()}
		for _, p := range mine.Addresses {
			if err := (outlet{side: side, foreign: c.port(side.other()).claims()}).allow(p.Addr()); err != nil {
				t.Errorf("%v was accepted, yet %s %v", c, side, err)
			}
			if err := theirs.allow(netip.AddrFrom16(p.Addr().As16())); err == nil {
				t.Errorf("%v was accepted, yet the %s port may dial %s", c, side.other(), p.Addr())
			}
		}
		for _, r := range mine.Routes {
			if r.Destination.Bits() == 0 {
				continue
			}
			if err := theirs.allow(r.Destination.Addr()); err == nil {
				t.Errorf("%v was accepted, yet the %s port may dial %s", c, side.other(), r.Destination.Addr())
			}
		}
	}
	walled(t, c)
}

// walled: what the wall of the Internal Port lets out is nothing of the other's.
func walled(t *testing.T, c Config) {
	for _, p := range planOf(c, InternalSide).destinations {
		for _, f := range c.External.claims() {
			if f.prefix.Overlaps(p) {
				t.Errorf("%v was accepted, yet the wall lets the internal port out to %s", c, p)
			}
		}
	}
}

// apart: a card that both ports name carries them under two tags.
func apart(t *testing.T, c Config) {
	in, ext := c.Internal, c.External
	if sameCard(in, ext) && in.VLAN == ext.VLAN || in.VLAN > 4094 || ext.VLAN > 4094 {
		t.Errorf("accepted tags %d and %d of %s and %s", in.VLAN, ext.VLAN, in.name(), ext.name())
	}
	for _, p := range []Port{in, ext} {
		for _, a := range p.Addresses {
			if p.DHCP && a.Addr().Is4() {
				t.Errorf("accepted %s beside dhcp", a)
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
