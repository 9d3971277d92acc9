package netguard

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func good() Config {
	return Config{
		Internal: Port{Interface: "eth1", MAC: "52:54:00:00:00:01", Addresses: prefixes("10.1.0.2/24", "fd00:1::2/64"),
			Gateway: netip.MustParseAddr("10.1.0.1"), Routes: []Route{route("10.64.0.0/10 via 10.1.0.1"), route("default via fe80::1"), route("172.16.5.0/24")},
			DNS: []netip.AddrPort{netip.MustParseAddrPort("10.64.0.53:53"), netip.MustParseAddrPort("8.8.8.8:53")}, MTU: 1280},
		External: Port{Interface: "eth2", Addresses: prefixes("192.0.2.2/31", "192.168.7.9/32"), Gateway: netip.MustParseAddr("192.0.2.3"), MTU: 576},
	}
}

func TestCheckAccepts(t *testing.T) {
	must(t, Check(good()))
	must(t, Check(Config{Mode: Unprotected}))
	one := good()
	one.External.Interface, one.Internal.VLAN, one.External.VLAN = "eth1", 20, 30
	must(t, Check(one))
	one.Internal.VLAN, one.External.MAC = 0, one.Internal.MAC
	must(t, Check(one))
	lent := good()
	lent.External = Port{Interface: "eth2", DHCP: true, DNS: []netip.AddrPort{netip.MustParseAddrPort("9.9.9.9:53")}}
	lent.Internal.DHCP, lent.Internal.Addresses = true, prefixes("fd00:1::2/64")
	lent.Internal.Gateway, lent.Internal.Routes = netip.Addr{}, []Route{route("default via fe80::1")}
	lent.DevicePorts = []PortRange{{22, 22}, {2200, 2299}}
	lent.Allow = []Endpoint{{Host: "cloud.example", Port: 443}, {Network: "udp", Host: "192.0.2.123", Port: 123}}
	must(t, Check(lent))
	point := good()
	point.Internal.Addresses = prefixes("169.254.7.1/16", "fd00:9::/127") // link-local is no shared subnet
	point.Internal.Addresses = point.Internal.Addresses[1:]
	point.Internal.Gateway, point.Internal.Routes, point.Internal.DNS = netip.Addr{}, nil, nil
	must(t, Check(point))
}

