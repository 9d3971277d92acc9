package netguard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// The smallest MTU that each family works with: RFC 791 section 3.1 (every host
// takes a datagram of 576 bytes) and RFC 8200 section 5.
const (
	minMTU4 = 576
	minMTU6 = 1280
	maxMTU  = 65535
)

// maxInterfaceName is IFNAMSIZ without the zero byte at the end.
const maxInterfaceName = 15

// portCheck collects what is wrong with one port.
type portCheck struct {
	side    Side
	port    Port
	foreign []claim // what the other port owns
	errs    []error
}

func (c *portCheck) run() []error {
	c.identity()
	c.vlan()
	c.dhcp()
	c.addresses()
	c.gateway()
	for i := range c.port.Routes {
		c.route(i)
	}
	for i := range c.port.DNS {
		c.server(i)
	}
	c.mtu()
	return c.errs
}

func (c *portCheck) add(field, value, problem, advice string) {
	c.errs = append(c.errs, &ConfigError{Port: c.side, Field: field, Value: value, Problem: problem, Advice: advice})
}

func (c *portCheck) identity() {
	p := c.port
	if p.Interface == "" && p.MAC == "" {
		c.add("interface", "", "is missing", "name the interface of this port, or give its mac")
	}
	if p.Interface != "" {
		if problem := badInterface(p.Interface); problem != "" {
			c.add("interface", p.Interface, problem, "give the name as `ip link` shows it")
		}
	}
	if p.MAC != "" {
		if problem := badMAC(p.MAC); problem != "" {
			c.add("mac", p.MAC, problem, "give the hardware address of the card, like 52:54:00:12:34:56")
		}
	}
}

// badInterface applies the kernel's rules (dev_valid_name, and __dev_alloc_name,
// which takes %d for the next free number) and refuses the names
// that mean something else in /proc/sys/net.
func badInterface(name string) string {
	switch {
	case len(name) > maxInterfaceName:
		return "is longer than the 15 bytes that Linux allows"
	case name == "lo" || name == "all" || name == "default" || name == "." || name == "..":
		return "cannot be a port"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '%' || r == 0x7f }):
		return "has a character that an interface name cannot have"
	}
	return ""
}

func badMAC(s string) string {
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil || len(mac) != 6:
		return "is not an ethernet address"
	case mac[0]&1 != 0:
		return "is a group address"
	case !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }):
		return "is zero"
	}
	return ""
}

func (c *portCheck) addresses() {
	if len(c.port.Addresses) == 0 && !c.port.DHCP {
		c.add("address", "", "is missing", "give at least one address with its subnet, like 10.0.0.2/24")
	}
	for i, p := range c.port.Addresses {
		if problem, advice := badAddress(p); problem != "" {
			c.add("address", p.String(), problem, advice)
		} else if c.hasAddress(c.port.Addresses[:i], p.Addr()) {
			c.add("address", p.String(), "is given twice", "remove one")
		}
	}
}

func (c *portCheck) hasAddress(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Addr() == a })
}

func badAddress(p netip.Prefix) (problem, advice string) {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return "is not an address with a subnet", "write it like 10.0.0.2/24"
	case a.Is4In6():
		return "is an IPv4-mapped address", "write it as plain IPv4"
	case p.Bits() == 0:
		return "covers every address", "give the true length of the subnet"
	case special(a) != "":
		return "is " + special(a), "give an address of the site's network"
	case isNetworkAddress(p):
		return "is the address of the subnet itself", "give a host address"
	case isBroadcast(p):
		return "is the broadcast address of its subnet", "give a host address"
	}
	return "", ""
}

// special names what kind of address a is when no host on a network has it.
func special(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	case a.Is4() && a.As4()[0] == 0, a.Is4() && a.As4()[0] >= 240:
		return "a reserved address"
	}
	return ""
}

