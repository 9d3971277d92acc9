package netguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// block closes the ports because of what was found, which is what matters most
// first: nothing is dialled any more; the External Port goes down, so that nothing
// leaves whoever sends it; what was handed out is closed; sockets that nobody
// tracks are destroyed in both namespaces; then it is told. The error says which
// of these steps failed; those after it are taken all the same.
// g.verifying is held.
func (g *Guard) block(ctx context.Context, found []*Violation) error {
	news := g.become(Blocked, summary(found))
	err := g.silence(ctx, found)
	g.hangUp()
	err = errors.Join(err, g.destroyStrays(ctx))
	if news {
		g.tellStatus()
	}
	g.count(len(found), 0)
	for _, v := range found {
		g.report(v, false)
	}
	return err
}

// destroyStrays ends the sockets in both port namespaces. A kernel that cannot is
// told of as degraded: what was handed out is closed all the same.
func (g *Guard) destroyStrays(ctx context.Context) error {
	var errs []error
	for _, m := range g.sides {
		err := m.destroyStrays(ctx)
		if errors.Is(err, ErrUnsupported) {
			g.degrade(err.Error())
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// silence keeps the link of the External Port down. When nothing is wrong but the
// lease that the port itself was offered, the link stays up to ask for another,
// behind a wall that lets nothing else through.
func (g *Guard) silence(ctx context.Context, found []*Violation) error {
	m := g.sides[ExternalSide.place()]
	if !asks(found, m.plan.side) {
		g.hush(m, true, false)
		return m.ns.silence()
	}
	if m.shut {
		return nil
	}
	down := m.silent
	g.hush(m, false, true)
	err := m.applyWall(ctx)
	if err == nil && down {
		err = m.apply(ctx)
	}
	if err != nil {
		g.hush(m, true, false)
		err = errors.Join(err, m.ns.silence())
	}
	return err
}

// asks reports whether all that was found are refused leases, one of that side's.
func asks(found []*Violation, side Side) bool {
	return !slices.ContainsFunc(found, func(v *Violation) bool { return v.cure&withheld == 0 }) &&
		slices.ContainsFunc(found, func(v *Violation) bool { return v.Port == side })
}

// hush notes whether the link of m is meant to be down, and its wall shut.
func (g *Guard) hush(m *member, silent, shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.silent, m.shut = silent, shut
}

// hangUp closes every connection that the ports have handed out.
func (g *Guard) hangUp() {
	for _, p := range []*port{g.internal.port, g.external.port} {
		p.conns.closeAll()
	}
}

// failClosed sets the ports down when a bug ends the goroutine that defers it, and
// with it the process: nobody watches them any more. The bug goes on its way.
func (g *Guard) failClosed() {
	bug := recover()
	if bug == nil {
		return
	}
	g.become(Blocked, fmt.Sprintf("the watch broke: %v", bug))
	for _, m := range slices.Backward(g.sides[:]) { // the external one first
		_ = m.ns.silence() // the bug says more than this could
	}
	g.hangUp()
	panic(bug)
}
