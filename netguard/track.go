package netguard

import (
	"context"
	"net"
	"sync"
)

// conns are the connections that a port has handed out and that are open still,
// and its dials under way, so that they can be ended when the ports are blocked.
type conns struct {
	mu   sync.Mutex // guards open
	open map[abortable]struct{}
}

// abortable can be ended without sending what it holds.
type abortable interface{ abort() }

// attend has closeAll cancel a dial, which would send its SYN again and again
// otherwise, until the dial has ended.
func (s *conns) attend(cancel context.CancelFunc) (ended func()) {
	d := &underway{cancel}
	s.add(d)
	return func() { s.forget(d) }
}

// underway is a dial.
type underway struct{ cancel context.CancelFunc }

func (d *underway) abort() { d.cancel() }

// track returns c as it is handed out: with all its methods, and taken off the
// list by Close.
func (s *conns) track(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		t := &streamConn{c, s}
		s.add(t)
		return t
	case *net.UDPConn:
		t := &datagramConn{c, s}
		s.add(t)
		return t
	}
	return c // dial makes no others
}

func (s *conns) add(t abortable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[abortable]struct{})
	}
	s.open[t] = struct{}{}
}

func (s *conns) forget(c abortable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// closeAll closes what was handed out, cancels what is dialled, and says how many
// of both there were. Whoever reads or writes one gets net.ErrClosed.
func (s *conns) closeAll() int {
	s.mu.Lock()
	all := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range all {
		c.abort()
	}
	return len(all)
}

// streamConn is a tracked TCP connection. It embeds the concrete type, so that
// CloseWrite, ReadFrom and SyscallConn are there.
type streamConn struct {
	*net.TCPConn
	conns *conns
}

// Close closes the connection.
func (c *streamConn) Close() error {
	c.conns.forget(c)
	return c.TCPConn.Close()
}

// abort resets the connection: with a linger time of zero nothing that waits in
// its send buffer leaves any more.
func (c *streamConn) abort() {
	_ = c.SetLinger(0) // it may be closed by its owner just now
	_ = c.TCPConn.Close()
}

// datagramConn is a tracked UDP socket.
type datagramConn struct {
	*net.UDPConn
	conns *conns
}

// Close closes the socket.
func (c *datagramConn) Close() error {
	c.conns.forget(c)
	return c.UDPConn.Close()
}

func (c *datagramConn) abort() { _ = c.UDPConn.Close() }
