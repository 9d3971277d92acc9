package netguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTime bounds a dial whose context has no deadline.
const dialTime = time.Minute

// port is the dialling half of one side.
type port struct {
	gate     gate
	side     Side
	server   atomic.Uint32 // which of the name servers is asked first
	resolver *net.Resolver
	conns    conns
}

func newPort(g gate, side Side, mode Mode) *port {
	p := &port{gate: g, side: side, resolver: &net.Resolver{}}
	if mode != Unprotected {
		p.resolver = &net.Resolver{PreferGo: true, Dial: p.dialServer}
	}
	return p
}

// dial connects through this port.
func (p *port) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	defer p.conns.attend(cancel)()
	conn, err := p.connect(limited, network, addr)
	if err != nil && ctx.Err() == nil {
		err = cmp.Or(p.gate.refusal(), err) // what cancelled it
	}
	if err != nil {
		return nil, fmt.Errorf("dialing %s through the %s port: %w", addr, p.side, err)
	}
	return conn, nil
}

func (p *port) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	out, err := p.gate.outlet(p.side)
	if err != nil {
		return nil, err
	}
	e, family, err := endpointOf(network, addr)
	if err != nil {
		return nil, err
	}
	if out.open {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return p.handOut(out, conn)
	}
	found, err := p.locate(ctx, out, e, family)
	if err != nil {
		return nil, err
	}
	return race(ctx, out.interleave(found), func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return p.reach(ctx, out, e.Network, to)
	})
}

// locate returns where e is, as far as this port may dial it.
func (p *port) locate(ctx context.Context, out outlet, e Endpoint, family byte) ([]netip.AddrPort, error) {
	if p.side == ExternalSide {
		found, err := p.gate.permit(ctx, e)
		if err != nil {
			return nil, err
		}
		// The half trusts its own view of the internal side more than an answer.
		return ofFamily(e, family, found, out.allow)
	}
	if err := out.allowDeviceName(e); err != nil {
		return nil, err
	}
	addrs, err := p.resolve(ctx, out, e.Host, family)
	if err != nil {
		return nil, err
	}
	return ofFamily(e, family, withPort(addrs, e.Port), func(a netip.Addr) error { return out.allowDevice(e, a) })
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	all := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		all[i] = netip.AddrPortFrom(a, port)
	}
	return all
}

// ofFamily keeps what the network of the dial can reach and the rule lets pass.
func ofFamily(e Endpoint, family byte, found []netip.AddrPort, rule func(netip.Addr) error) ([]netip.AddrPort, error) {
	var addrs []netip.Addr
	for _, a := range found {
		if family == 0 || (family == '4') == a.Addr().Is4() {
			addrs = append(addrs, a.Addr())
		}
	}
	if len(addrs) == 0 {
		return nil, &net.AddrError{Err: "no address of that family", Addr: e.Host}
	}
	kept, err := usable(e.Host, addrs, rule)
	return withPort(kept, e.Port), err
}

// reach connects to one address that was found to be allowed.
func (p *port) reach(ctx context.Context, out outlet, network string, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{ControlContext: func(ctx context.Context, _, address string, c syscall.RawConn) error {
		return p.adopt(ctx, out, to, address, c)
	}}
	d.SetMultipathTCP(false) // a subflow would be a socket that nobody checked
	conn, err := d.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	return p.handOut(out, conn)
}

// handOut checks a connected socket once more: that it is still ours, and that
// the ports were not blocked meanwhile. It is tracked first, so that a block
// that comes after the check finds it.
func (p *port) handOut(out outlet, conn net.Conn) (net.Conn, error) {
	tracked := p.conns.track(conn)
	err := p.gate.refusal()
	if err == nil && !out.open {
		err = out.ns.owns(conn)
	}
	if err != nil {
		return nil, errors.Join(err, tracked.Close())
	}
	return tracked, nil
}

// adopt is the ControlContext of the dialer: it runs after socket and before
// bind and connect, with the address that is really dialled.
func (p *port) adopt(ctx context.Context, out outlet, to netip.AddrPort, address string, c syscall.RawConn) error {
	if target, err := netip.ParseAddrPort(address); err != nil || target != to {
		return fmt.Errorf("%w: %s is dialled instead of %s", ErrNotAllowed, address, to)
	}
	if err := p.gate.refusal(); err != nil {
		return err
	}
	var swapErr error
	if err := c.Control(func(fd uintptr) { swapErr = out.swap(ctx, int(fd)) }); err != nil {
		return err
	}
	return swapErr
}

// swap puts a socket of the port's namespace under the descriptor fd.
func (o outlet) swap(ctx context.Context, fd int) error {
	want, err := describe(fd)
	if err != nil {
		return err
	}
	made, err := o.ns.socket(ctx, want, o.index)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	// The kernel replaces the descriptor in one step and closes what was there.
	return os.NewSyscallError("dup3", unix.Dup3(made, fd, unix.O_CLOEXEC))
}

// socketSpec describes a socket well enough to make another one like it. What
// else net sets before the hook runs is left out: SO_BROADCAST, because nothing is
// sent to broadcast addresses, and IPV6_V6ONLY, which is on always.
type socketSpec struct{ domain, kind, protocol int }

// describe reads what net's socket function made.
func describe(fd int) (socketSpec, error) {
	var s socketSpec
	var err error
	get := func(level, name int) int {
		v, e := unix.GetsockoptInt(fd, level, name)
		if e != nil && err == nil {
			err = os.NewSyscallError("getsockopt", e)
		}
		return v
	}
	s.domain = get(unix.SOL_SOCKET, unix.SO_DOMAIN)
	s.kind = get(unix.SOL_SOCKET, unix.SO_TYPE)
	s.protocol = get(unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return s, err
}

// make creates the socket in the namespace of the calling thread and binds it
// to the link with that index, so that nothing leaves by another one.
func (s socketSpec) make(index int) (fd int, err error) {
	fd, err = unix.Socket(s.domain, s.kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, s.protocol)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	set := func(level, name, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
		}
	}
	if s.domain == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) // no IPv4 by mapped addresses
	}
	set(unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index)
	return fd, err
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
