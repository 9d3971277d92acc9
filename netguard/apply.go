package netguard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dadTime bounds the wait for duplicate address detection: one probe and a
// second's silence (RFC 4862 section 5.4, RetransTimer) after up to a second's
// random delay.
const dadTime = 3 * time.Second

// apply makes the namespace agree with the plan. Applied again it changes nothing.
func (m *member) apply(ctx context.Context) error {
	steps := []func(context.Context) error{
		m.applySysctls, m.applyWall, m.applyMTU, m.applyAddresses, m.applyUp, m.applyRoutes, m.applyRules,
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return fmt.Errorf("configuring the %s port: %w", m.plan.side, privilege(err))
		}
	}
	return nil
}

func (m *member) applySysctls(ctx context.Context) error {
	return m.ns.do(ctx, func() error { return quieten(m.plan.sysctls(m.link.name)) })
}

func (m *member) applyWall(context.Context) error {
	if m.wall == nil {
		return nil
	}
	return m.wall.Apply(m.wallPort())
}

func (m *member) applyMTU(context.Context) error {
	l, err := m.ns.nl.LinkByIndex(m.link.index)
	if err != nil {
		return fmt.Errorf("reading link %s: %w", m.link.name, err)
	}
	want := m.plan.port.MTU
	if have := l.Attrs().MTU; m.plan.carriesMTU > have {
		want = m.plan.carriesMTU // of a card: its ports cannot have more than it
	} else if want == 0 {
		return m.plan.badLinkMTU(m.link.name, have)
	} else if have == want {
		return nil
	}
	if err := m.ns.nl.LinkSetMTU(l, want); err != nil {
		return &ConfigError{Port: m.plan.side, Field: "mtu", Value: fmt.Sprint(want), Err: privilege(err),
			Problem: fmt.Sprintf("is refused by interface %s: %v", m.link.name, err), Advice: "use 1500, or what the card can do"}
	}
	return nil
}

// badLinkMTU refuses the MTU that the link came with when it is too small.
func (p plan) badLinkMTU(link string, mtu int) error {
	problem := badMTU(mtu, p.has6)
	if problem == "" {
		return nil
	}
	return &ConfigError{Port: p.side, Field: "mtu", Value: fmt.Sprint(mtu),
		Problem: "of interface " + link + " " + problem, Advice: "set mtu to 1500, or what the network carries"}
}

func (m *member) applyAddresses(context.Context) error {
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	foreign, _ := m.plan.compareAddresses(s, m.link.index)
	for _, a := range foreign {
		if err := m.ns.nl.AddrDel(s.link(a.LinkIndex), &a); err != nil {
			return fmt.Errorf("removing address %s: %w", a.IPNet, err)
		}
	}
	if s, err = m.ns.read(); err != nil { // secondary addresses go with their primary
		return err
	}
	_, missing := m.plan.compareAddresses(s, m.link.index)
	for _, p := range missing {
		if m.silent && p.Addr().Is6() {
			continue // a link that is down takes none
		}
		if err := m.addAddress(s, p); err != nil {
			return fmt.Errorf("adding address %s: %w", p, err)
		}
	}
	return nil
}

func (m *member) addAddress(s snapshot, p netip.Prefix) error {
	l := s.link(m.link.index)
	if l == nil {
		return &LinkError{Port: m.plan.side, Link: m.link.name, Err: ErrNoInterface, Detail: "it went away"}
	}
	// The kernel removes a lent address by itself when nobody is left to do it. An
	// address that is there already gets the new time.
	return m.ns.nl.AddrReplace(l, &netlink.Addr{IPNet: ipNet(p), ValidLft: m.plan.lifetime(p), PreferedLft: m.plan.lifetime(p)})
}

// lifetime returns for how many seconds the kernel keeps an address; 0: for ever.
func (p plan) lifetime(a netip.Prefix) int {
	if p.expires.IsZero() || !a.Addr().Is4() {
		return 0
	}
	const most = 1<<31 - 1 // of the field that netlink has for it
	return int(min(max(time.Until(p.expires)+kernelGrace, time.Second)/time.Second, most))
}

func (m *member) applyUp(context.Context) error {
	links, err := dump(m.ns.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		mine := isLoopback(l) || a.Index == m.link.index && !m.silent
		if !mine || a.RawFlags&unix.IFF_UP != 0 {
			continue
		}
		if err := m.ns.nl.LinkSetUp(l); err != nil {
			return fmt.Errorf("setting %s up: %w", a.Name, err)
		}
	}
	return nil
}

func (m *member) applyRoutes(context.Context) error {
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	foreign, missing := m.plan.compareRoutes(s, m.link.index)
	for _, r := range foreign {
		if err := m.ns.nl.RouteDel(&r); err != nil {
			return fmt.Errorf("removing route %s: %w", describeRoute(r), err)
		}
	}
	for _, w := range missing {
		if m.silent {
			break // they need a link that is up
		}
		if err := m.ns.nl.RouteAdd(w.kernel(m.link.index)); err != nil {
			return fmt.Errorf("adding route %s: %w", w, err)
		}
	}
	return nil
}

func (m *member) applyRules(context.Context) error {
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	foreign, missing := compareRules(s)
	for _, r := range missing {
		if err := m.ns.nl.RuleAdd(&r); err != nil {
			return fmt.Errorf("adding rule %s: %w", r, err)
		}
	}
	for _, r := range foreign {
		if err := m.ns.nl.RuleDel(&r); err != nil {
			return fmt.Errorf("removing rule %s: %w", r, err)
		}
	}
	return nil
}

// awaitAddresses waits until the IPv6 addresses can be used. Without carrier
// they cannot become so, and are not waited for.
func (m *member) awaitAddresses(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dadTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := m.ns.read()
		if err != nil {
			return err
		}
		l := s.link(m.link.index)
		if l == nil || l.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 || !s.tentative() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // Verify says what is wrong with them
		}
	}
}

func (s snapshot) tentative() bool {
	for _, a := range s.addresses {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_DADFAILED == 0 {
			return true
		}
	}
	return false
}

func describeRoute(r netlink.Route) string {
	text := destination(r).String()
	if gw := address(r.Gw); gw.IsValid() {
		text += " via " + gw.String()
	}
	return fmt.Sprintf("%s (table %d, protocol %s)", text, r.Table, r.Protocol)
}
