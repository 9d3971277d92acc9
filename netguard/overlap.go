package netguard

import (
	"net/netip"
	"slices"
)

// claim is a range of addresses that belongs to one port.
type claim struct {
	what   string // "address" or "route"
	text   string // as configured
	prefix netip.Prefix
}

func (c claim) String() string { return c.what + " " + c.text }

// claims returns what p owns: its subnets and its routes, without default
// routes and link-local ranges, which both ports may have.
func (p Port) claims() []claim {
	var all []claim
	add := func(what string, q netip.Prefix) {
		n := normal(q)
		if n.IsValid() && n.Bits() > 0 && !n.Addr().IsLinkLocalUnicast() {
			all = append(all, claim{what, q.String(), n})
		}
	}
	for _, a := range p.Addresses {
		add("address", a)
	}
	for _, r := range p.Routes {
		add("route", r.Destination)
	}
	return all
}

// normal masks p and turns the IPv4-mapped form into plain IPv4.
func normal(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// overlaps returns an OverlapError for each pair of claims that share addresses.
func overlaps(internal, external []claim) []error {
	var errs []error
	for _, a := range internal {
		for _, b := range external {
			if !a.prefix.Overlaps(b.prefix) {
				continue
			}
			errs = append(errs, &OverlapError{
				Port: InternalSide, Value: a.String(),
				Other: ExternalSide, OtherValue: b.String(),
				Relation: relation(a.prefix, b.prefix),
			})
		}
	}
	return errs
}

func relation(a, b netip.Prefix) string {
	switch {
	case a.Bits() == b.Bits():
		return "equals"
	case a.Bits() > b.Bits():
		return "lies inside"
	}
	return "covers"
}

// covering returns the first claim that contains a.
func covering(claims []claim, a netip.Addr) (claim, bool) {
	a = a.Unmap().WithZone("")
	for _, c := range claims {
		if c.prefix.Contains(a) {
			return c, true
		}
	}
	return claim{}, false
}

// reach returns where p leads: its subnets, its routes and, when it has a
// default route, all of that family; never what the other port claims.
func (p Port) reach(foreign []claim) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range p.claims() {
		all = append(all, c.prefix)
	}
	if p.Gateway.IsValid() {
		all = append(all, defaultPrefix(p.Gateway))
	}
	for _, r := range p.Routes {
		if r.Destination.Bits() == 0 {
			all = append(all, r.Destination)
		}
	}
	all = widest(all)
	var left []netip.Prefix
	for _, q := range all {
		left = append(left, without(q, foreign)...)
	}
	return left
}

// widest leaves out what lies inside another one of the list.
func widest(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if d := a.Bits() - b.Bits(); d != 0 {
			return d
		}
		return a.Addr().Compare(b.Addr())
	})
	var kept []netip.Prefix
	for _, p := range all {
		if !slices.ContainsFunc(kept, p.Overlaps) {
			kept = append(kept, p)
		}
	}
	return kept
}

// without splits p until no part shares an address with foreign. Each claim
// inside p leaves as many parts as it is bits longer.
func without(p netip.Prefix, foreign []claim) []netip.Prefix {
	hit := slices.IndexFunc(foreign, func(c claim) bool { return c.prefix.Overlaps(p) })
	if hit < 0 {
		return []netip.Prefix{p}
	}
	if foreign[hit].prefix.Bits() <= p.Bits() {
		return nil
	}
	low, high := halves(p)
	return append(without(low, foreign), without(high, foreign)...)
}

func halves(p netip.Prefix) (low, high netip.Prefix) {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(upper, p.Bits()+1)
}
