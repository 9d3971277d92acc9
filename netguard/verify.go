package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Report is what a verification saw.
type Report struct {
	At   time.Time
	Took time.Duration
	// Internal and External are the ports as the kernel has them.
	Internal, External PortReport
	// Home are the interfaces, other than lo, in the namespace of the process.
	Home []string
	// Violations is empty when everything is as configured.
	Violations []*Violation
}

// PortReport is one port as the kernel has it.
type PortReport struct {
	Namespace string // its name, a path
	Cookie    uint64 // SO_NETNS_COOKIE of its sockets
	Link      string
	Index     int
	MAC       string
	MTU       int
	Up        bool // administratively
	Carrier   bool
	Addresses []netip.Prefix
	Routes    []string
}

// Err returns the violations as one error, or nil.
func (r Report) Err() error {
	var errs []error
	for _, v := range r.Violations {
		errs = append(errs, v)
	}
	return errors.Join(errs...)
}

// Verify compares the kernel with the configuration: which interfaces are where
// (by index and hardware address), addresses, routes, rules and sysctls, that
// the two ports share no address, and that the namespaces are those that Up
// opened. A violation, or a kernel that cannot be read, blocks the ports; a
// verification that finds nothing opens them. The error is about reading alone,
// and ErrUnprotected in mode unprotected.
func (g *Guard) Verify(ctx context.Context) (Report, error) {
	if g.config.Mode == Unprotected {
		return Report{}, ErrUnprotected
	}
	g.verifying.Lock()
	defer g.verifying.Unlock()
	if err := g.refusal(); errors.Is(err, ErrClosed) {
		return Report{}, err
	}
	v := verification{guard: g, report: Report{At: time.Now()}}
	err := v.run(ctx)
	v.report.Took = time.Since(v.report.At)
	if ctx.Err() != nil {
		return v.report, ctx.Err() // says nothing about the ports
	}
	if err != nil {
		g.settle([]*Violation{{Kind: KindNamespace, Detail: err.Error(), At: v.report.At}})
		return v.report, fmt.Errorf("verifying the two ports: %w", err)
	}
	g.settle(v.report.Violations)
	return v.report, nil
}

// verification is one run of Verify.
type verification struct {
	guard  *Guard
	report Report
	claims [2][]claim
}

func (v *verification) add(kind Kind, side Side, format string, args ...any) {
	v.report.Violations = append(v.report.Violations,
		&Violation{Kind: kind, Port: side, Detail: fmt.Sprintf(format, args...), At: v.report.At})
}

func (v *verification) run(ctx context.Context) error {
	if err := v.home(); err != nil {
		return err
	}
	for i, m := range v.guard.sides {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.member(ctx, i, m); err != nil {
			return err
		}
	}
	for _, err := range overlaps(v.claims[0], v.claims[1]) {
		v.add(KindOverlap, InternalSide, "%v", err)
	}
	return nil
}

// home looks for ports, and for anything when the machine is dedicated, in the
// namespace of the process.
func (v *verification) home() error {
	links, err := dump(v.guard.home.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing own links: %w", err)
	}
	for _, l := range links {
		if isLoopback(l) || isFallback(l) {
			continue
		}
		v.report.Home = append(v.report.Home, l.Attrs().Name)
		if side := v.guard.isPort(l); side != "" {
			v.add(KindHomeHoldsPort, side, "%s (%s) is in the namespace of the process", l.Attrs().Name, l.Attrs().HardwareAddr)
		} else if v.guard.config.Dedicated {
			v.add(KindExtraInterface, "", "%v: %s: this machine may have the two ports only", ErrExtraInterface, l.Attrs().Name)
		}
	}
	return nil
}

// isPort says which port l is, by the configuration or by the hardware address
// of the link that Up found.
func (g *Guard) isPort(l netlink.Link) Side {
	for _, m := range g.sides {
		if m.plan.port.matches(l) || len(l.Attrs().HardwareAddr) > 0 && l.Attrs().HardwareAddr.String() == m.link.mac {
			return m.plan.side
		}
	}
	return ""
}

func (v *verification) member(ctx context.Context, i int, m *member) error {
	if err := v.namespace(ctx, m); err != nil {
		return err
	}
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	v.links(m, s)
	v.addresses(m, s)
	v.routes(m, s)
	v.rules(m, s)
	v.claims[i] = observedClaims(s, m.link.index)
	*v.portReport(i) = observe(m, s)
	return v.sysctls(ctx, m)
}

