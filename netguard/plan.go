package netguard

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/wall"
)

// The metrics that the kernel gives an IPv6 route: its own for a subnet
// (IP6_RT_PRIO_ADDRCONF) and one that a user adds (IP6_RT_PRIO_USER). IPv4
// routes have none.
const (
	metricConnected6 = 256
	metricUser6      = 1024
)

// plan is what one namespace must hold, as data: Up makes the kernel agree with
// it and Verify reports where the kernel does not.
type plan struct {
	side      Side
	port      Port
	addresses []netip.Prefix
	routes    []wantedRoute
	has6      bool
	expires   time.Time // of the IPv4 address when it is lent; zero: never
	// A card: one of its ports has IPv6, and the largest MTU of those given.
	carries6   bool
	carriesMTU int
	// What the wall of the Internal Port lets out.
	destinations []netip.Prefix
	devicePorts  []wall.Range
}

// wantedRoute is a Route of the main table; connected ones are the kernel's own.
type wantedRoute struct {
	Route
	connected bool
	source    netip.Addr // of a connected IPv4 route, as the kernel adds it
}

func newPlan(side Side, p Port) plan {
	check := portCheck{side: side, port: p}
	pl := plan{side: side, port: p, addresses: p.Addresses, has6: check.has6()}
	for _, a := range p.Addresses {
		w := wantedRoute{Route: Route{Destination: a.Masked()}, connected: true}
		if a.Addr().Is4() {
			w.source = a.Addr()
		}
		if a.Addr().Is6() || !a.IsSingleIP() {
			pl.want(w)
		}
	}
	if p.Gateway.IsValid() {
		pl.want(wantedRoute{Route: Route{defaultPrefix(p.Gateway), p.Gateway}})
	}
	for _, r := range p.Routes {
		pl.want(wantedRoute{Route: r})
	}
	// A route whose gateway lies behind another route cannot come before it.
	slices.SortStableFunc(pl.routes, func(a, b wantedRoute) int { return rank(a) - rank(b) })
	return pl
}

// carries notes what the plan of a card has to be ready for.
func (p *plan) carries(port plan) {
	p.carries6 = p.carries6 || port.has6
	p.carriesMTU = max(p.carriesMTU, port.port.MTU)
}

// planOf returns the plan of one side of c, with what its wall lets out.
func planOf(c Config, side Side) plan {
	pl := newPlan(side, c.port(side))
	if side == InternalSide {
		pl.destinations = c.Internal.reach(c.External.claims())
		for _, r := range c.devicePorts() {
			pl.devicePorts = append(pl.devicePorts, wall.Range(r))
		}
	}
	return pl
}

// wallPort returns the wall that the plan wants around the link, one that lets
// nothing begin while m is shut, or the closed one while the link is not there.
func (m *member) wallPort() wall.Port {
	mac, err := net.ParseMAC(m.link.mac)
	if m.link.index == 0 || err != nil {
		return wall.Port{}
	}
	w := wall.Port{Link: m.link.name, Index: m.link.index, MAC: mac}
	if m.shut {
		return w
	}
	w.IPv6 = m.plan.has6 || m.plan.carries6
	w.Carrier = m.plan.side == cardSide
	switch m.plan.side {
	case InternalSide:
		w.DNS, w.Destinations, w.Ports = m.plan.port.DNS, m.plan.destinations, m.plan.devicePorts
	case ExternalSide:
		w.DNS, w.Dynamic = m.plan.port.DNS, true
	}
	return w
}

func (p *plan) want(w wantedRoute) {
	same := func(o wantedRoute) bool { return o.Route == w.Route && o.connected == w.connected }
	if !slices.ContainsFunc(p.routes, same) {
		p.routes = append(p.routes, w)
	}
}

func rank(w wantedRoute) int {
	switch {
	case w.connected:
		return 0
	case !w.Via.IsValid():
		return 1
	}
	return 2
}

// kernel returns the route as netlink takes it, on the link with that index.
func (w wantedRoute) kernel(link int) *netlink.Route {
	r := &netlink.Route{LinkIndex: link, Dst: ipNet(w.Destination), Table: unix.RT_TABLE_MAIN,
		Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_STATIC, Priority: w.metric()}
	if w.Via.IsValid() {
		r.Gw = w.Via.AsSlice()
		if w.Via.IsLinkLocalUnicast() {
			r.Flags = int(netlink.FLAG_ONLINK)
		}
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if w.connected {
		r.Protocol, r.Src = unix.RTPROT_KERNEL, w.source.AsSlice()
	}
	return r
}

func (w wantedRoute) metric() int {
	switch {
	case w.Destination.Addr().Is4():
		return 0
	case w.connected:
		return metricConnected6
	}
	return metricUser6
}

// is reports whether the kernel's route r is w.
func (w wantedRoute) is(r netlink.Route, link int) bool {
	protocol := netlink.RouteProtocol(unix.RTPROT_STATIC)
	if w.connected {
		protocol = unix.RTPROT_KERNEL
	}
	return r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_UNICAST && r.LinkIndex == link &&
		r.Protocol == protocol && r.Priority == w.metric() && plain(r) &&
		destination(r) == w.Destination && address(r.Gw) == w.Via
}

// plain reports whether r has none of what leads a packet elsewhere.
func plain(r netlink.Route) bool {
	return len(r.MultiPath) == 0 && r.Encap == nil && r.Via == nil && r.MPLSDst == nil && r.NewDst == nil &&
		r.ILinkIndex == 0 && r.Tos == 0
}

// destination returns where r leads; a default route is the whole family.
func destination(r netlink.Route) netip.Prefix {
	if r.Dst != nil {
		return prefix(r.Dst)
	}
	if r.Family == unix.AF_INET6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func prefix(n *net.IPNet) netip.Prefix {
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address(n.IP), bits)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