func TestCheckRefuses(t *testing.T) {
	addr, server := netip.MustParseAddr, netip.MustParseAddrPort
	tests := []struct {
		name   string
		change func(c *Config)
		words  string
	}{
		{"mode", func(c *Config) { c.Mode = "off" }, `mode "off" is not a mode: use enforce`},
		{"no interface", func(c *Config) { c.External.Interface = "" }, `external port: interface is missing: name the interface`},
		{"long name", func(c *Config) { c.External.Interface = "averyverylongname" }, `external port: interface "averyverylongname" is longer`},
		{"lo", func(c *Config) { c.Internal.Interface = "lo" }, `internal port: interface "lo" cannot be a port`},
		{"all", func(c *Config) { c.Internal.Interface = "all" }, `cannot be a port`},
		{"slash", func(c *Config) { c.Internal.Interface = "../x" }, `has a character`},
		{"pattern", func(c *Config) { c.Internal.Interface = "eth%d" }, `interface "eth%d" has a character`},
		{"bad mac", func(c *Config) { c.Internal.MAC = "52:54:00" }, `internal port: mac "52:54:00" is not an ethernet address`},
		{"infiniband mac", func(c *Config) { c.Internal.MAC = "00:00:00:00:fe:80:00:00" }, `is not an ethernet address`},
		{"group mac", func(c *Config) { c.Internal.MAC = "01:54:00:00:00:01" }, `is a group address`},
		{"zero mac", func(c *Config) { c.Internal.MAC = "00-00-00-00-00-00" }, `is zero`},
		{"no address", func(c *Config) { c.External.Addresses, c.External.Gateway = nil, netip.Addr{} }, `external port: address is missing`},
		{"zero prefix", func(c *Config) { c.External.Addresses = []netip.Prefix{{}} }, `is not an address with a subnet`},
		{"mapped address", func(c *Config) { c.External.Addresses = prefixes("::ffff:192.0.2.2/120") }, `is an IPv4-mapped address: write it as plain IPv4`},
		{"everything", func(c *Config) { c.External.Addresses = prefixes("192.0.2.2/0") }, `covers every address`},
		{"loopback", func(c *Config) { c.External.Addresses = prefixes("127.0.0.2/8") }, `is a loopback address`},
		{"link-local", func(c *Config) { c.External.Addresses = prefixes("fe80::2/64") }, `is a link-local address`},
		{"multicast", func(c *Config) { c.External.Addresses = prefixes("224.0.0.5/24") }, `is a multicast address`},
		{"class e", func(c *Config) { c.External.Addresses = prefixes("240.0.0.5/24") }, `is a reserved address`},
		{"network address", func(c *Config) { c.External.Addresses = prefixes("192.0.2.0/24") }, `is the address of the subnet itself`},
		{"anycast", func(c *Config) { c.External.Addresses = prefixes("fd00:2::/64") }, `is the address of the subnet itself`},
		{"broadcast", func(c *Config) { c.External.Addresses = prefixes("192.0.2.255/24") }, `is the broadcast address`},
		{"address twice", func(c *Config) { c.External.Addresses = prefixes("192.0.2.2/31", "192.0.2.2/30") }, `is given twice`},
		{"gateway off link", func(c *Config) { c.Internal.Gateway = addr("10.1.1.1") }, `internal port: gateway "10.1.1.1" is in no subnet of this port`},
		{"gateway is self", func(c *Config) { c.Internal.Gateway = addr("10.1.0.2") }, `is the port's own address`},
		{"gateway is broadcast", func(c *Config) { c.Internal.Gateway = addr("10.1.0.255") }, `is the broadcast address`},
		{"gateway is subnet", func(c *Config) { c.Internal.Gateway = addr("10.1.0.0") }, `is the address of the subnet itself`},
		{"gateway of other family", func(c *Config) { c.External.Gateway = addr("fe80::1") }, `is of a family in which the port has no address`},
		{"gateway mapped", func(c *Config) { c.Internal.Gateway = addr("::ffff:10.1.0.1") }, `is an IPv4-mapped address`},
		{"gateway zone", func(c *Config) { c.Internal.Gateway = addr("fe80::1%eth1") }, `has a zone`},
		{"zero route", func(c *Config) { c.Internal.Routes = []Route{{}} }, `has no valid destination`},
		{"route bits", func(c *Config) { c.Internal.Routes = []Route{route("10.64.1.0/10")} }, `write 10.64.0.0/10`},
		{"route mapped", func(c *Config) { c.Internal.Routes = []Route{route("::ffff:0:0/96 via fe80::1")} }, `covers IPv4-mapped`},
		{"route wider than mapped", func(c *Config) { c.Internal.Routes = []Route{route("::/64 via fe80::1")} }, `covers IPv4-mapped`},
		{"route mixed", func(c *Config) { c.Internal.Routes = []Route{route("10.64.0.0/10 via fe80::1")} }, `mixes the two families`},
		{"route gateway", func(c *Config) { c.Internal.Routes = []Route{route("10.64.0.0/10 via 10.9.0.1")} }, `route "10.64.0.0/10 via 10.9.0.1" is in no subnet`},
		{"default on link", func(c *Config) { c.Internal.Routes = []Route{route("::/0")} }, `default route without a gateway`},
		{"loopback route", func(c *Config) { c.Internal.Routes = []Route{route("127.0.0.0/8")} }, `leads to a loopback address`},
		{"second default", func(c *Config) { c.Internal.Routes = []Route{route("default via 10.1.0.7")} }, `second default route`},
		{"route twice", func(c *Config) {
			c.Internal.Routes = []Route{route("10.64.0.0/10 via 10.1.0.1"), route("10.64.0.0/10")}
		}, `same destination`},
		{"route to own subnet", func(c *Config) { c.Internal.Routes = []Route{route("10.1.0.0/24")} }, `is the subnet of an address`},
		{"v6 route without v6", func(c *Config) { c.External.Routes = []Route{route("fd00:5::/64")} }, `is of a family in which the port has no address`},
		{"dns zero", func(c *Config) { c.Internal.DNS = []netip.AddrPort{{}} }, `is not an address with a port`},
		{"dns port", func(c *Config) { c.Internal.DNS = []netip.AddrPort{server("10.1.0.53:0")} }, `has port 0`},
		{"dns loopback", func(c *Config) { c.Internal.DNS = []netip.AddrPort{server("127.0.0.53:53")} }, `dns "127.0.0.53:53" is a loopback address`},
		{"dns of the other side", func(c *Config) { c.External.DNS = []netip.AddrPort{server("10.64.0.53:53")} },
			`external port: dns "10.64.0.53:53" lies in route 10.64.0.0/10 of the internal port`},
		{"dns unreachable", func(c *Config) {
			c.External.Gateway, c.External.DNS = netip.Addr{}, []netip.AddrPort{server("9.9.9.9:53")}
		}, `is reached by no subnet`},
		{"dns twice", func(c *Config) { c.Internal.DNS = append(c.Internal.DNS, server("8.8.8.8:53")) }, `is given twice`},
		{"mtu", func(c *Config) { c.External.MTU = 575 }, `external port: mtu "575" is too small: IPv4 needs 576`},
		{"mtu for v6", func(c *Config) { c.Internal.MTU = 1279 }, `is too small: IPv6 needs 1280`},
		{"mtu huge", func(c *Config) { c.Internal.MTU = 65536 }, `is larger than`},
		{"tag", func(c *Config) { c.External.VLAN = 4095 }, `external port: vlan "4095" is not a VLAN tag: use 1 to 4094`},
		{"same tag twice", func(c *Config) {
			c.Internal.MAC, c.External.Interface, c.Internal.VLAN, c.External.VLAN = "", "eth1", 20, 20
		},
			`external port: vlan "20" is the internal port too: two ports on one interface need two tags`},
		{"tag 1 beside untagged", func(c *Config) { c.External.Interface, c.External.VLAN = "eth1", 1 }, `most switches take untagged frames as vlan 1`},
		{"one name, two macs", func(c *Config) {
			c.External.Interface, c.External.MAC, c.External.VLAN = "eth1", "52:54:00:00:00:02", 30
		}, `the interface has one address`},
		{"one mac, two names", func(c *Config) { c.External.MAC, c.External.VLAN = "52:54:00:00:00:01", 30 }, `name the same interface for both`},
		{"address beside dhcp", func(c *Config) { c.External.DHCP = true }, `address "192.0.2.2/31" is IPv4 and the port uses dhcp: remove it, or dhcp`},
		{"gateway beside dhcp", func(c *Config) { c.External.DHCP = true }, `gateway "192.0.2.3" is IPv4 and the port uses dhcp`},
		{"route beside dhcp", func(c *Config) { c.Internal.DHCP = true }, `route "172.16.5.0/24" is IPv4 and the port uses dhcp: have the server give it`},
		{"device port zero", func(c *Config) { c.DevicePorts = []PortRange{{0, 22}} }, `internal port: ports "0-22" has port 0`},
		{"device ports backwards", func(c *Config) { c.DevicePorts = []PortRange{{830, 22}} }, `ports "830-22" ends before it begins`},
		{"device ports twice", func(c *Config) { c.DevicePorts = []PortRange{{22, 22}, {20, 25}} }, `ports "20-25" overlaps another range`},
		{"too many device ports", func(c *Config) { c.DevicePorts = make([]PortRange, 65) }, `ports "65" ranges are too many`},
		{"endpoint on the other side", func(c *Config) { c.Allow = []Endpoint{{Host: "10.64.0.9", Port: 443}} },
			`external port: allow "tcp 10.64.0.9:443" lies in route 10.64.0.0/10 of the internal port`},
		{"endpoint mapped", func(c *Config) { c.Allow = []Endpoint{{Host: "::ffff:8.8.8.8", Port: 443}} }, `is an IPv4-mapped address`},
		{"endpoint loopback", func(c *Config) { c.Allow = []Endpoint{{Host: "127.0.0.1", Port: 443}} }, `is a loopback address`},
		{"endpoint self", func(c *Config) { c.Allow = []Endpoint{{Host: "192.0.2.2", Port: 443}} }, `is the port's own address`},
		{"endpoint without port", func(c *Config) { c.Allow = []Endpoint{{Host: "cloud.example"}} }, `has no port`},
		{"endpoint without host", func(c *Config) { c.Allow = []Endpoint{{Port: 443}} }, `has no host`},
		{"endpoint sctp", func(c *Config) { c.Allow = []Endpoint{{Network: "sctp", Host: "cloud.example", Port: 1}} }, `neither tcp nor udp`},
		{"same name", func(c *Config) { c.External.Interface = "eth1" }, `external port: interface "eth1" is the internal port too`},
		{"same mac", func(c *Config) { c.External.MAC = "52-54-00-00-00-01" }, `mac "52-54-00-00-00-01" is the internal port too`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			err := Check(c)
			var typed *ConfigError
			if !errors.As(err, &typed) || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error is %v, want a ConfigError with %q", err, tt.words)
			}
		})
	}
}

