package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// resolveTime bounds the resolution of a name: two servers that do not answer
// and a third that does, at the five seconds that net.Resolver gives each.
const resolveTime = 12 * time.Second

// resolve returns the addresses of host, which may be one itself. What is of
// IPv4 is told as such; an IPv4-mapped address stays one, so that it is refused.
func (p *port) resolve(ctx context.Context, out outlet, host string, family byte) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if len(out.servers) == 0 {
		return nil, fmt.Errorf("resolving %q: %w for the %s port: configure one, or use the address", host, ErrNoDNS, p.side)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found, err := p.lookup(ctx, "ip", family, host)
	if err != nil || !slices.ContainsFunc(found, netip.Addr.Is4In6) {
		return found, err
	}
	// Addresses of the hosts file come in the mapped form too. What an answer of
	// type A (or that file) has besides is of IPv4 in truth.
	if plain, err := p.lookup(ctx, "ip", '4', host); err == nil {
		for i, a := range found {
			if slices.Contains(plain, a.Unmap()) {
				found[i] = a.Unmap()
			}
		}
	}
	return found, nil
}

func (p *port) lookup(ctx context.Context, network string, family byte, host string) ([]netip.Addr, error) {
	if family != 0 {
		network += string(family)
	}
	found, err := p.resolver.LookupNetIP(ctx, network, rooted(host))
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		dns.Name = host
	}
	if family == '4' {
		for i, a := range found {
			found[i] = a.Unmap()
		}
	}
	return found, err
}

// rooted keeps the search list of the machine's resolv.conf away from a name
// that has a domain: it belongs to neither port.
func rooted(host string) string {
	if !strings.Contains(host, ".") || strings.HasSuffix(host, ".") {
		return host
	}
	return host + "."
}

// dialServer is the Dial of the port's resolver. The address that comes from
// resolv.conf is ignored: only the configured servers are asked. Which one is
// asked first moves on when a server does not answer, so that the resolver's own
// second attempt reaches the next.
func (p *port) dialServer(ctx context.Context, network, _ string) (net.Conn, error) {
	out, err := p.gate.outlet(p.side)
	if err != nil {
		return nil, err
	}
	if len(out.servers) == 0 {
		return nil, fmt.Errorf("%w for the %s port", ErrNoDNS, p.side)
	}
	turn := p.server.Load()
	server := out.servers[int(turn)%len(out.servers)]
	if err := out.allow(server.Addr()); err != nil {
		return nil, err
	}
	conn, err := p.reach(ctx, out, network, server)
	if err != nil {
		p.next(turn)
		return nil, err
	}
	failed := func() { p.next(turn) }
	switch c := conn.(type) {
	case *datagramConn:
		return &datagramServer{c, failed}, nil
	case *streamConn:
		return &streamServer{c, failed}, nil
	}
	return conn, nil
}

// next moves on from the server of that turn, once however many queries fail.
func (p *port) next(turn uint32) { p.server.CompareAndSwap(turn, turn+1) }

// datagramServer is a connection to a DNS server. It embeds the concrete type
// because net.Resolver frames messages by whether it is a net.PacketConn.
type datagramServer struct {
	*datagramConn
	failed func()
}

// Read reads one message and notes when none came.
func (c *datagramServer) Read(b []byte) (int, error) {
	n, err := c.datagramConn.Read(b)
	if err != nil {
		c.failed()
	}
	return n, err
}

type streamServer struct {
	*streamConn
	failed func()
}

// Read reads from the stream and notes when that fails.
func (c *streamServer) Read(b []byte) (int, error) {
	n, err := c.streamConn.Read(b)
	if err != nil {
		c.failed()
	}
	return n, err
}
