package netguard

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func outletOf(side Side, c Config) outlet {
	return newOutlet(side, c, &member{plan: planOf(c, side)})
}

func TestAllowRefusesAddresses(t *testing.T) {
	o := outletOf(ExternalSide, good())
	for a, says := range map[string]string{
		"::ffff:10.1.0.7": "internal port", "10.1.0.7": "internal port", "10.64.0.1": "internal port", "fd00:1::77": "internal port",
		"::ffff:0.1.2.3": "reserved", "::ffff:255.255.255.255": "broadcast", "::ffff:250.1.1.1": "reserved",
		"::ffff:127.0.0.1": "loopback", "127.8.8.8": "loopback", "::1": "loopback", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"169.254.169.254": "link-local", "::": "unspecified", "ff02::1%2": "multicast", "224.0.0.1": "multicast",
		"::ffff:192.0.2.9": "IPv4-mapped", "2001:db8::1%x": "zone", "192.0.2.2": "own address", "192.168.7.9": "own address",
	} {
		if err := o.allow(netip.MustParseAddr(a)); !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want ErrNotAllowed and %q", a, err, says)
		}
	}
	for _, a := range []string{"192.0.2.9", "192.0.2.3", "2001:db8::1"} {
		if err := o.allow(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	wide := good()
	wide.External.Addresses = prefixes("198.51.100.2/24")
	if err := outletOf(ExternalSide, wide).allow(netip.MustParseAddr("198.51.100.255")); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the broadcast address of the subnet: %v", err)
	}
}

func TestAllowDevice(t *testing.T) {
	c := good()
	c.DevicePorts = []PortRange{{22, 22}, {2200, 2299}}
	c.Internal.DNS = []netip.AddrPort{netip.MustParseAddrPort("10.64.0.53:53")}
	o := outletOf(InternalSide, c)
	for _, tt := range []struct{ network, to, says string }{
		{"tcp", "10.1.0.7:22", ""}, {"tcp", "10.64.9.9:2200", ""}, {"tcp", "172.16.5.9:2299", ""},
		{"tcp", "10.64.0.53:53", ""}, {"udp", "10.64.0.53:53", ""}, {"tcp", "8.8.4.4:22", ""}, // by the default route
		{"tcp", "10.1.0.7:23", "internal.ports"}, {"tcp", "10.1.0.7:2199", "internal.ports"}, {"tcp", "10.1.0.7:2300", "internal.ports"},
		{"udp", "10.1.0.7:22", "internal.dns"}, {"udp", "10.64.0.54:53", "internal.dns"}, {"tcp", "10.64.0.54:53", "internal.ports"},
		{"tcp", "192.0.2.3:22", "external port"}, {"tcp", "10.1.0.2:22", "own address"},
	} {
		to := netip.MustParseAddrPort(tt.to)
		err := o.allowDevice(Endpoint{Network: tt.network, Port: to.Port()}, to.Addr())
		if (tt.says == "") != (err == nil) || err != nil && (!errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s %s: %v, want %q", tt.network, tt.to, err, tt.says)
		}
	}
	c.Internal.Gateway, c.Internal.Routes = netip.Addr{}, nil
	o = outletOf(InternalSide, c)
	if err := o.allowDevice(Endpoint{Network: "tcp", Port: 22}, netip.MustParseAddr("8.8.4.4")); !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), "internal.routes") {
		t.Errorf("without a route: %v", err)
	}
	if err := outletOf(InternalSide, good()).allowDevicePort(830); err != nil {
		t.Errorf("the port of NETCONF is not among the default ones: %v", err)
	}
}

func TestEndpointOf(t *testing.T) {
	for _, tt := range []struct {
		network, addr, want string
		family              byte
	}{
		{"tcp", "Cloud.Example.:443", "tcp cloud.example:443", 0},
		{"udp6", "[2001:DB8:0::1]:123", "udp [2001:db8::1]:123", '6'},
		{"tcp4", "192.0.2.1:1", "tcp 192.0.2.1:1", '4'},
		{"unix", "/x", "", 0}, {"tcp", "x", "", 0}, {"tcp", "x:", "", 0}, {"tcp", "x:https", "", 0}, {"tcp", "x:65536", "", 0},
		{"tcp", "x:0", "", 0}, {"tcp", ":1", "", 0}, {"tcp", "a b:1", "", 0}, {"tcp", strings.Repeat("a", 254) + ":1", "", 0},
	} {
		e, family, err := endpointOf(tt.network, tt.addr)
		if (err == nil) != (tt.want != "") || err == nil && (e.String() != tt.want || family != tt.family) {
			t.Errorf("%s %s: %v %q %v, want %s", tt.network, tt.addr, e, family, err, tt.want)
		}
	}
}

func TestSetAllowedRefusesWhatIsNoEndpoint(t *testing.T) {
	g := newGuard(Config{})
	must(t, g.SetAllowed([]Endpoint{{Host: "cloud.example", Port: 443}}))
	for _, bad := range [][]Endpoint{{{Host: "x"}}, {{Port: 1}}, {{Host: ".", Port: 1}}, {{Host: "x", Port: 1, Network: "sctp"}}, {{Host: "a\nb", Port: 1}}, make([]Endpoint, maxAllowed+1)} {
		var ce *ConfigError
		if err := g.SetAllowed(bad); !errors.As(err, &ce) || ce.Field != "allow" {
			t.Errorf("%.60v: %v", bad, err)
		}
	}
	if err := g.permits.check(Endpoint{Network: "tcp", Host: "cloud.example", Port: 443}); err != nil {
		t.Errorf("a list that was refused replaced the good one: %v", err)
	}
}

// What no address could make right is refused before a name is asked for.
func TestAllowDeviceName(t *testing.T) {
	c := good()
	c.Internal.DNS = []netip.AddrPort{netip.MustParseAddrPort("10.64.0.53:53")}
	o := outletOf(InternalSide, c)
	for _, tt := range []struct {
		e    Endpoint
		says string
	}{
		{Endpoint{"tcp", "core1.example", 830}, ""}, {Endpoint{"udp", "ns.example", 53}, ""}, {Endpoint{"tcp", "ns.example", 53}, ""},
		{Endpoint{"udp", "core1.example", 830}, "internal.dns"}, {Endpoint{"tcp", "core1.example", 443}, "internal.ports"},
	} {
		err := o.allowDeviceName(tt.e)
		if (tt.says == "") != (err == nil) || err != nil && (!errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.e, err, tt.says)
		}
	}
}

// An answer that is huge, or says the same again and again, is cut.
func TestUsableIsBounded(t *testing.T) {
	var found []netip.Addr
	for a := netip.MustParseAddr("198.51.100.1"); len(found) < 4000; a = a.Next() {
		found = append(found, netip.MustParseAddr("10.1.0.7"), a, a)
	}
	kept, err := usable("cloud.example", found, outletOf(ExternalSide, good()).allow)
	if err != nil || len(kept) != maxAddresses || kept[0] != found[1] || kept[maxAddresses-1] != found[3*maxAddresses-1] {
		t.Errorf("kept %v, %v", kept, err)
	}
}
