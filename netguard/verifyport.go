package netguard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (v *verification) links(m *member, s snapshot) {
	side := m.plan.side
	for _, l := range s.links {
		if !isLoopback(l) && !isFallback(l) && l.Attrs().Index != m.link.index {
			v.add(KindExtraInterface, side, rearrange, "%v: %s (%s)", ErrExtraInterface, l.Attrs().Name, l.Type())
		}
		if isLoopback(l) {
			v.attached(m, l)
		}
	}
	l := s.link(m.link.index)
	if l == nil {
		v.add(KindLink, side, rearrange, "%s (index %d) is gone", m.link.name, m.link.index)
		return
	}
	v.link(m, l.Attrs())
	v.attached(m, l)
}

func (v *verification) link(m *member, a *netlink.LinkAttrs) {
	side := m.plan.side
	switch {
	case a.Name != m.link.name:
		v.add(KindLink, side, restoreLink, "%s was renamed to %s", m.link.name, a.Name)
	case a.HardwareAddr.String() != m.link.mac:
		v.add(KindLink, side, restoreLink, "%s has hardware address %s, had %s", a.Name, a.HardwareAddr, m.link.mac)
	}
	if a.RawFlags&unix.IFF_UP == 0 && !m.silent {
		v.add(KindLink, side, setUp, "%s was set down", a.Name)
	}
	if a.MasterIndex != 0 {
		v.add(KindLink, side, restoreLink, "%s was put into a bridge, bond or vrf", a.Name)
	}
	if want := m.plan.port.MTU; want != 0 && a.MTU != want {
		v.add(KindLink, side, setMTU, "%s has mtu %d, must be %d", a.Name, a.MTU, want)
	}
}

// attached looks for a program on the link: it sees frames before all else does.
func (v *verification) attached(m *member, l netlink.Link) {
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		v.add(KindLink, m.plan.side, clearQueues|block, "%s has an XDP program", l.Attrs().Name)
	}
}

// programs looks for those that are on a link without a queueing discipline. It
// takes the right that the walls take.
func (v *verification) programs(ctx context.Context, m *member, s snapshot) error {
	if m.wall == nil {
		return nil
	}
	links, err := m.ns.withPrograms(ctx, loIndex, m.link.index)
	for _, l := range links {
		v.add(KindQueue, m.plan.side, clearQueues|block, "%s has a BPF program (tcx)", s.name(l))
	}
	return err
}

// queues looks for queueing disciplines that somebody added, and for filters on
// those that the kernel made: either can send frames elsewhere. The kernel's own
// have no handle (dev_graft_qdisc, net/sched/sch_generic.c).
func (v *verification) queues(m *member, s snapshot) error {
	for _, q := range s.queues {
		a := q.Attrs()
		if a.Handle == 0 {
			continue
		}
		if a.Parent == netlink.HANDLE_INGRESS { // ingress, clsact: where mirred and bpf redirect
			v.add(KindQueue, m.plan.side, clearQueues|block, "%s is attached to %s", q.Type(), s.name(a.LinkIndex))
		} else {
			v.add(KindQueue, m.plan.side, clearQueues, "%s is not the kernel's on %s", q.Type(), s.name(a.LinkIndex))
		}
	}
	for _, l := range s.links {
		filters, err := m.ns.filters(l)
		if err != nil {
			return err
		}
		if len(filters) > 0 {
			v.add(KindQueue, m.plan.side, clearQueues|block, "%d filters on %s", len(filters), l.Attrs().Name)
		}
	}
	return nil
}

func (v *verification) addresses(m *member, s snapshot) {
	foreign, missing := m.plan.compareAddresses(s, m.link.index)
	for _, a := range foreign {
		v.add(KindAddress, m.plan.side, setAddresses, "%s is not configured", prefix(a.IPNet))
	}
	for _, a := range missing {
		if m.silent && a.Addr().Is6() {
			continue // IPv6 addresses leave with the link and come back with it
		}
		v.add(KindAddress, m.plan.side, setAddresses, "%s is missing", a)
	}
	for _, a := range s.addresses {
		if a.Flags&unix.IFA_F_DADFAILED != 0 {
			v.add(KindAddress, m.plan.side, setAddresses|block, "%s is used by another host", prefix(a.IPNet))
		}
	}
}

func (v *verification) routes(m *member, s snapshot) {
	foreign, missing := m.plan.compareRoutes(s, m.link.index)
	for _, r := range foreign {
		v.add(KindRoute, m.plan.side, setRoutes, "%s is not configured", describeRoute(r))
	}
	if m.silent {
		return // routes leave with the link and come back with it
	}
	for _, r := range missing {
		v.add(KindRoute, m.plan.side, setRoutes, "%s is missing", r)
	}
}

func (v *verification) rules(m *member, s snapshot) {
	foreign, missing := compareRules(s)
	for _, r := range foreign {
		v.add(KindRule, m.plan.side, setRules, "%s is not configured", r)
	}
	for _, r := range missing {
		v.add(KindRule, m.plan.side, setRules, "%s is missing", r)
	}
}

// observedClaims returns the addresses that the port really reaches, for the
// comparison with the other port.
func observedClaims(s snapshot, link int) []claim {
	var p Port
	for _, a := range s.addresses {
		if a.LinkIndex == link {
			p.Addresses = append(p.Addresses, prefix(a.IPNet))
		}
	}
	for _, r := range s.routes {
		d := destination(r)
		own := slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Masked() == d })
		if r.LinkIndex == link && r.Table != unix.RT_TABLE_LOCAL && !d.Addr().IsMulticast() && !own {
			p.Routes = append(p.Routes, Route{Destination: d})
		}
	}
	return p.claims()
}

func observe(m *member, s snapshot) PortReport {
	r := PortReport{Namespace: m.ns.path, Cookie: m.ns.cookie, Link: m.link.name, Index: m.link.index, MAC: m.link.mac}
	if l := s.link(m.link.index); l != nil {
		flags := l.Attrs().RawFlags
		r.MTU, r.Up, r.Carrier = l.Attrs().MTU, l.Attrs().Flags&net.FlagUp != 0, flags&unix.IFF_LOWER_UP != 0
	}
	for _, a := range s.addresses {
		if a.LinkIndex == m.link.index {
			r.Addresses = append(r.Addresses, prefix(a.IPNet))
		}
	}
	for _, o := range s.routes {
		if o.LinkIndex == m.link.index && o.Table == unix.RT_TABLE_MAIN {
			r.Routes = append(r.Routes, Route{destination(o), address(o.Gw)}.String())
		}
	}
	slices.Sort(r.Routes)
	return r
}

// name returns the name of the link with that index.
func (s snapshot) name(index int) string {
	if l := s.link(index); l != nil {
		return l.Attrs().Name
	}
	return fmt.Sprintf("link %d", index)
}
