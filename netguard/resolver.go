package netguard

import (
	"context"
	"fmt"
	"net"
)

// dialServer is the Dial of the port's resolver. The address that comes from
// resolv.conf is ignored: only the configured servers are asked. Which one is
// asked first moves on when a server does not answer, so that the resolver's own
// second attempt reaches the next.
func (p *port) dialServer(ctx context.Context, network, _ string) (net.Conn, error) {
	if len(p.servers) == 0 {
		return nil, fmt.Errorf("%w for the %s port", ErrNoDNS, p.side)
	}
	turn := p.server.Load()
	server := p.servers[int(turn)%len(p.servers)]
	conn, err := p.dial(ctx, network, server.String())
	if err != nil {
		p.next(turn)
		return nil, err
	}
	failed := func() { p.next(turn) }
	switch c := conn.(type) {
	case *net.UDPConn:
		return &datagramServer{c, failed}, nil
	case *net.TCPConn:
		return &streamServer{c, failed}, nil
	}
	return conn, nil
}

// next moves on from the server of that turn, once however many queries fail.
func (p *port) next(turn uint32) { p.server.CompareAndSwap(turn, turn+1) }

// datagramServer is a connection to a DNS server. It embeds the concrete type
// because net.Resolver frames messages by whether it is a net.PacketConn.
type datagramServer struct {
	*net.UDPConn
	failed func()
}

// Read reads one message and notes when none came.
func (c *datagramServer) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err != nil {
		c.failed()
	}
	return n, err
}

type streamServer struct {
	*net.TCPConn
	failed func()
}

// Read reads from the stream and notes when that fails.
func (c *streamServer) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err != nil {
		c.failed()
	}
	return n, err
}
