package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"lwc/netguard/lease"
	"lwc/netguard/wall"
)

// ErrNoAddress: the port uses DHCP and has no lease.
var ErrNoAddress = errors.New("port has no address")

// kernelGrace is how much longer than the lease the kernel keeps the address: it
// removes the address when nobody is left to do it.
const kernelGrace = 5 * time.Second

// borrower is what a port that uses DHCP knows of its lease.
type borrower struct {
	mu   sync.Mutex // guards what follows
	last netip.Addr // found on the link when it was adopted
	note string     // why there is no address; empty while there is one
	// refused is the last lease that overlapped; nil once one was taken.
	refused *lease.Lease
}

func (b *borrower) say(note string) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed = b.note != note
	b.note = note
	return changed
}

func (b *borrower) says() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.note
}

// remember notes the IPv4 address that an earlier process left on the link,
// before it goes: the server is asked for it again.
func (m *member) remember() error {
	if m.borrower == nil {
		return nil
	}
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	m.borrower.mu.Lock()
	defer m.borrower.mu.Unlock()
	for _, a := range s.addresses {
		if p := prefix(a.IPNet); a.LinkIndex == m.link.index && p.Addr().Is4() && special(p.Addr()) == "" {
			m.borrower.last = p.Addr()
		}
	}
	return nil
}

// leaseNotes says in words which ports have no address for want of a lease.
func (g *Guard) leaseNotes() []string {
	var all []string
	for _, m := range g.sides {
		if m != nil && m.borrower != nil {
			if note := m.borrower.says(); note != "" {
				all = append(all, fmt.Sprintf("%s port: %v: %s", m.ns.side, ErrNoAddress, note))
			}
		}
	}
	return all
}

// keepLeases keeps the leases of the ports that use DHCP until ctx ends.
func (g *Guard) keepLeases(ctx context.Context) {
	var running sync.WaitGroup
	for _, m := range g.sides {
		if m.borrower != nil {
			running.Go(func() { g.keepLease(ctx, m) })
		}
	}
	running.Wait()
}

// keepLease runs the client of one port. The lease is not given back at the end:
// the next process asks for the same address.
func (g *Guard) keepLease(ctx context.Context, m *member) {
	g.mu.Lock()
	card := m.link.mac
	g.mu.Unlock()
	mac, err := net.ParseMAC(card)
	if err != nil {
		g.noLease(m, fmt.Errorf("reading hardware address %q: %w", card, err))
		return
	}
	back := make(chan struct{}, 1)
	follow, stop := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		if err := g.followCarrier(follow, m, back); err != nil {
			g.noLease(m, err)
		}
	})
	defer following.Wait()
	defer stop()
	m.borrower.mu.Lock()
	last := m.borrower.last
	m.borrower.mu.Unlock()
	client := lease.Client{MAC: mac, Links: back, Last: last,
		Open: func(ctx context.Context, xid dhcpv4.TransactionID) (lease.Conn, error) {
			return g.openLease(ctx, m, xid)
		},
		Accept: func(l lease.Lease) error {
			_, err := g.judge(m.ns.side, l)
			return g.refuse(m, l, err)
		},
		Bound:   func(ctx context.Context, l lease.Lease) error { return g.bound(ctx, m, l) },
		Lost:    func(ctx context.Context, err error) { g.lost(ctx, m, err) },
		Waiting: func(err error) { g.noLease(m, err) },
	}
	_ = client.Run(ctx) // nil: ctx ended
}

func (g *Guard) openLease(ctx context.Context, m *member, xid dhcpv4.TransactionID) (lease.Conn, error) {
	g.mu.Lock()
	index := m.link.index
	g.mu.Unlock()
	file, err := m.wake(ctx, LeasePackets, func(fd int) error { return lease.Prepare(fd, index, xid, wall.Mark) })
	if err != nil {
		return nil, privilege(err)
	}
	return lease.Over(file, index, func() error { return m.kept[LeasePackets].put(file) })
}

// configured returns the port as the configuration has it, without a lease.
func (g *Guard) configured(side Side) Port { return g.config.port(side) }

// judge returns the port with the lease filled in, or what is wrong with it: a
// lease is held to the same rules as a static configuration.
func (g *Guard) judge(side Side, l lease.Lease) (Port, error) {
	c, members := g.effective()
	p := g.configured(side).filled(l, side, c.port(side.other()).claims())
	if p.MTU != 0 && g.configured(side).MTU == 0 {
		p.MTU = min(p.MTU, members[side.place()].arrivedMTU)
	}
	return p, g.refuses(side, p)
}

// refuses says what is wrong with p as one side beside the other as it is now.
func (g *Guard) refuses(side Side, p Port) error {
	c, _ := g.effective()
	other := c.port(side.other()).claims()
	static := p
	static.DHCP = p.unlent()
	errs := (&portCheck{side: side, port: static, foreign: other}).run()
	if side == InternalSide {
		errs = append(errs, overlaps(p.claims(), append(other, c.targets(ExternalSide)...))...)
	} else {
		errs = append(errs, overlaps(append(other, c.targets(InternalSide)...), p.claims())...)
	}
	return errors.Join(append(errs, tooWide(side, p)...)...)
}

