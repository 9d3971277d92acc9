package device

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// tunnel is a channel of a bastion that carries the connection to the next hop
// (direct-tcpip, RFC 4254 §7.2). It has no addresses and no deadlines. Close ends
// at once a Read and a Write that are under way, whether the bastion answers or
// not: what waits for the bastion is on the account of its connection.
type tunnel struct {
	channel ssh.Channel
	link    *link
	in      *io.PipeReader
	gone    <-chan struct{} // closed when the bastion has closed the channel
	closed  chan struct{}
	once    sync.Once
}

func newTunnel(l *link, ch ssh.Channel, gone <-chan struct{}) *tunnel {
	r, w := io.Pipe()
	t := &tunnel{channel: ch, link: l, in: r, gone: gone, closed: make(chan struct{})}
	l.dialer.pool.crew.spawn(func() {
		_, err := io.CopyBuffer(w, ch, make([]byte, tunnelReadSize))
		w.CloseWithError(err)
	})
	return t
}

// Read implements io.Reader.
func (t *tunnel) Read(p []byte) (int, error) { return t.in.Read(p) }

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (int, error) {
	select {
	case <-t.closed:
		return 0, net.ErrClosed
	default:
	}
	type result struct {
		n   int
		err error
	}
	done, own := make(chan result, 1), bytes.Clone(p) // the caller has p back before a Write that is left ends
	t.link.dialer.pool.crew.spawn(func() {
		n, err := t.channel.Write(own)
		done <- result{n, err}
	})
	select {
	case r := <-done:
		return r.n, r.err
	case <-t.closed:
		return 0, net.ErrClosed
	}
}

// hangTime is how long a bastion may take to close a tunnel before no new
// device is led through that connection.
const hangTime = 10 * time.Second

// Close implements io.Closer.
func (t *tunnel) Close() error {
	t.once.Do(func() {
		close(t.closed)
		t.in.Close()
		t.link.dialer.pool.crew.spawn(func() {
			hung := time.AfterFunc(hangTime, t.link.retire)
			defer hung.Stop()
			t.channel.Close()
			<-t.gone
		})
	})
	return nil
}

// LocalAddr implements net.Conn.
func (*tunnel) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// RemoteAddr implements net.Conn.
func (*tunnel) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

// SetDeadline implements net.Conn.
func (*tunnel) SetDeadline(time.Time) error { return errors.ErrUnsupported }

// SetReadDeadline implements net.Conn.
func (*tunnel) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// SetWriteDeadline implements net.Conn.
func (*tunnel) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

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
	done, gone := make(chan result), make(chan struct{})
	l.dialer.pool.crew.spawn(func() {
		defer l.vacate()
		defer close(gone)
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
			return newTunnel(l, r.ch, gone), nil
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