func (v *verification) portReport(i int) *PortReport {
	if i == 0 {
		return &v.report.Internal
	}
	return &v.report.External
}

// namespace checks that the thread and the name are still what Up opened.
func (v *verification) namespace(ctx context.Context, m *member) error {
	var cookie uint64
	err := m.ns.do(ctx, func() (err error) {
		cookie, err = threadCookie()
		return err
	})
	if err != nil {
		return fmt.Errorf("reading cookie of the %s port: %w", m.plan.side, err)
	}
	if cookie != m.ns.cookie {
		v.add(KindNamespace, m.plan.side, "%v: cookie %d, was %d", ErrWrongNamespace, cookie, m.ns.cookie)
	}
	if id, err := m.ns.named(); err != nil {
		v.add(KindNamespace, m.plan.side, "its name %s: %v", m.ns.path, err)
	} else if id != m.ns.id {
		v.add(KindNamespace, m.plan.side, "%s names another namespace", m.ns.path)
	}
	return nil
}

func (v *verification) links(m *member, s snapshot) {
	side := m.plan.side
	for _, l := range s.links {
		if !isLoopback(l) && !isFallback(l) && l.Attrs().Index != m.link.index {
			v.add(KindExtraInterface, side, "%v: %s (%s)", ErrExtraInterface, l.Attrs().Name, l.Type())
		}
	}
	l := s.link(m.link.index)
	if l == nil {
		v.add(KindLink, side, "%s (index %d) is gone", m.link.name, m.link.index)
		return
	}
	v.link(m, l.Attrs())
}

func (v *verification) link(m *member, a *netlink.LinkAttrs) {
	side := m.plan.side
	switch {
	case a.Name != m.link.name:
		v.add(KindLink, side, "%s was renamed to %s", m.link.name, a.Name)
	case a.HardwareAddr.String() != m.link.mac:
		v.add(KindLink, side, "%s has hardware address %s, had %s", a.Name, a.HardwareAddr, m.link.mac)
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		v.add(KindLink, side, "%s was set down", a.Name)
	}
	if a.MasterIndex != 0 {
		v.add(KindLink, side, "%s was put into a bridge, bond or vrf", a.Name)
	}
	if a.Xdp != nil && a.Xdp.Attached {
		v.add(KindLink, side, "%s has an XDP program", a.Name)
	}
	if want := m.plan.port.MTU; want != 0 && a.MTU != want {
		v.add(KindLink, side, "%s has mtu %d, must be %d", a.Name, a.MTU, want)
	}
}

func (v *verification) addresses(m *member, s snapshot) {
	foreign, missing := m.plan.compareAddresses(s, m.link.index)
	for _, a := range foreign {
		v.add(KindAddress, m.plan.side, "%s is not configured", prefix(a.IPNet))
	}
	for _, a := range missing {
		v.add(KindAddress, m.plan.side, "%s is missing", a)
	}
	for _, a := range s.addresses {
		if a.Flags&unix.IFA_F_DADFAILED != 0 {
			v.add(KindAddress, m.plan.side, "%s is used by another host", prefix(a.IPNet))
		}
	}
}

func (v *verification) routes(m *member, s snapshot) {
	foreign, missing := m.plan.compareRoutes(s, m.link.index)
	for _, r := range foreign {
		v.add(KindRoute, m.plan.side, "%s is not configured", describeRoute(r))
	}
	for _, r := range missing {
		v.add(KindRoute, m.plan.side, "%s is missing", r)
	}
}

func (v *verification) rules(m *member, s snapshot) {
	foreign, missing := compareRules(s)
	for _, r := range foreign {
		v.add(KindRule, m.plan.side, "%s is not configured", r)
	}
	for _, r := range missing {
		v.add(KindRule, m.plan.side, "%s is missing", r)
	}
}

func (v *verification) sysctls(ctx context.Context, m *member) error {
	var bad []string
	err := m.ns.do(ctx, func() (err error) {
		bad, err = wrong(m.plan.sysctls(m.link.name))
		return err
	})
	for _, b := range bad {
		v.add(KindSysctl, m.plan.side, "%s", b)
	}
	return err
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
		if r.LinkIndex == link && r.Table != unix.RT_TABLE_LOCAL && !d.Addr().IsMulticast() && r.Protocol != unix.RTPROT_KERNEL {
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