// unlent reports whether the port uses DHCP and has no IPv4 address.
func (p Port) unlent() bool {
	return p.DHCP && !slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() })
}

// filled returns p with what the lease brings. Name servers that are of no use
// to the port are left out; anything else that is wrong is for refuses to say.
func (p Port) filled(l lease.Lease, side Side, foreign []claim) Port {
	q := p
	q.Addresses = append([]netip.Prefix{l.Address}, p.Addresses...)
	q.Routes = slices.Clone(p.Routes)
	for _, r := range l.Routes {
		if r.Destination != l.Address.Masked() {
			q.Routes = append(q.Routes, Route(r))
		}
	}
	switch {
	case !l.Gateway.IsValid():
	case p.Gateway.IsValid():
		q.Routes = append(q.Routes, Route{defaultPrefix(l.Gateway), l.Gateway})
	default:
		q.Gateway = l.Gateway
	}
	if len(p.DNS) == 0 {
		q.DNS = usableServers(q, side, l.DNS, foreign)
	}
	if p.MTU == 0 {
		q.MTU = l.MTU
	}
	return q
}

const dnsPort = 53

func usableServers(p Port, side Side, servers []netip.Addr, foreign []claim) []netip.AddrPort {
	p.DHCP = false
	var all []netip.AddrPort
	for _, a := range servers {
		p.DNS = append(slices.Clone(all), netip.AddrPortFrom(a, dnsPort))
		c := portCheck{side: side, port: p, foreign: foreign}
		if c.server(len(p.DNS) - 1); len(c.errs) == 0 {
			all = p.DNS
		}
	}
	return all
}

// bound configures the port as the lease has it.
func (g *Guard) bound(ctx context.Context, m *member, l lease.Lease) error {
	p, err := g.judge(m.ns.side, l)
	if err == nil {
		err = g.replan(ctx, m.ns.side, p, l.Expires)
	}
	if err != nil {
		return g.refuse(m, l, err)
	}
	if m.borrower.refuse(nil) {
		g.poke()
	}
	if m.borrower.say("") {
		g.tellLease(Event{Text: fmt.Sprintf("%s port: address %s", m.ns.side, l)})
	}
	return nil
}

// lost takes the lease away from the port, which stays alive without an address.
func (g *Guard) lost(ctx context.Context, m *member, cause error) {
	err := g.replan(context.WithoutCancel(ctx), m.ns.side, g.configured(m.ns.side), time.Time{})
	g.noLease(m, errors.Join(cause, err))
}

// noLease tells why there is no address, once for each reason.
func (g *Guard) noLease(m *member, err error) {
	if !m.borrower.say(err.Error()) {
		return
	}
	g.tellLease(Event{Text: fmt.Sprintf("%s port: %v: %v", m.ns.side, ErrNoAddress, err)})
}

func (g *Guard) tellLease(e Event) {
	g.mu.Lock()
	g.tell(e)
	g.mu.Unlock()
	g.changed()
}

// replan makes p the plan of one side, valid until then (zero: for good), and
// the kernel agree with it. A plan that the other side forbids, or the kernel, is
// not taken, but for one that takes an address away.
func (g *Guard) replan(ctx context.Context, side Side, p Port, until time.Time) error {
	g.verifying.Lock()
	defer g.verifying.Unlock()
	if err := g.refuses(side, p); err != nil {
		return err
	}
	was := g.plans()
	g.setPlans(side, p, until)
	err := g.applyPlans(ctx, side)
	if err != nil && !until.IsZero() {
		g.mu.Lock()
		g.sides[0].plan, g.sides[1].plan = was[0], was[1]
		g.mu.Unlock()
		err = errors.Join(err, g.applyPlans(ctx, side))
	}
	g.changed()
	return err
}

func (g *Guard) plans() [2]plan { return [2]plan{g.sides[0].plan, g.sides[1].plan} }

// setPlans replaces the plan of one side, and with it what the other's wall lets out.
func (g *Guard) setPlans(side Side, p Port, until time.Time) {
	c, _ := g.effective()
	if side == InternalSide {
		c.Internal = p
	} else {
		c.External = p
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, s := range []Side{InternalSide, ExternalSide} {
		expires := g.sides[i].plan.expires
		if s == side {
			expires = until
		}
		g.sides[i].plan = planOf(c, s)
		g.sides[i].plan.expires = expires
	}
}

// applyPlans configures one side, after the wall of the other, which may have to
// keep off the new addresses.
func (g *Guard) applyPlans(ctx context.Context, side Side) error {
	other := g.sides[side.other().place()]
	if err := other.applyWall(ctx); err != nil {
		return err
	}
	m := g.sides[side.place()]
	if err := m.apply(ctx); err != nil {
		return err
	}
	return m.prolong()
}

// prolong gives a lent address that is there already its new time.
func (m *member) prolong() error {
	if m.plan.expires.IsZero() {
		return nil
	}
	s, err := m.ns.read()
	if err != nil {
		return err
	}
	for _, p := range m.plan.addresses {
		if p.Addr().Is4() {
			err = errors.Join(err, m.addAddress(s, p))
		}
	}
	return err
}
