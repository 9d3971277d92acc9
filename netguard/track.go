package netguard

import (
	"net"
	"sync"
)

// conns are the connections that a port has handed out and that are open still,
// so that they can be closed when the ports are blocked.
type conns struct {
	mu   sync.Mutex // guards open
	open map[abortable]struct{}
}

// abortable is a connection that can be closed without sending what it holds.
type abortable interface {
	net.Conn
	abort()
}

// track returns c as it is handed out: with all its methods, and taken off the
// list by Close.
func (s *conns) track(c net.Conn) net.Conn {
	var t abortable
	switch c := c.(type) {
	case *net.TCPConn:
		t = &streamConn{c, s}
	case *net.UDPConn:
		t = &datagramConn{c, s}
	default:
		return c // dial makes no others
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[abortable]struct{})
	}
	s.open[t] = struct{}{}
	return t
}

func (s *conns) forget(c abortable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// closeAll closes what was handed out and says how many connections that were.
// Whoever reads or writes one gets net.ErrClosed.
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

// count returns how many connections are open.
func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
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
