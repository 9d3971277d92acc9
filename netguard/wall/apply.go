package wall

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// maxAttempts bounds how often a transaction is tried again because somebody
// else changed the rules of the namespace meanwhile.
const maxAttempts = 8

// Apply makes the namespace's tables those of the port, in one transaction: no
// packet ever meets half of it, or none. When all is as it has to be, nothing is
// sent. A predecessor's tables are taken over, tables that are not ours are
// deleted, and what Permit let out stays let out for the rest of its time.
//
// The error is ErrUnsupported, ErrPrivilege, ErrOwned, ErrNoLink or ErrBadPort
// where that is the reason; the namespace is then as it was.
func (w *Wall) Apply(p Port) error {
	if err := p.check(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if problems, err := w.check(p); err != nil {
		return fmt.Errorf("applying walls: %w", err)
	} else if len(problems) == 0 {
		return nil
	}
	if err := w.nl.hasLink(p); err != nil {
		return err
	}
	for range maxAttempts {
		err := w.replace(p)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.ERESTART) && !w.degrade(err) {
			return fmt.Errorf("applying walls: %w", err)
		}
	}
	return fmt.Errorf("applying walls: somebody else changed the rules each time, %d times", maxAttempts)
}

// replace sends the one transaction and remembers what it left.
func (w *Wall) replace(p Port) error {
	before, err := w.nl.read()
	if err != nil {
		return err
	}
	w.applied = nil // until it is known what is there
	ops, err := w.operations(p, before)
	if err != nil {
		return err
	}
	if err := w.send(before.gen, ops); err != nil {
		return err
	}
	after, err := w.nl.read()
	if err != nil {
		return err
	}
	if after.gen != following(before.gen) {
		return unix.ERESTART // what was read may not be what was sent
	}
	c := p.clone()
	w.applied, w.objects, w.gen = &c, after.objects, after.gen
	if len(w.compare(after)) > 0 {
		w.gen = 0 // a foreign table that has an owner is still there
	}
	return nil
}

// following is the generation after gen; the kernel leaves out 0.
func following(gen uint32) uint32 {
	if gen++; gen == 0 {
		gen++
	}
	return gen
}

// operations turns what is there into what the port needs.
func (w *Wall) operations(p Port, now *snapshot) ([]operation, error) {
	var ops []operation
	wanted := plan(p, !w.noEgress)
	for i := range now.tables {
		t := &now.tables[i]
		wants := slices.ContainsFunc(wanted, func(t2 table) bool { return t.id == tableID{t2.family, tableName} })
		if t.owner != 0 && t.owner != w.nl.portID {
			if wants {
				return nil, fmt.Errorf("%w: %s, by netlink port %d", ErrOwned, t.id, t.owner)
			}
			continue // cannot be deleted; Check tells of it
		}
		if !wants || !w.fits(t) {
			ops = append(ops, deleteTable(t.id.family, t.id.name))
		}
	}
	for _, t := range wanted {
		found := now.table(tableID{t.family, tableName})
		if found != nil && !w.fits(found) {
			found = nil
		}
		more, err := w.build(t, found)
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	return ops, nil
}

// fits reports whether the table's flags can become those that ours has: a
// table that an owner left is adopted, one that never was persistent cannot be
// (nf_tables_updtable in net/netfilter/nf_tables_api.c).
func (w *Wall) fits(t *foundTable) bool {
	return t.flags&tablePersist == w.flags()&tablePersist
}

func (w *Wall) flags() uint32 {
	if w.unowned {
		return 0
	}
	return tableOwner | tablePersist
}

// build makes the table anew, or, when its chains are right, changes what is in
// them: chains that stay in place never leave a packet to an empty one.
func (w *Wall) build(t table, found *foundTable) ([]operation, error) {
	var ops []operation
	if found != nil && !t.sameChains(found) {
		ops = append(ops, deleteTable(t.family, tableName))
		found = nil
	}
	ops = append(ops, t.create(w.flags()))
	var kept []set
	if found != nil {
		ops = append(ops, t.flush())
		for _, s := range found.sets {
			if t.keeps(s) {
				kept = append(kept, s)
				ops = append(ops, s.change(t, unix.NFT_MSG_DELSETELEM, nil)...)
			} else {
				ops = append(ops, s.remove(t))
			}
		}
	}
	for _, c := range t.chains {
		ops = append(ops, c.create(t))
	}
	for i, s := range t.sets {
		if !slices.ContainsFunc(kept, func(k set) bool { return k.name == s.name }) {
			ops = append(ops, s.create(t, uint32(i+1)))
		}
		if elements := append(s.elements, w.remembered(s)...); len(elements) > 0 {
			ops = append(ops, s.change(t, unix.NFT_MSG_NEWSETELEM, elements)...)
		}
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			op, err := r.create(t, c)
			if err != nil {
				return nil, err
			}
			ops = append(ops, op)
		}
	}
	return ops, nil
}

// sameChains reports whether the table that is there holds those chains and,
// besides sets, nothing else.
func (t table) sameChains(found *foundTable) bool {
	if len(found.chains) != len(t.chains) || int(found.use) != len(found.chains)+len(found.sets) {
		return false
	}
	for _, c := range t.chains {
		if !slices.Contains(found.chains, foundChain{c.name, true, "filter", c.hook}) {
			return false
		}
	}
	return true
}

// keeps reports whether the set that is there is a dynamic one of ours.
func (t table) keeps(found set) bool {
	return slices.ContainsFunc(t.sets, func(s set) bool {
		return s.dynamic() && s.name == found.name && s.flags == found.flags &&
			s.keyType == found.keyType && s.keyLen == found.keyLen && s.size == found.size
	})
}

// send runs the operations as one transaction on top of generation gen.
func (w *Wall) send(gen uint32, ops []operation) error {
	requests := make([]request, len(ops))
	for i, op := range ops {
		requests[i] = op.request
	}
	failed, err := w.nl.transaction(gen, requests)
	switch {
	case err == nil, errors.Is(err, unix.ERESTART):
		return err
	case failed < 0:
		return explain(operation{doing: "changing the rules"}, err)
	}
	return explain(ops[failed], err)
}

// degrade learns from a refusal what this kernel cannot do, and reports whether
// it is worth another try without.
func (w *Wall) degrade(err error) bool {
	var k *kernelError
	if !errors.As(err, &k) || k.kind != ErrUnsupported {
		return false
	}
	switch {
	case k.part == partFlags && !w.unowned:
		w.unowned = true
	case k.part == partEgress && !w.noEgress:
		w.noEgress = true
	default:
		return false
	}
	return true
}

// Degraded says in words what this kernel cannot do, and which one can. It is
// complete once Apply has succeeded with a link.
func (w *Wall) Degraded() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	if w.unowned {
		out = append(out, "the tables belong to nobody: a change by another program is undone when it is seen, not refused (tables with an owner that outlive it: Linux 6.9)")
	}
	if w.noEgress {
		out = append(out, "frames with a foreign hardware address are not stopped on their way out ("+needsEgress+")")
	}
	return out
}