func TestCheckOverlap(t *testing.T) {
	tests := []struct {
		name             string
		internal         []netip.Prefix
		internalRoutes   []Route
		external         []netip.Prefix
		externalRoutes   []Route
		overlap, meaning string
	}{
		{"equal", prefixes("10.1.0.2/24"), nil, prefixes("10.1.0.3/24"), nil, "equals", "address 10.1.0.2/24"},
		{"nested", prefixes("10.1.0.2/24"), nil, prefixes("10.0.0.3/8"), nil, "lies inside", "address 10.0.0.3/8"},
		{"nesting", prefixes("10.0.0.2/8"), nil, prefixes("10.1.0.3/24"), nil, "covers", "address 10.1.0.3/24"},
		{"mapped", prefixes("10.1.0.2/24"), nil, prefixes("::ffff:10.1.0.3/120"), nil, "equals", "mapped"},
		{"v6", prefixes("fd00::2/48"), nil, prefixes("fd00:0:0:1::3/64"), nil, "covers", "fd00:0:0:1::3/64"},
		{"route over subnet", prefixes("10.1.0.2/24"), []Route{route("192.0.0.0/8 via 10.1.0.1")}, prefixes("192.0.2.2/24"), nil, "covers", "route 192.0.0.0/8"},
		{"half of everything", prefixes("10.1.0.2/24"), []Route{route("128.0.0.0/1 via 10.1.0.1")}, prefixes("192.0.2.2/24"), nil, "covers", "route 128.0.0.0/1"},
		{"mapped route", prefixes("10.1.0.2/24", "fd00::2/64"), []Route{route("::ffff:192.0.0.0/104 via fd00::1")}, prefixes("192.0.2.2/24"), nil, "covers", "route ::ffff:192.0.0.0/104"},
		{"subnet in foreign route", prefixes("10.1.0.2/24"), nil, prefixes("192.0.2.2/24"), []Route{route("10.0.0.0/8 via 192.0.2.1")}, "lies inside", "route 10.0.0.0/8"},
		{"both routes", prefixes("10.1.0.2/24"), []Route{route("172.16.0.0/12")}, prefixes("192.0.2.2/24"), []Route{route("172.16.1.0/24")}, "covers", "route 172.16.1.0/24"},
		{"defaults are free", prefixes("10.1.0.2/24"), []Route{route("default via 10.1.0.1")}, prefixes("192.0.2.2/24"), []Route{route("default via 192.0.2.1")}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(Config{
				Internal: Port{Interface: "a", Addresses: tt.internal, Routes: tt.internalRoutes},
				External: Port{Interface: "b", Addresses: tt.external, Routes: tt.externalRoutes}})
			var o *OverlapError
			if !errors.As(err, &o) != (tt.overlap == "") {
				t.Fatalf("error is %v", err)
			}
			if o != nil && (o.Relation != tt.overlap || !strings.Contains(err.Error(), tt.meaning)) {
				t.Errorf("error is %q, want %q and %q", err, tt.overlap, tt.meaning)
			}
		})
	}
}

