package netguard

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// permitTime is how long the kernel lets the addresses of an endpoint be
// dialled. It outlasts a dial (dialTime); what is established goes on after it.
// Half of it a name is not asked for again: a cloud that moves is followed
// within a minute.
const permitTime = 2 * dialTime

// permitsAtOnce bounds the resolutions under way: the collector half, which asks
// for them, is not trusted.
const permitsAtOnce = 16

// permits is the list of what the External Port may dial.
type permits struct {
	slots chan struct{} // one for each resolution under way

	mu      sync.Mutex // guards what follows
	allowed map[Endpoint]struct{}
	known   map[Endpoint]resolved
}

// resolved are the addresses of a name and until when it is not asked for again.
type resolved struct {
	addrs []netip.Addr
	until time.Time
}

func newPermits(list []Endpoint) *permits {
	p := &permits{slots: make(chan struct{}, permitsAtOnce), known: make(map[Endpoint]resolved)}
	p.set(list)
	return p
}

func (p *permits) set(list []Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = make(map[Endpoint]struct{}, len(list))
	for _, e := range list {
		p.allowed[e.canonical()] = struct{}{}
	}
	maps.DeleteFunc(p.known, func(e Endpoint, _ resolved) bool {
		_, ok := p.allowed[e]
		return !ok
	})
}

// check returns ErrNotAllowed unless e is on the list.
func (p *permits) check(e Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.allowed[e]; !ok {
		return fmt.Errorf("%w: %s is not on the list of the external port: add it to external.allow", ErrNotAllowed, e)
	}
	return nil
}

func (p *permits) recall(e Endpoint) ([]netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.known[e]
	return a.addrs, ok && time.Now().Before(a.until)
}

func (p *permits) remember(e Endpoint, addrs []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.allowed[e]; ok {
		p.known[e] = resolved{addrs, time.Now().Add(permitTime / 2)}
	}
}

func (p *permits) forget(e Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, e)
}

// SetAllowed replaces what the External Port may dial. What is established
// already goes on, and the kernel lets what was permitted last be dialled for the
// two minutes that it was permitted for; Permit and DialContext refuse at once
// what is not on the list any more. The error is a *ConfigError, and nothing is changed then.
func (g *Guard) SetAllowed(list []Endpoint) error {
	if err := checkEndpoints(list); err != nil {
		return fmt.Errorf("setting what the external port may dial: %w", err)
	}
	g.permits.set(list)
	return nil
}

// Permit returns the addresses at which the External Port may dial e, and makes
// the kernel let it for some minutes. The error is ErrNotAllowed when e is not
// on the list, or when none of its addresses may be dialled; then it names the
// reason.
func (g *Guard) Permit(ctx context.Context, e Endpoint) ([]netip.AddrPort, error) {
	addrs, err := g.permit(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("permitting %s: %w", e, err)
	}
	return addrs, nil
}

// permit implements gate.
func (g *Guard) permit(ctx context.Context, e Endpoint) ([]netip.AddrPort, error) {
	if p := e.problem(); p != "" {
		return nil, fmt.Errorf("%w: the endpoint %s", ErrNotAllowed, p)
	}
	e = e.canonical()
	out, err := g.admit(e)
	if err != nil {
		return nil, err
	}
	addrs, err := g.answer(ctx, out, e)
	if err != nil {
		return nil, err
	}
	// Resolving takes seconds, after which the ports may be blocked, the list
	// another one, or a lease of the internal port be where the name leads.
	if out, err = g.admit(e); err != nil {
		return nil, err
	}
	if addrs, err = usable(e.Host, addrs, out.allow); err != nil {
		g.permits.forget(e)
		return nil, err
	}
	found := withPort(addrs, e.Port)
	return found, g.openWall(found, e.Network == "udp")
}

// admit returns the External Port's outlet when e may be dialled now.
func (g *Guard) admit(e Endpoint) (outlet, error) {
	out, err := g.outlet(ExternalSide)
	if err != nil {
		return outlet{}, err
	}
	if out.open {
		return outlet{}, ErrUnprotected
	}
	return out, g.permits.check(e)
}

// openWall makes the kernel let these addresses pass. It is asked each time: a
// table that was restored meanwhile has none of them.
func (g *Guard) openWall(addrs []netip.AddrPort, udp bool) error {
	_, sides := g.effective()
	m := sides[ExternalSide.place()]
	if m == nil || m.wall == nil {
		return nil
	}
	if err := m.wall.Permit(addrs, udp, permitTime); err != nil {
		return fmt.Errorf("opening the wall of the external port: %w", err)
	}
	return nil
}

// answer resolves the name of e, unless that was done a short while ago.
func (g *Guard) answer(ctx context.Context, out outlet, e Endpoint) ([]netip.Addr, error) {
	if addrs, ok := g.permits.recall(e); ok {
		return addrs, nil
	}
	select {
	case g.permits.slots <- struct{}{}:
		defer func() { <-g.permits.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if addrs, ok := g.permits.recall(e); ok {
		return addrs, nil // by who had the slot before
	}
	addrs, err := g.external.port.resolve(ctx, out, e.Host, 0)
	if err != nil {
		return nil, err
	}
	g.permits.remember(e, addrs)
	return addrs, nil
}
