package device

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// tunnel is a channel of a bastion that carries the connection to the next hop
// (direct-tcpip, RFC 4254 §7.2). It has no addresses and no deadlines.
type tunnel struct{ ssh.Channel }

// LocalAddr implements net.Conn.
func (tunnel) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// RemoteAddr implements net.Conn.
func (tunnel) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// SetDeadline implements net.Conn.
func (tunnel) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline implements net.Conn.
func (tunnel) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline implements net.Conn.
func (tunnel) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// errFull is a wait that was too long.
var errFull = errors.New("all the connections that may go through the bastion at a time are in use")

// slot waits for a place among the tunnels of a bastion, as long as ctx lasts:
// how long that may be is for the caller, whose devices take the places.
func (l *link) slot(ctx context.Context) error {
	for {
		p := &l.dialer.pool
		p.mu.Lock()
		most := l.most
		if most <= 0 {
			most = defaultSessions
		}
		if l.busy < most {
			l.busy++
			p.mu.Unlock()
			return nil
		}
		free, unused := l.free, l.unusedChild()
		p.mu.Unlock()
		if unused != nil {
			unused.kill(errUnused) // nobody joins it: it is removed
		}
		select {
		case <-free:
		case <-l.dead:
			return l.end()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return context.Cause(ctx)
			}
			return errFull
		}
	}
}

// unusedChild takes out of the pool a bastion behind this one that is kept for
// later only. mu is held.
func (l *link) unusedChild() *link {
	for _, links := range l.dialer.pool.links {
		for _, o := range links {
			if o.isReady() && o.err == nil && o.parent == l && o.refs == 0 {
				l.dialer.pool.remove(o)
				return o
			}
		}
	}
	return nil
}

func (l *link) vacate() {
	p := &l.dialer.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	l.busy--
	close(l.free)
	l.free = make(chan struct{})
}

// forward asks the bastion for a connection to the next hop.
func (l *link) forward(ctx context.Context, limit time.Duration, host string, port uint16) (net.Conn, *Error) {
	if err := l.slot(ctx); err != nil {
		return nil, l.forwardError(ctx, err)
	}
	timed, cancel := context.WithTimeoutCause(ctx, limit, errTime)
	defer cancel()
	type result struct {
		ch  ssh.Channel
		err error
	}
	done := make(chan result)
	l.dialer.pool.crew.spawn(func() {
		defer l.vacate()
		ch, requests, err := l.client.OpenChannel("direct-tcpip", forwarding(host, port))
		select {
		case done <- result{ch, err}:
		case <-timed.Done():
			if err == nil {
				ch.Close()
			}
		}
		if err == nil {
			ssh.DiscardRequests(requests) // ends with the channel
		}
	})
	select {
	case r := <-done:
		if r.err == nil {
			return tunnel{r.ch}, nil
		}
		return nil, l.forwardError(ctx, r.err)
	case <-timed.Done():
		return nil, l.forwardError(ctx, context.Cause(timed))
	}
}

func forwarding(host string, port uint16) []byte {
	return ssh.Marshal(struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}{host, uint32(port), "0.0.0.0", 0})
}

// forwardError tells who is at fault: the hop, or a bastion before it.
func (l *link) forwardError(ctx context.Context, err error) *Error {
	e := &Error{Phase: PhaseForward, Kind: KindConnect, Err: err}
	if open, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
		e.Err = foreign{err}
		kind, ours := forwardKind(open)
		if e.Kind = kind; ours {
			e.blame(l.depth)
		}
		return e
	}
	switch {
	case errors.Is(err, errFull):
		e.Kind = KindThrottled
		return e.blame(l.depth)
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = KindCancelled
		return e
	case ctx.Err() != nil:
		return e
	}
	return l.guilty(ctx, PhaseForward, e)
}

// hostPort writes an address as a step tells it.
func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