// All that is wrong shows at once.
func TestCheckTellsAll(t *testing.T) {
	err := Check(Config{Internal: Port{Interface: "lo", MTU: 1}, External: Port{MAC: "x", Addresses: prefixes("127.0.0.1/8")}})
	if parts := strings.Split(err.Error(), "\n"); len(parts) != 5 {
		t.Errorf("%d problems told, want 5:\n%v", len(parts), err)
	}
}

func TestParseRoute(t *testing.T) {
	for _, s := range []string{"10.0.0.0/8 via 10.1.0.1", "10.0.0.0/8", "0.0.0.0/0 via 10.1.0.1", "::/0 via fe80::1"} {
		if r, err := ParseRoute(s); err != nil || r.String() != s {
			t.Errorf("%q gives %q, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "10.0.0.0/8 via", "10.0.0.0/8 by 10.1.0.1", "default", "10.0.0.0 via 10.1.0.1", "x via y"} {
		if r, err := ParseRoute(s); err == nil || r != (Route{}) {
			t.Errorf("%q gives %v, %v, want an error", s, r, err)
		}
	}
}

func TestParseMode(t *testing.T) {
	if m, err := ParseMode(""); m != Enforce || err != nil {
		t.Errorf("no mode is %q, %v, want enforce", m, err)
	}
	var m Mode
	if err := m.UnmarshalText([]byte("Userns")); err == nil {
		t.Error("took a mode in capitals")
	}
}

// The wall of the Internal Port lets out to what it reaches, all but what the
// other port has.
func TestReach(t *testing.T) {
	for _, tt := range []struct{ name, address, routes, foreign, want string }{
		{"subnet", "10.1.0.2/24", "", "192.0.2.2/24", "10.1.0.0/24"},
		{"routes", "10.1.0.2/24", "10.64.0.0/10 via 10.1.0.1,10.65.0.0/16 via 10.1.0.1", "192.0.2.2/24", "10.64.0.0/10,10.1.0.0/24"},
		{"default", "10.1.0.2/24", "default via 10.1.0.1", "128.0.0.2/2", "0.0.0.0/1,192.0.0.0/2"},
		{"default of the other family", "fd00::2/64", "default via fe80::1", "192.0.2.2/24", "::/0"},
	} {
		p := Port{Addresses: prefixes(tt.address)}
		for _, r := range strings.FieldsFunc(tt.routes, func(r rune) bool { return r == ',' }) {
			p.Routes = append(p.Routes, route(r))
		}
		var got []string
		for _, q := range p.reach((Port{Addresses: prefixes(tt.foreign)}).claims()) {
			got = append(got, q.String())
		}
		if strings.Join(got, ",") != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}
