package netguard

import (
	"fmt"
	"net/netip"
	"slices"
)

// String returns "830" or "2200-2299".
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// addressSet returns the port's own addresses.
func (p Port) addressSet() []netip.Addr {
	var all []netip.Addr
	for _, a := range p.Addresses {
		all = append(all, a.Addr())
	}
	return all
}

// badEndpointAddress says why the host, when it is an address, cannot be an
// endpoint of a port that has the addresses own and must keep off foreign.
func badEndpointAddress(host string, own []netip.Addr, foreign []claim) string {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return "" // a name: Permit looks at what it resolves to
	}
	c, isForeign := covering(foreign, a)
	switch {
	case isForeign:
		return fmt.Sprintf("lies in %s of the internal port", c)
	case a.Is4In6():
		return "is an IPv4-mapped address"
	case a.Zone() != "" || special(a) != "":
		return "is " + specialOrZone(a)
	case slices.Contains(own, a):
		return "is the port's own address"
	}
	return ""
}

func (c *portCheck) vlan() {
	if c.port.VLAN > maxTag {
		c.add("vlan", fmt.Sprint(c.port.VLAN), "is not a VLAN tag", fmt.Sprintf("use 1 to %d, or leave it out", maxTag))
	}
}

// dhcp refuses beside a lease what the lease itself brings.
func (c *portCheck) dhcp() {
	if !c.port.DHCP {
		return
	}
	const advice = "remove it, or dhcp"
	for _, a := range c.port.Addresses {
		if a.Addr().Unmap().Is4() {
			c.add("address", a.String(), "is IPv4 and the port uses dhcp", advice)
		}
	}
	if g := c.port.Gateway; g.IsValid() && g.Unmap().Is4() {
		c.add("gateway", g.String(), "is IPv4 and the port uses dhcp", advice)
	}
	for _, r := range c.port.Routes {
		if r.Destination.Addr().Unmap().Is4() {
			c.add("route", r.String(), "is IPv4 and the port uses dhcp", "have the server give it (option 121), or remove dhcp")
		}
	}
}
