package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Up brings the two ports up as c says and verifies the result. The namespaces
// of an earlier process are adopted, also after it was killed. When anything
// fails, both ports are left down and the error says what to do; calling Up
// again later is right when the cause may go away (ErrNoInterface).
func Up(ctx context.Context, c Config) (*Guard, error) {
	if err := Check(c); err != nil {
		return nil, errors.Join(fmt.Errorf("checking the two ports: %w", err), silenceLeftOver(ctx, c))
	}
	g := newGuard(c)
	if c.Mode == Unprotected {
		g.status, g.detail = Open, "the ports are not separated: mode unprotected"
		return g, nil
	}
	if err := checkPrivileges(c.Mode); err != nil {
		return nil, err
	}
	if err := g.raise(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bringing up the two ports: %w", err), g.Close())
	}
	return g, nil
}

// silenceLeftOver sets down what an earlier process left up, when there is no
// valid configuration any more. It needs no valid configuration itself.
func silenceLeftOver(ctx context.Context, c Config) error {
	if checkPrivileges(Enforce) != nil {
		return nil // what cannot be touched was not put there by this user
	}
	var errs []error
	for _, path := range c.paths() {
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

// raise does the work of Up, in the order of the package's guarantees. Nothing
// moves before both namespaces are quiet and both links are found.
func (g *Guard) raise(ctx context.Context) (err error) {
	if g.home, err = openHome(); err != nil {
		return err
	}
	for i, side := range []Side{InternalSide, ExternalSide} {
		if g.sides[i], err = g.enter(ctx, side, g.config.paths()[i]); err != nil {
			return err
		}
	}
	if err := g.distinct(); err != nil {
		return err
	}
	links, err := g.locate()
	if err != nil {
		return err
	}
	for i, m := range g.sides {
		if m.link, err = m.ns.fetch(ctx, links[i], g.home); err != nil {
			return err
		}
		if err := m.apply(ctx); err != nil {
			return err
		}
	}
	for _, m := range g.sides {
		if err := m.awaitAddresses(ctx); err != nil {
			return err
		}
	}
	return g.confirm(ctx)
}

// enter opens one namespace and turns forwarding and the rest off in it.
func (g *Guard) enter(ctx context.Context, side Side, path string) (*member, error) {
	m := &member{plan: newPlan(side, g.config.port(side))}
	if m.plan.has6 {
		if _, err := os.Stat(filepath.Join(sysctlRoot, "ipv6")); err != nil {
			return nil, fmt.Errorf("%w: the %s port has IPv6 addresses, the kernel has no IPv6 (CONFIG_IPV6)", ErrUnsupported, side)
		}
	}
	n, err := openNamespace(ctx, side, path, true)
	if n == nil {
		return nil, err
	}
	m.ns = n
	if err == nil {
		err = n.do(ctx, func() error { return quieten(m.plan.sysctls("")) })
	}
	if err == nil {
		err = n.evict(m.plan.port, g.home)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing namespace %s: %w", path, err), n.close())
	}
	return m, nil
}

// distinct makes sure that there are three namespaces, whatever the names say.
func (g *Guard) distinct() error {
	a, b := g.sides[0].ns, g.sides[1].ns
	if a.cookie == b.cookie || a.cookie == g.home.cookie || b.cookie == g.home.cookie {
		return fmt.Errorf("%w: %s, %s and the process are not in three different ones: unmount and remove both names",
			ErrWrongNamespace, a.path, b.path)
	}
	return nil
}

// locate finds both links and reports all that is wrong with either.
func (g *Guard) locate() (links [2]found, err error) {
	var errs []error
	for i, m := range g.sides {
		links[i], err = find(m.plan.side, m.plan.port, g.home, m.ns)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return links, err
	}
	if links[0].inHome && links[1].inHome && links[0].link.Attrs().Index == links[1].link.Attrs().Index {
		return links, &LinkError{Port: ExternalSide, Link: links[0].link.Attrs().Name, Err: ErrSameInterface,
			Advice: "the two ports need two interfaces"}
	}
	return links, nil
}

// confirm verifies and, when nothing is wrong, lets the ports be used.
func (g *Guard) confirm(ctx context.Context) error {
	for i, p := range []*port{g.internal.port, g.external.port} {
		p.ns, p.index = g.sides[i].ns, g.sides[i].link.index
	}
	report, err := g.Verify(ctx)
	if err != nil {
		return err
	}
	return report.Err()
}
