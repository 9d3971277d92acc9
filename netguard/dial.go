package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is the dialling half of one side.
type port struct {
	guard    *Guard
	side     Side
	open     bool // mode unprotected: plain dials
	foreign  []claim
	servers  []netip.AddrPort
	server   atomic.Uint32 // which of servers is asked first
	resolver *net.Resolver
	ns       *namespace // set once by Up, before the guard is handed out
	index    int        // of the link in ns
}

func newPort(g *Guard, side Side, c Config) *port {
	p := &port{guard: g, side: side, open: c.Mode == Unprotected,
		foreign: c.port(side.other()).claims(), servers: c.port(side).DNS}
	p.resolver = &net.Resolver{}
	if !p.open {
		p.resolver = &net.Resolver{PreferGo: true, Dial: p.dialServer}
	}
	return p
}

// dial connects through this port.
func (p *port) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := p.connect(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("dialing %s through the %s port: %w", addr, p.side, err)
	}
	return conn, nil
}

func (p *port) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := p.guard.refusal(); err != nil {
		return nil, err
	}
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return nil, net.UnknownNetworkError(network)
	}
	if p.open {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	if err := p.checkName(addr); err != nil {
		return nil, err
	}
	d := net.Dialer{Resolver: p.resolver, ControlContext: p.adopt}
	d.SetMultipathTCP(false) // a subflow would be a socket that nobody checked
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return p.handOut(conn)
}

// checkName refuses a name when there is no server to ask.
func (p *port) checkName(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" || len(p.servers) > 0 {
		return nil
	}
	return fmt.Errorf("resolving %q: %w for the %s port: configure one, or use the address", host, ErrNoDNS, p.side)
}

// handOut checks a connected socket once more: that it is still ours, and that
// the ports were not blocked meanwhile.
func (p *port) handOut(conn net.Conn) (net.Conn, error) {
	err := p.guard.refusal()
	if err == nil {
		err = p.ns.owns(conn)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// adopt is the ControlContext of the dialer: it runs after socket and before
// bind and connect, with the address that is really dialled.
func (p *port) adopt(ctx context.Context, _, address string, c syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	if err := allow(p.side, p.foreign, target.Addr()); err != nil {
		return err
	}
	if err := p.guard.refusal(); err != nil {
		return err
	}
	var swapErr error
	if err := c.Control(func(fd uintptr) { swapErr = p.swap(ctx, int(fd)) }); err != nil {
		return err
	}
	return swapErr
}

// swap puts a socket of the port's namespace under the descriptor fd.
func (p *port) swap(ctx context.Context, fd int) error {
	want, err := describe(fd)
	if err != nil {
		return err
	}
	made, err := p.ns.socket(ctx, want, p.index)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	// The kernel replaces the descriptor in one step and closes what was there.
	return os.NewSyscallError("dup3", unix.Dup3(made, fd, unix.O_CLOEXEC))
}

// socketSpec describes a socket well enough to make another one like it.
type socketSpec struct {
	domain, kind, protocol int
	v6only                 bool
	broadcast              bool
}

// describe reads what net's socket function made and set before the hook runs.
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
	s.broadcast = get(unix.SOL_SOCKET, unix.SO_BROADCAST) != 0
	if s.domain == unix.AF_INET6 {
		s.v6only = get(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) != 0
	}
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
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, boolInt(s.v6only))
	}
	if s.broadcast {
		set(unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
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
