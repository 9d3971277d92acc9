package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"lwc/netguard/lease"
)

// refuse notes that l is refused when that is because it overlaps, and has the
// ports blocked for it: who lends such an address lives in a network that the
// other port is in already, or wants to be taken for one that does. It returns err.
func (g *Guard) refuse(m *member, l lease.Lease, err error) error {
	var overlap *OverlapError
	if errors.As(err, &overlap) {
		m.borrower.refuse(&l)
		g.poke()
	}
	return err
}

// refuse notes the lease that was refused last, nil once one was taken, and
// reports whether there was one.
func (b *borrower) refuse(l *lease.Lease) (before bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before = b.refused != nil
	b.refused = l
	return before
}

func (b *borrower) offered() *lease.Lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// unfit returns a violation for each port whose last lease was refused because it
// overlaps the other port as that is now.
func (g *Guard) unfit() []*Violation {
	var found []*Violation
	for _, m := range g.sides {
		if m == nil || m.borrower == nil {
			continue
		}
		l := m.borrower.offered()
		if l == nil {
			continue
		}
		_, err := g.judge(m.ns.side, *l)
		var overlap *OverlapError
		if errors.As(err, &overlap) {
			found = append(found, &Violation{Kind: KindOverlap, Port: m.ns.side, At: time.Now(), cure: withheld, cause: overlap,
				Detail: fmt.Sprintf("the DHCP server %s lends %s: %v", l.Server, l.Address, overlap)})
		}
	}
	return found
}

// targets are the hosts that the port is configured to dial by address. A lease of
// the other port must not claim them: they would be refused as foreign.
func (c Config) targets(side Side) []claim {
	var all []claim
	add := func(what, text string, a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			all = append(all, claim{what, text, netip.PrefixFrom(a, a.BitLen())})
		}
	}
	for _, s := range c.port(side).DNS {
		add("dns server", s.String(), s.Addr())
	}
	if side == ExternalSide {
		for _, e := range c.Allow {
			if a, err := netip.ParseAddr(e.Host); err == nil {
				add("endpoint", e.String(), a)
			}
		}
	}
	return all
}

// widestLent is the length of the widest network that a lease may claim: that of
// 10.0.0.0/8, the largest for private use (RFC 1918). What one port claims the
// other cannot reach, and a server must not take half of all addresses away.
const widestLent = 8

// tooWide refuses what a lease claims beyond that.
func tooWide(side Side, p Port) []error {
	var errs []error
	for _, c := range p.claims() {
		if p.DHCP && c.prefix.Addr().Is4() && c.prefix.Bits() < widestLent {
			errs = append(errs, &ConfigError{Port: side, Field: c.what, Value: c.text,
				Problem: fmt.Sprintf("of a lease is wider than /%d", widestLent), Advice: "have the server give narrower ones, or a default route, or configure it without dhcp"})
		}
	}
	return errs
}
