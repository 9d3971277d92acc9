package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"lwc/netguard/wall"
)

// Up brings the two ports up as c says and verifies the result. The namespaces
// of an earlier process are adopted, also after it was killed. When anything
// fails, both ports are left down and the error says what to do; calling Up
// again later is right when the cause may go away (ErrNoInterface).
func Up(ctx context.Context, c Config) (*Guard, error) {
	if err := Check(c); err != nil {
		return nil, errors.Join(fmt.Errorf("checking the two ports: %w", err), Silence(ctx, c))
	}
	g := newGuard(c)
	if c.Mode == Unprotected {
		if err := Silence(ctx, c); err != nil {
			return nil, fmt.Errorf("setting down what an earlier process left up: %w", err)
		}
		g.status, g.detail = Open, "the ports are not separated: mode unprotected"
		return g, nil
	}
	if err := checkPrivileges(c); err != nil {
		return nil, err
	}
	if err := g.raise(ctx); err != nil {
		// A namespace that was not opened yet may hold a port that a killed process left up.
		return nil, errors.Join(fmt.Errorf("bringing up the two ports: %w", err), g.Close(), Silence(context.WithoutCancel(ctx), c))
	}
	return g, nil
}

// Silence sets down what an earlier process left up, when there is no valid
// configuration any more. It needs none itself: of c only NamespaceDir counts.
func Silence(ctx context.Context, c Config) error {
	if have, err := effective(); err != nil || have&needed != needed {
		return nil // what cannot be touched was not put there by this user
	}
	var errs []error
	for _, path := range c.allPaths() {
		n, err := openNamespace(ctx, "", path, false)
		if n == nil {
			if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, ErrInUse) {
				errs = append(errs, err)
			}
			continue
		}
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// paths returns the names of the two namespaces, the internal one first.
func (c Config) paths() [2]string {
	dir := c.NamespaceDir
	if dir == "" {
		dir = os.Getenv(envDir)
	}
	if dir == "" {
		dir = DefaultNamespaceDir
	}
	return [2]string{filepath.Join(dir, InternalNamespace), filepath.Join(dir, ExternalNamespace)}
}

// allPaths returns the names of all namespaces that any configuration uses.
func (c Config) allPaths() []string {
	ports := c.paths()
	all := ports[:]
	for _, name := range []string{CardNamespace, InternalCardNamespace, ExternalCardNamespace} {
		all = append(all, filepath.Join(filepath.Dir(ports[0]), name))
	}
	return all
}

// raise does the work of Up, in the order of the package's guarantees.
func (g *Guard) raise(ctx context.Context) (err error) {
	if g.home, err = openHome(); err != nil {
		return err
	}
	for i, side := range []Side{InternalSide, ExternalSide} {
		if g.sides[i], err = g.enter(ctx, planOf(g.config, side), g.config.paths()[i]); err != nil {
			return err
		}
	}
	if err := g.openCards(ctx); err != nil {
		return err
	}
	if err := g.distinct(); err != nil {
		return err
	}
	if err := g.quieten(ctx); err != nil {
		return err
	}
	// Before a port is up: it stays down while nobody makes these.
	if err := g.stock(ctx); err != nil {
		return err
	}
	if err := g.arrange(ctx); err != nil {
		return err
	}
	return g.start(ctx)
}

// enter opens one namespace, turns forwarding and the rest off in it and closes
// its walls.
func (g *Guard) enter(ctx context.Context, p plan, path string) (*member, error) {
	m := &member{plan: p, packets: g.config.Packets, kept: p.keeps()}
	if p.port.DHCP {
		m.borrower = &borrower{note: "waiting for a DHCP server"}
	}
	if p.has6 {
		if _, err := os.Stat(filepath.Join(sysctlRoot, "ipv6")); err != nil {
			return nil, &FeatureError{Port: p.side, Feature: "IPv6", Needs: "CONFIG_IPV6",
				Effect: "the port has IPv6 addresses: remove them or boot without ipv6.disable"}
		}
	}
	n, err := openNamespace(ctx, p.side, path, true)
	if n == nil {
		return nil, err
	}
	m.ns = n
	if err == nil {
		m.wall, err = wall.Open(n.file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing namespace %s: %w", path, err), m.close())
	}
	return m, nil
}

// close sets the links down and lets the namespace go; the walls stay.
func (m *member) close() error {
	err := errors.Join(m.letGo(), m.ns.close())
	if m.wall != nil {
		err = errors.Join(err, m.wall.Close())
	}
	return err
}

// members returns the two sides and the cards that carry them.
func (g *Guard) members() []*member {
	var all []*member
	for _, m := range g.sides {
		if m != nil {
			all = append(all, m)
		}
	}
	return append(all, g.cards...)
}

// distinct makes sure that no two namespaces are one, whatever their names say.
func (g *Guard) distinct() error {
	seen := map[uint64]string{g.home.cookie: "that of the process"}
	for _, m := range g.members() {
		if other, ok := seen[m.ns.cookie]; ok {
			return fmt.Errorf("%w: %s is the same as %s: unmount and remove both names", ErrWrongNamespace, m.ns.path, other)
		}
		seen[m.ns.cookie] = m.ns.path
	}
	return nil
}

// arrange makes the kernel agree with the plan: it quietens the namespaces,
// sends away what is foreign, puts up the walls, fetches cards that lie in the
// namespace of the process and configures them. Nothing moves before all
// namespaces are quiet and all cards are found. Applied again it changes
// nothing. g.verifying is held, or nobody else has g yet.
func (g *Guard) arrange(ctx context.Context) error {
	if err := g.quieten(ctx); err != nil {
		return err
	}
	places, err := g.locate()
	if err != nil {
		return err
	}
	for i, m := range g.owners() {
		if err := g.take(ctx, m, places[i]); err != nil {
			return err
		}
	}
	for _, m := range g.sides {
		if err := g.split(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range g.sides {
		if err := m.awaitAddresses(ctx); err != nil {
			return err
		}
	}
	return nil
}

// quieten makes the namespaces safe to receive their links.
func (g *Guard) quieten(ctx context.Context) error {
	for _, m := range g.members() {
		if err := g.prepare(ctx, m); err != nil {
			return fmt.Errorf("preparing namespace %s: %w", m.ns.path, err)
		}
	}
	return nil
}

// prepare makes a namespace safe to receive its link: sysctls, then the wall,
// which is closed while the link is not there.
func (g *Guard) prepare(ctx context.Context, m *member) error {
	if err := m.ns.do(ctx, func() error { return quieten(m.plan.sysctls("")) }); err != nil {
		return err
	}
	keep := m.plan.port.matches
	if m.card != nil {
		keep = func(l netlink.Link) bool { return m.ns.fromCard(l, m.card.ns) }
	}
	if err := m.ns.evictBut(keep, g.home); err != nil {
		return err
	}
	return m.wallAround()
}

// wallAround closes the wall around a namespace whose link is not in it. One
// that is adopted with its link keeps the wall that it has until apply.
func (m *member) wallAround() error {
	links, err := dump(m.ns.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing links of the %s port: %w", m.plan.side, err)
	}
	for _, l := range links {
		if !isLoopback(l) && !isFallback(l) {
			return nil
		}
	}
	return m.wall.Apply(wall.Port{})
}

// owners returns the members whose link is a card: cards to be split, and the
// ports that are cards themselves.
func (g *Guard) owners() []*member {
	all := append([]*member(nil), g.cards...)
	for _, m := range g.sides {
		if m.card == nil {
			all = append(all, m)
		}
	}
	return all
}

// take fetches the card of m and configures it.
func (g *Guard) take(ctx context.Context, m *member, f found) error {
	link, err := m.ns.fetch(ctx, f, g.home)
	if err != nil {
		return err
	}
	return g.settleIn(ctx, m, link)
}

// settleIn configures the port on a link that is in its namespace.
func (g *Guard) settleIn(ctx context.Context, m *member, link identity) error {
	fresh := m.link.index != link.index
	g.learn(m, link)
	if fresh {
		if err := m.noteArrival(); err != nil {
			return err
		}
	}
	return m.apply(ctx)
}

// noteArrival remembers what is on a link before it is configured.
func (m *member) noteArrival() error {
	l, err := m.ns.nl.LinkByIndex(m.link.index)
	if err != nil {
		return fmt.Errorf("reading link %s: %w", m.link.name, err)
	}
	m.arrivedMTU = l.Attrs().MTU
	return m.remember()
}

// split makes the port a sub-interface of its card and configures it, unless it
// is a card itself.
func (g *Guard) split(ctx context.Context, m *member) error {
	if m.card == nil {
		return nil
	}
	link, err := m.lane(ctx, m.card)
	if err != nil {
		return err
	}
	return g.settleIn(ctx, m, link)
}

// locate finds all cards and reports all that is wrong with any.
func (g *Guard) locate() ([]found, error) {
	var errs []error
	var places []found
	for _, m := range g.owners() {
		f, err := find(m.plan.side, m.plan.port, g.home, m.ns)
		if err == nil {
			err = m.known(f)
		}
		errs = append(errs, err)
		places = append(places, f)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(places) == 2 && places[0].inHome && places[1].inHome &&
		places[0].link.Attrs().Index == places[1].link.Attrs().Index {
		return nil, &LinkError{Port: ExternalSide, Link: places[0].link.Attrs().Name, Err: ErrSameInterface,
			Advice: "the two ports need two interfaces; to share one by vlan, name it in both in the same way"}
	}
	return places, nil
}
