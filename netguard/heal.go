package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// remedy is what undoes a violation, as a set of steps.
type remedy uint

const (
	resetSysctls remedy = 1 << iota
	rebuildWall
	clearQueues
	setUp
	setMTU
	setAddresses
	setRoutes
	setRules
	restoreLink // its name, its address, out of its master
	rearrange   // everything anew: cards are fetched, what is foreign is sent away
	block       // not a step: this blocks although it can be undone
	withheld    // not a step: this blocks although the kernel was kept from it
)

// reverting are the steps that undo a change at once, while the ports stay open.
const reverting = resetSysctls | rebuildWall | clearQueues | setUp | setMTU | setAddresses | setRoutes | setRules

// grave reports whether v blocks the ports. What does not is undone on the spot.
func (v *Violation) grave() bool { return v.cure&reverting == 0 || v.cure&block != 0 }

// cures returns what each side needs. Where the ports share addresses nothing is
// done about addresses: which one is wrong only the configuration can say. A lease
// that was refused is not in the kernel and leaves nothing to decide.
func cures(found []*Violation) map[Side]remedy {
	var overlap remedy
	all := map[Side]remedy{}
	for _, v := range found {
		all[v.Port] |= v.cure
		if v.Kind == KindOverlap && v.cure&withheld == 0 {
			overlap = setAddresses | setRoutes | rearrange
		}
	}
	for side := range all {
		all[side] &^= overlap
	}
	return all
}

// heal undoes what was found as far as it can be undone. The verification after
// it is the judge; the error says why something may have stayed.
// g.verifying is held.
func (g *Guard) heal(ctx context.Context, found []*Violation) error {
	var errs []error
	all := cures(found)
	arrange := false
	for _, m := range g.members() {
		cure := all[m.plan.side]
		arrange = arrange || cure&rearrange != 0
		errs = append(errs, m.heal(ctx, cure))
	}
	if arrange {
		errs = append(errs, g.arrange(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("healing the two ports: %w", err)
	}
	return nil
}

// heal takes the steps of one side, sysctls first: what lets packets through
// goes before what sends them astray.
func (m *member) heal(ctx context.Context, cure remedy) error {
	steps := []struct {
		when remedy
		do   func(context.Context) error
	}{
		{resetSysctls, m.resetSysctls},
		{rebuildWall | restoreLink, m.applyWall},
		{clearQueues, m.clearQueues},
		{restoreLink, m.restoreLink},
		{setMTU, m.applyMTU},
		{setAddresses, m.dropRefused},
		{setAddresses | setUp | restoreLink, m.applyUp},
		{setAddresses | setUp | restoreLink | setMTU, m.applyAddresses},
		{setAddresses | setRoutes | setUp | restoreLink | setMTU, m.applyRoutes},
		{setRules, m.applyRules},
	}
	var errs []error
	for _, step := range steps {
		if cure&step.when != 0 {
			errs = append(errs, privilege(step.do(ctx)))
		}
	}
	return errors.Join(errs...)
}

// resetSysctls writes to the files that a verification has left open, or opens them.
func (m *member) resetSysctls(ctx context.Context) error {
	if m.ns.settings.correct() == nil {
		return nil
	}
	return m.applySysctls(ctx)
}

// restoreLink gives the link its own name and address again and takes it out of
// what it was put into. A link is renamed while it is down.
func (m *member) restoreLink(context.Context) error {
	l, err := m.ns.nl.LinkByIndex(m.link.index)
	if err != nil {
		return fmt.Errorf("reading link %s: %w", m.link.name, err)
	}
	mac, err := net.ParseMAC(m.link.mac)
	if err != nil {
		return fmt.Errorf("restoring link %s: %w", m.link.name, err)
	}
	a := l.Attrs()
	steps := []func() error{func() error { return m.ns.nl.LinkSetDown(l) }}
	if a.MasterIndex != 0 {
		steps = append(steps, func() error { return m.ns.nl.LinkSetNoMaster(l) })
	}
	if a.HardwareAddr.String() != m.link.mac {
		steps = append(steps, func() error { return m.ns.nl.LinkSetHardwareAddr(l, mac) })
	}
	if a.Name != m.link.name {
		steps = append(steps, func() error { return m.ns.nl.LinkSetName(l, m.link.name) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("restoring link %s: %w", m.link.name, err)
		}
	}
	return nil
}

// dropRefused removes the IPv6 addresses that another host was found to use, so
// that they are added, and asked for, anew.
func (m *member) dropRefused(context.Context) error {
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	for _, a := range s.addresses {
		if a.Flags&unix.IFA_F_DADFAILED == 0 {
			continue
		}
		if err := m.ns.nl.AddrDel(s.link(a.LinkIndex), &a); err != nil {
			return fmt.Errorf("removing address %s: %w", a.IPNet, err)
		}
	}
	return nil
}

// clearQueues takes away programs, added queueing disciplines and filters.
func (m *member) clearQueues(ctx context.Context) error {
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	var errs []error
	for _, q := range s.queues {
		a := q.Attrs()
		if a.Handle != 0 && (a.Parent == netlink.HANDLE_INGRESS || a.Parent == netlink.HANDLE_ROOT) {
			errs = append(errs, m.ns.nl.QdiscDel(q))
		}
	}
	for _, l := range s.links {
		if x := l.Attrs().Xdp; x != nil && x.Attached {
			errs = append(errs, m.ns.do(ctx, func() error { return detach(l) }))
		}
		errs = append(errs, m.ns.dropPrograms(ctx, l.Attrs().Index))
		if filters, err := m.ns.filters(l); err == nil && len(filters) > 0 {
			errs = append(errs, m.ns.renewQueue(l))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clearing traffic control of %s: %w", m.link.name, err)
	}
	return nil
}

// filters returns the filters on the root queueing discipline of l. Those on
// disciplines that somebody added go with them.
func (n *namespace) filters(l netlink.Link) ([]netlink.Filter, error) {
	all, err := dump(func() ([]netlink.Filter, error) { return n.nl.FilterList(l, 0) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return nil, nil // a kernel without filters, or a link that has just gone
	}
	if err != nil {
		return nil, fmt.Errorf("listing filters on %s of the %s port: %w", l.Attrs().Name, n.side, err)
	}
	return all, nil
}

// renewQueue has the kernel make its own root queueing discipline anew, without
// the filters that were put on it.
func (n *namespace) renewQueue(l netlink.Link) error {
	q := &netlink.GenericQdisc{QdiscType: "pfifo", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}}
	if err := n.nl.QdiscReplace(q); err != nil {
		return err
	}
	return n.nl.QdiscDel(q)
}

// detach takes an XDP program off, in whichever mode it was attached. It runs on
// the namespace's thread. One that a bpf_link holds stays until its owner ends.
func detach(l netlink.Link) error {
	var errs []error
	for _, mode := range []int{unix.XDP_FLAGS_SKB_MODE, unix.XDP_FLAGS_DRV_MODE, unix.XDP_FLAGS_HW_MODE} {
		err := netlink.LinkSetXdpFdWithFlags(l, -1, mode)
		if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
