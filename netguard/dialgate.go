package netguard

import (
	"context"
	"net/netip"
)

// gate is what a port asks before it dials: the Guard, or the Half that dials on
// behalf of one in another process.
type gate interface {
	// refusal returns why nothing may be dialled at this moment, ErrBlocked or
	// ErrClosed, or nil.
	refusal() error
	// outlet returns what the port of that side dials by, or the refusal.
	outlet(Side) (outlet, error)
	// permit returns where the External Port may find the endpoint, once the
	// kernel lets it. ErrNotAllowed when it is not on the list.
	permit(context.Context, Endpoint) ([]netip.AddrPort, error)
}

// outlet is what one port dials by at one moment, as data that nobody changes.
type outlet struct {
	side    Side
	open    bool // mode unprotected: dials are plain
	ns      *namespace
	index   int     // of the link in ns
	foreign []claim // what the other port reaches
	subnets []netip.Prefix
	reach   []netip.Prefix // where the port leads, as the kernel's wall has it
	servers []netip.AddrPort
	ports   []PortRange // what the Internal Port may dial
	unlent  bool        // the port uses DHCP and has no IPv4 address
}

// newOutlet reads c, in which a lease is filled in. m is nil when unprotected.
func newOutlet(side Side, c Config, m *member) outlet {
	p := c.port(side)
	o := outlet{side: side, open: c.Mode == Unprotected, foreign: c.port(side.other()).claims(),
		subnets: p.Addresses, servers: p.DNS, ports: c.devicePorts(), unlent: p.unlent()}
	if m != nil {
		o.ns, o.index, o.reach = m.ns, m.link.index, m.plan.destinations
	}
	return o
}

// outlet implements gate.
func (g *Guard) outlet(side Side) (outlet, error) {
	if err := g.refusal(); err != nil {
		return outlet{}, err
	}
	c, sides := g.effective()
	return newOutlet(side, c, sides[side.place()]), nil
}

// place is where a side stands in arrays of both.
func (s Side) place() int {
	if s == InternalSide {
		return 0
	}
	return 1
}

// effective returns the configuration as it is applied, with leases filled in,
// and copies of the members, which change when a lease or a link does.
func (g *Guard) effective() (Config, [2]*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.config
	var sides [2]*member
	for i, m := range g.sides {
		if m != nil {
			held := *m
			sides[i] = &held
		}
	}
	if sides[0] != nil {
		c.Internal = sides[0].plan.port
	}
	if sides[1] != nil {
		c.External = sides[1].plan.port
	}
	return c, sides
}