// isNetworkAddress: the lowest address of a subnet names the subnet in IPv4 and
// is the subnet-router anycast in IPv6 (RFC 4291 section 2.6.1), but not on
// point-to-point subnets (RFC 3021, RFC 6164).
func isNetworkAddress(p netip.Prefix) bool {
	return p.Bits() < p.Addr().BitLen()-1 && p.Masked().Addr() == p.Addr()
}

func isBroadcast(p netip.Prefix) bool {
	if !p.Addr().Is4() || p.Bits() >= 31 {
		return false
	}
	next := p.Addr().Next()
	return !next.IsValid() || !p.Contains(next)
}

// onLink returns the subnet of this port that contains a.
func (c *portCheck) onLink(a netip.Addr) (netip.Prefix, bool) {
	for _, p := range c.port.Addresses {
		if p.IsValid() && p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

func (c *portCheck) has4() bool {
	return slices.ContainsFunc(c.port.Addresses, func(p netip.Prefix) bool { return p.Addr().Unmap().Is4() })
}

func (c *portCheck) has6() bool {
	return slices.ContainsFunc(c.port.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() && !p.Addr().Is4In6() })
}

func (c *portCheck) hasFamily(a netip.Addr) bool {
	if a.Unmap().Is4() {
		return c.has4()
	}
	return c.has6()
}

func (c *portCheck) gateway() {
	if g := c.port.Gateway; g.IsValid() {
		c.nextHop("gateway", g.String(), g)
	}
}

// nextHop checks a gateway, of the port or of a route.
func (c *portCheck) nextHop(field, value string, g netip.Addr) {
	const advice = "give the router's address inside a subnet of this port"
	switch {
	case g.Is4In6():
		c.add(field, value, "is an IPv4-mapped address", "write it as plain IPv4")
	case g.Zone() != "":
		c.add(field, value, "has a zone", "leave the zone out: the port is the zone")
	case !c.hasFamily(g):
		c.add(field, value, "is of a family in which the port has no address", "add an address of that family or remove it")
	case g.Is6() && g.IsLinkLocalUnicast():
	case special(g) != "":
		c.add(field, value, "is "+special(g), advice)
	case c.hasAddress(c.port.Addresses, g):
		c.add(field, value, "is the port's own address", advice)
	default:
		c.hopOnLink(field, value, g, advice)
	}
}

func (c *portCheck) hopOnLink(field, value string, g netip.Addr, advice string) {
	subnet, ok := c.onLink(g)
	switch hop := netip.PrefixFrom(g, subnet.Bits()); {
	case !ok:
		c.add(field, value, "is in no subnet of this port", advice)
	case isNetworkAddress(hop):
		c.add(field, value, "is the address of the subnet itself", advice)
	case isBroadcast(hop):
		c.add(field, value, "is the broadcast address of its subnet", advice)
	}
}

func (c *portCheck) route(i int) {
	r := c.port.Routes[i]
	value := r.String()
	if problem, advice := badDestination(r); problem != "" {
		c.add("route", value, problem, advice)
		return
	}
	if r.Via.IsValid() {
		if r.Via.Unmap().Is4() != r.Destination.Addr().Is4() {
			c.add("route", value, "mixes the two families", "give a gateway of the destination's family")
			return
		}
		c.nextHop("route", value, r.Via)
	} else if !c.hasFamily(r.Destination.Addr()) {
		c.add("route", value, "is of a family in which the port has no address", "add an address of that family or remove it")
	}
	c.routeTwice(i)
}

func (c *portCheck) routeTwice(i int) {
	r := c.port.Routes[i]
	same := func(o Route) bool { return o.Destination.IsValid() && normal(o.Destination) == normal(r.Destination) }
	ownDefault := c.port.Gateway.IsValid() && r.Destination == defaultPrefix(c.port.Gateway)
	onLink := slices.ContainsFunc(c.port.Addresses, func(p netip.Prefix) bool { return p.IsValid() && p.Masked() == r.Destination })
	switch {
	case ownDefault:
		c.add("route", r.String(), "is a second default route beside the gateway", "remove one")
	case onLink:
		c.add("route", r.String(), "is the subnet of an address", "remove it, the kernel adds it")
	case slices.ContainsFunc(c.port.Routes[:i], same):
		c.add("route", r.String(), "leads to the same destination as another", "remove one")
	}
}

func badDestination(r Route) (problem, advice string) {
	d := r.Destination
	switch {
	case !d.IsValid():
		return "has no valid destination", "write it like 10.0.0.0/8 via 10.1.0.1"
	case coversMapped(d):
		return "covers IPv4-mapped addresses", "write it as plain IPv4"
	case d.Masked() != d:
		return "has bits beyond its length", fmt.Sprintf("write %s", d.Masked())
	case d.Bits() == 0 && !r.Via.IsValid():
		return "is a default route without a gateway", "give the gateway"
	case d.Bits() > 0 && special(d.Addr()) != "" && special(d.Addr()) != "the unspecified address":
		return "leads to " + special(d.Addr()), "remove it"
	}
	return "", ""
}

// mapped4 holds the IPv4-mapped addresses, RFC 4291 section 2.5.5.2.
func mapped4() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96)
}

