package netguard

import (
	"errors"
	"fmt"
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
