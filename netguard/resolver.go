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
// A name with a dot that stands in the machine's hosts file has the addresses
// given there, because net.Resolver reads that first; they are judged like those
// of an answer.
func (p *port) resolve(ctx context.Context, out outlet, host string, family byte) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if len(out.servers) == 0 {
		return nil, fmt.Errorf("resolving %q: %w for the %s port: configure one, or use the address", host, ErrNoDNS, p.side)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found, err := p.ask(ctx, out, family, host)
	if err != nil || !slices.ContainsFunc(found, netip.Addr.Is4In6) {
		return found, err
	}
	// Addresses of the hosts file come in the mapped form too. What an answer of
	// type A (or that file) has besides is of IPv4 in truth.
	if plain, err := p.ask(ctx, out, '4', host); err == nil {
		for i, a := range found {
			if slices.Contains(plain, a.Unmap()) {
				found[i] = a.Unmap()
			}
		}
	}
	return found, nil
}

// ask looks host up until a server has said something about it, or each has
// failed. How often net.Resolver tries in one lookup is for the machine's
// resolv.conf to say; the server that its error names is from there, too, and was
// not asked.
func (p *port) ask(ctx context.Context, out outlet, family byte, host string) ([]netip.Addr, error) {
	first := p.server.Load()
	for {
		before := p.server.Load()
		found, err := p.lookup(ctx, family, host)
		now := p.server.Load()
		dns, failed := errors.AsType[*net.DNSError](err)
		if failed {
			dns.Name, dns.Server = host, out.serverOf(before).String()
		}
		if err == nil || failed && dns.IsNotFound || ctx.Err() != nil || now == before || now-first >= uint32(len(out.servers)) {
			return found, err
		}
	}
}

// serverOf returns the name server that is asked first on that turn.
func (o outlet) serverOf(turn uint32) netip.AddrPort { return o.servers[turn%uint32(len(o.servers))] }

func (p *port) lookup(ctx context.Context, family byte, host string) ([]netip.Addr, error) {
	network := "ip"
	if family != 0 {
		network += string(family)
	}
	found, err := p.resolver.LookupNetIP(ctx, network, rooted(host))
	if family == '4' {
		for i, a := range found {
			found[i] = a.Unmap()
		}
	}
	return found, err
}

// rooted keeps the search list of the machine's resolv.conf away from a name: it
// belongs to neither port, and would make another name of the one that is allowed.
func rooted(host string) string { return strings.TrimSuffix(host, ".") + "." }

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
	server := out.serverOf(turn)
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

// Read reads one message and notes when none came, or none that helps: net.Resolver
// tries again then.
func (c *datagramServer) Read(b []byte) (int, error) {
	n, err := c.datagramConn.Read(b)
	if err != nil || lame(b[:n]) {
		c.failed()
	}
	return n, err
}

// lame reports a message that says neither what a name stands for nor that there
// is none (RFC 1035 section 4.1.1): a server that cannot or will not answer.
func lame(message []byte) bool {
	const rcode, noError, nameError = 3, 0, 3
	if len(message) <= rcode {
		return true
	}
	said := message[rcode] & 0xf
	return said != noError && said != nameError
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
