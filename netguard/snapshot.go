package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// snapshot is what the kernel holds of one namespace.
type snapshot struct {
	links     []netlink.Link
	addresses []netlink.Addr
	routes    []netlink.Route
	rules     []netlink.Rule
	queues    []netlink.Qdisc
}

func (n *namespace) read() (s snapshot, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading namespace of the %s port: %w", n.side, err)
		}
	}()
	if s.links, err = dump(n.nl.LinkList); err != nil {
		return s, err
	}
	s.queues, err = dump(func() ([]netlink.Qdisc, error) { return n.nl.QdiscList(nil) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // a kernel without traffic control
		return s, err
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if err := s.readFamily(n.nl, family); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *snapshot) readFamily(nl *netlink.Handle, family int) error {
	addresses, err := dump(func() ([]netlink.Addr, error) { return nl.AddrList(nil, family) })
	if err != nil {
		return absentFamily(err)
	}
	// All tables: a foreign table with a rule in front of it is a way out too.
	routes, err := dump(func() ([]netlink.Route, error) {
		return nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return absentFamily(err)
	}
	rules, err := dump(func() ([]netlink.Rule, error) { return nl.RuleList(family) })
	if err != nil {
		return absentFamily(err)
	}
	for i := range rules {
		rules[i].Family = family
	}
	s.addresses = append(s.addresses, addresses...)
	s.routes = append(s.routes, routes...)
	s.rules = append(s.rules, rules...)
	return nil
}

// absentFamily forgives a kernel built without IPv6 or policy routing.
func absentFamily(err error) error {
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// link returns the link with that index.
func (s snapshot) link(index int) netlink.Link {
	i := slices.IndexFunc(s.links, func(l netlink.Link) bool { return l.Attrs().Index == index })
	if i < 0 {
		return nil
	}
	return s.links[i]
}

func (s snapshot) isLo(index int) bool {
	l := s.link(index)
	return l != nil && isLoopback(l)
}

// compareAddresses returns the addresses that must not be there, and those that must.
func (p plan) compareAddresses(s snapshot, link int) (foreign []netlink.Addr, missing []netip.Prefix) {
	seen := map[netip.Prefix]bool{}
	for _, a := range s.addresses {
		have := prefix(a.IPNet)
		switch {
		case s.isLo(a.LinkIndex) && have.Addr().IsLoopback():
		case a.LinkIndex == link && p.has6 && have.Addr().Is6() && have.Addr().IsLinkLocalUnicast():
		case a.LinkIndex == link && slices.Contains(p.addresses, have) && !hasPeer(a):
			seen[have] = true
		default:
			foreign = append(foreign, a)
		}
	}
	for _, a := range p.addresses {
		if !seen[a] {
			missing = append(missing, a)
		}
	}
	return foreign, missing
}

// hasPeer reports a point-to-point address, which reaches another host than its
// subnet says.
func hasPeer(a netlink.Addr) bool {
	return a.Peer != nil && prefix(a.Peer) != prefix(a.IPNet)
}

// compareRoutes returns the routes that must not be there, and those that must.
func (p plan) compareRoutes(s snapshot, link int) (foreign []netlink.Route, missing []wantedRoute) {
	seen := map[Route]bool{}
	for _, r := range s.routes {
		i := slices.IndexFunc(p.routes, func(w wantedRoute) bool { return w.is(r, link) })
		if i >= 0 {
			seen[p.routes[i].Route] = true
		} else if !p.kernelMade(s, r, link) {
			foreign = append(foreign, r)
		}
	}
	for _, w := range p.routes {
		if !seen[w.Route] {
			missing = append(missing, w)
		}
	}
	return foreign, missing
}

// kernelMade reports the routes that come with addresses: those of the local
// table, and the link-local subnet of IPv6.
func (p plan) kernelMade(s snapshot, r netlink.Route, link int) bool {
	d := destination(r)
	onLink := r.LinkIndex == link && (d.Addr().Is4() || p.has6)
	if r.Protocol != unix.RTPROT_KERNEL || len(r.Gw) != 0 || !plain(r) || !(onLink || s.isLo(r.LinkIndex)) {
		return false
	}
	if r.Table == unix.RT_TABLE_MAIN {
		return d.Addr().IsLinkLocalUnicast() && d.Addr().Is6() || d.Addr() == netip.IPv6Loopback()
	}
	if r.Table != unix.RT_TABLE_LOCAL {
		return false
	}
	a := d.Addr()
	own := slices.ContainsFunc(p.addresses, func(q netip.Prefix) bool { return q.Contains(a) })
	return own && d.IsSingleIP() || a.IsLoopback() || a.Is6() && (a.IsLinkLocalUnicast() || a.IsMulticast())
}

// defaultRules are the rules that the kernel gives every namespace.
func defaultRules() []netlink.Rule {
	var rules []netlink.Rule
	add := func(family, priority, table int) {
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table = family, priority, table
		rules = append(rules, *r)
	}
	add(unix.AF_INET, 0, unix.RT_TABLE_LOCAL)
	add(unix.AF_INET, 32766, unix.RT_TABLE_MAIN)
	add(unix.AF_INET, 32767, unix.RT_TABLE_DEFAULT)
	add(unix.AF_INET6, 0, unix.RT_TABLE_LOCAL)
	add(unix.AF_INET6, 32766, unix.RT_TABLE_MAIN)
	return rules
}

// compareRules returns the rules that must not be there, and those that must. A
// kernel without policy routing has none and needs none.
func compareRules(s snapshot) (foreign, missing []netlink.Rule) {
	want := defaultRules()
	seen := make([]bool, len(want))
	families := map[int]bool{}
	for _, r := range s.rules {
		families[r.Family] = true
		i := slices.IndexFunc(want, func(w netlink.Rule) bool { return sameRule(w, r) })
		if i < 0 || seen[i] {
			foreign = append(foreign, r)
		} else {
			seen[i] = true
		}
	}
	for i, w := range want {
		if !seen[i] && families[w.Family] {
			missing = append(missing, w)
		}
	}
	return foreign, missing
}

// sameRule reports whether r is the unconditional rule w.
func sameRule(w, r netlink.Rule) bool {
	return w.Family == r.Family && w.Priority == r.Priority && w.Table == r.Table &&
		r.Src == nil && r.Dst == nil && r.Mark == 0 && r.Tos == 0 && r.TunID == 0 && r.Goto < 0 &&
		r.IifName == "" && r.OifName == "" && !r.Invert && r.IPProto == 0 && r.SuppressPrefixlen < 0 &&
		r.SuppressIfgroup < 0 && r.Dport == nil && r.Sport == nil && r.UIDRange == nil &&
		(r.Type == 0 || r.Type == unix.RTN_UNICAST)
}
