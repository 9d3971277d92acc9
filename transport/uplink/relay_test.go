package uplink

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is a TCP relay that can cut.
type proxy struct {
	addr  string
	limit atomic.Int64 // bytes towards the broker, of the next connection; 0: none
	dials atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.dials.Add(1)
			wg.Go(func() { p.relay(c, to) })
		}
	})
	t.Cleanup(func() { l.Close(); p.cut(); wg.Wait() })
	return p
}

func (p *proxy) relay(a net.Conn, to string) {
	b, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		a.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, a, b)
	p.mu.Unlock()
	var up io.Reader = a
	if n := p.limit.Swap(0); n > 0 {
		up = io.LimitReader(a, n)
	}
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(b, up); a.Close(); b.Close() })
	wg.Go(func() { io.Copy(a, b); a.Close(); b.Close() })
	wg.Wait()
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
