package netguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
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
// (by index and hardware address), what is attached to them, addresses, routes,
// rules, sysctls and tables, that the two ports share no address, also none of a
// lease that was offered, and that the
// namespaces are those that Up opened. It only looks: what it finds, and a kernel
// that cannot be read, is for the watch, which it wakes, to revert or to block.
// The error is about reading alone, and ErrUnprotected in mode unprotected.
func (g *Guard) Verify(ctx context.Context) (Report, error) {
	if g.config.Mode == Unprotected {
		return Report{}, ErrUnprotected
	}
	g.verifying.Lock()
	defer g.verifying.Unlock()
	if err := g.refusal(); errors.Is(err, ErrClosed) {
		return Report{}, err
	}
	for _, m := range g.members() {
		m.ns.programs = programs{} // whoever asks wants it as it is now
	}
	report, err := g.scope().verify(ctx)
	report.Violations = append(report.Violations, g.unfit()...)
	if ctx.Err() != nil {
		return report, ctx.Err() // says nothing about the ports
	}
	if err != nil || len(report.Violations) > 0 {
		g.poke()
	}
	return report, err
}

// scope is what a verification looks at.
type scope struct {
	home *home
	// members are the internal side, the external side, and the cards that carry
	// them. Those without a wall are verified without their tables.
	members   []*member
	dedicated bool
}

func (g *Guard) scope() scope { return scope{g.home, g.members(), g.config.Dedicated} }

// verify looks at everything once. Nobody may change the plan of the members, or
// verify them, at the same time.
func (s scope) verify(ctx context.Context) (Report, error) {
	v := verification{scope: s, report: Report{At: time.Now()}}
	err := v.run(ctx)
	v.report.Took = time.Since(v.report.At)
	if err != nil {
		return v.report, fmt.Errorf("verifying the two ports: %w", err)
	}
	return v.report, nil
}

// verification is one look at the kernel.
type verification struct {
	scope  scope
	report Report
	claims [2][]claim
}

func (v *verification) add(kind Kind, side Side, cure remedy, format string, args ...any) {
	v.report.Violations = append(v.report.Violations, &Violation{Kind: kind, Port: side,
		Detail: fmt.Sprintf(format, args...), At: time.Now(), cure: cure})
}

func (v *verification) run(ctx context.Context) error {
	if err := v.home(); err != nil {
		return err
	}
	for i, m := range v.scope.members {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.member(ctx, i, m); err != nil {
			return err
		}
	}
	for _, err := range overlaps(v.claims[0], v.claims[1]) {
		v.add(KindOverlap, InternalSide, 0, "%v", err)
	}
	return nil
}

// home looks for ports, and for anything when the machine is dedicated, in the
// namespace of the process.
func (v *verification) home() error {
	links, err := dump(v.scope.home.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing own links: %w", err)
	}
	for _, l := range links {
		if isLoopback(l) || isFallback(l) {
			continue
		}
		v.report.Home = append(v.report.Home, l.Attrs().Name)
		if side := v.scope.isPort(l); side != "" {
			v.add(KindHomeHoldsPort, side, rearrange, "%s (%s) is in the namespace of the process", l.Attrs().Name, l.Attrs().HardwareAddr)
		} else if v.scope.dedicated {
			v.add(KindExtraInterface, "", 0, "%v: %s: this machine may have the two ports only", ErrExtraInterface, l.Attrs().Name)
		}
	}
	return nil
}

// isPort says which port l is, by the configuration or by the hardware address
// of the link that Up found.
func (s scope) isPort(l netlink.Link) Side {
	for _, m := range s.members {
		if m.card != nil {
			continue // what is looked for is its card
		}
		if m.plan.port.matches(l) || len(l.Attrs().HardwareAddr) > 0 && l.Attrs().HardwareAddr.String() == m.link.mac {
			return m.plan.side
		}
	}
	return ""
}

func (v *verification) member(ctx context.Context, i int, m *member) error {
	if err := v.namespace(m); err != nil {
		return err
	}
	if err := v.sysctls(ctx, m); err != nil {
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
	if err := v.queues(m, s); err != nil {
		return err
	}
	if err := v.programs(ctx, m, s); err != nil {
		return err
	}
	if i < len(v.claims) {
		v.claims[i] = observedClaims(s, m.link.index)
		*v.portReport(i) = observe(m, s)
	}
	return v.tables(m)
}

func (v *verification) portReport(i int) *PortReport {
	if i == 0 {
		return &v.report.Internal
	}
	return &v.report.External
}

// namespace checks that the thread and the name are still what Up opened.
func (v *verification) namespace(m *member) error {
	id, err := m.ns.inhabited()
	if err != nil {
		return fmt.Errorf("reading namespace of the %s port: %w", m.plan.side, err)
	}
	if id != m.ns.id {
		v.add(KindNamespace, m.plan.side, 0, "%v: its thread has left it", ErrWrongNamespace)
	}
	if id, err := m.ns.named(); err != nil {
		v.add(KindNamespace, m.plan.side, 0, "its name %s: %v", m.ns.path, err)
	} else if id != m.ns.id {
		v.add(KindNamespace, m.plan.side, 0, "%s names another namespace", m.ns.path)
	}
	return nil
}

func (v *verification) sysctls(ctx context.Context, m *member) error {
	bad, err := m.ns.wrong(ctx, m.plan.sysctls(m.link.name))
	for _, b := range bad {
		v.add(KindSysctl, m.plan.side, resetSysctls, "%s", b)
	}
	return err
}

// tables compares the walls with what Apply left.
func (v *verification) tables(m *member) error {
	if m.wall == nil {
		return nil
	}
	problems, err := m.wall.Check(m.wallPort())
	if err != nil {
		return fmt.Errorf("reading tables of the %s port: %w", m.plan.side, err)
	}
	for _, p := range problems {
		v.add(KindFilter, m.plan.side, rebuildWall, "%s", p)
	}
	return nil
}