func coversMapped(p netip.Prefix) bool {
	return p.Bits() > 0 && p.Addr().Is6() && p.Overlaps(mapped4())
}

func (c *portCheck) server(i int) {
	s := c.port.DNS[i]
	a := s.Addr()
	const advice = "give the address and port of a DNS server that this port reaches, like 10.0.0.53:53"
	switch foreign, isForeign := covering(c.foreign, a); {
	case !s.IsValid():
		c.add("dns", s.String(), "is not an address with a port", advice)
	case s.Port() == 0:
		c.add("dns", s.String(), "has port 0", advice)
	case a.Is4In6():
		c.add("dns", s.String(), "is an IPv4-mapped address", "write it as plain IPv4")
	case a.Zone() != "" || special(a) != "":
		c.add("dns", s.String(), "is "+specialOrZone(a), advice)
	case c.hasAddress(c.port.Addresses, a):
		c.add("dns", s.String(), "is the port's own address", advice)
	case isForeign:
		c.add("dns", s.String(), fmt.Sprintf("lies in %s of the %s port", foreign, c.side.other()), advice)
	case slices.Contains(c.port.DNS[:i], s):
		c.add("dns", s.String(), "is given twice", "remove one")
	case !c.reaches(a):
		c.add("dns", s.String(), "is reached by no subnet, route or gateway of this port", "add a route or "+advice)
	}
}

func specialOrZone(a netip.Addr) string {
	if s := special(a); s != "" {
		return s
	}
	return "an address with a zone"
}

// reaches reports whether a packet to a would leave by this port.
func (c *portCheck) reaches(a netip.Addr) bool {
	if _, ok := c.onLink(a); ok {
		return true
	}
	g := c.port.Gateway
	if g.IsValid() && defaultPrefix(g).Contains(a) || c.port.DHCP && a.Is4() {
		return true // what a lease brings is not known yet
	}
	return slices.ContainsFunc(c.port.Routes, func(r Route) bool {
		return r.Destination.IsValid() && r.Destination.Contains(a)
	})
}

func (c *portCheck) mtu() {
	if c.port.MTU == 0 {
		return
	}
	if problem := badMTU(c.port.MTU, c.has6()); problem != "" {
		c.add("mtu", fmt.Sprint(c.port.MTU), problem, "use 1500, or what the network carries")
	}
}

func badMTU(mtu int, has6 bool) string {
	switch {
	case mtu < minMTU4:
		return fmt.Sprintf("is too small: IPv4 needs %d", minMTU4)
	case has6 && mtu < minMTU6:
		return fmt.Sprintf("is too small: IPv6 needs %d", minMTU6)
	case mtu > maxMTU:
		return fmt.Sprintf("is larger than %d", maxMTU)
	}
	return ""
}
