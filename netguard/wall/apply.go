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
		if !again(err) && !w.kernel.learn(err) {
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
	wanted := plan(p, w.kernel)
	for i := range now.tables {
		t := &now.tables[i]
		wants := slices.ContainsFunc(wanted, func(want table) bool { return t.id == want.id() })
		if foreign := t.owner != 0 && t.owner != w.nl.portID; foreign && t.id.ours() {
			return nil, fmt.Errorf("%w: %s, by netlink port %d", ErrOwned, t.id, t.owner)
		} else if !foreign && !wants {
			ops = append(ops, t.id.remove())
		} // one that is foreign cannot be deleted; Check tells of it
	}
	for _, t := range wanted {
		more, err := w.build(t, now.table(t.id()))
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	return ops, nil
}

// fits reports whether the table that is there can become this one: one that an
// owner left behind is adopted, one that never had an owner cannot get one
// (nf_tables_updtable in net/netfilter/nf_tables_api.c).
func (t table) fits(found *foundTable) bool {
	if found.flags&tablePersist != t.flags&tablePersist || !t.sameChains(found) {
		return false
	}
	if t.flags&tableOwner == 0 {
		return found.flags&tableOwner == 0
	}
	return found.flags&(tableOwner|tablePersist) != 0
}

// build makes the table anew, or, when its chains are right, changes what is in
// them: chains that stay in place never leave a packet to an empty one.
func (w *Wall) build(t table, found *foundTable) ([]operation, error) {
	var ops []operation
	if found != nil && !t.fits(found) {
		ops = append(ops, t.id().remove())
		found = nil
	}
	ops = append(ops, t.create())
	if found != nil {
		ops = append(ops, t.flush())
		for _, s := range found.sets {
			ops = append(ops, s.remove(t))
		}
	}
	for _, c := range t.chains {
		ops = append(ops, c.create(t))
	}
	for i, s := range t.sets {
		ops = append(ops, s.create(t, uint32(i+1)))
		ops = append(ops, s.change(t, unix.NFT_MSG_NEWSETELEM, append(s.elements, w.remembered(s)...))...)
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
		if !slices.Contains(found.chains, foundChain{name: c.name, base: true, kind: "filter", hook: c.hook}) {
			return false
		}
	}
	return true
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

// Degraded says in words what this kernel cannot do, and which one can. It is
// complete once Apply has succeeded with a link.
func (w *Wall) Degraded() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kernel.degraded()
}
