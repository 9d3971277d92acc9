package netguard

import "net/netip"

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
