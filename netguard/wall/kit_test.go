package wall

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// noAnswer is how long a test waits for what must not come. On a veth pair an
// answer takes microseconds.
const noAnswer = 250 * time.Millisecond

// echo answers TCP and UDP on that port of each address.
func (h *host) echo(port string, addrs ...string) {
	for _, a := range addrs {
		h.echoOn(net.JoinHostPort(a, port))
	}
}

func (h *host) echoOn(addr string) {
	h.t.Helper()
	var l net.Listener
	var u net.PacketConn
	must(h.t, h.do(func() (err error) {
		if l, err = net.Listen("tcp", addr); err == nil {
			u, err = net.ListenPacket("udp", addr)
		}
		return err
	}))
	done := make(chan struct{}, 2)
	go func() { defer func() { done <- struct{}{} }(); serveTCP(l) }()
	go func() { defer func() { done <- struct{}{} }(); serveUDP(u) }()
	h.t.Cleanup(func() { l.Close(); u.Close(); <-done; <-done })
}

func serveTCP(l net.Listener) {
	var conns []net.Conn
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		conns = append(conns, c)
		go func() { _, _ = io.Copy(c, c) }() // ends with the connection
	}
	for _, c := range conns {
		c.Close()
	}
}

func serveUDP(u net.PacketConn) {
	b := make([]byte, 2048)
	for {
		n, from, err := u.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = u.WriteTo(b[:n], from) // the asker asks again
	}
}

// dial connects from the namespace.
func (h *host) dial(network, addr string, wait time.Duration) (net.Conn, error) {
	var c net.Conn
	err := h.do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		// The socket is made on this thread, which blocks here until it is connected.
		fd, err := dialHere(ctx, network, addr)
		c = fd
		return err
	})
	if err == nil {
		h.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func dialHere(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// said sends a word over the connection and waits for its echo.
func said(c net.Conn, wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, "word"); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

// reaches connects and exchanges a word.
func (h *host) reaches(network, addr string, wait time.Duration) error {
	c, err := h.dial(network, addr, wait)
	if err != nil {
		return err
	}
	return said(c, wait)
}

type probe struct {
	network, addr string
	open          bool
}

// judge tries each place, first without walls as a control.
func judge(t *testing.T, h *host, w *Wall, p Port, probes []probe) {
	t.Helper()
	for _, x := range probes {
		if err := h.reaches(x.network, x.addr, 5*time.Second); err != nil {
			t.Fatalf("without walls %s %s: %v", x.network, x.addr, err)
		}
	}
	must(t, w.Apply(p))
	for _, x := range probes {
		wait := noAnswer
		if x.open {
			wait = 5 * time.Second
		}
		if err := h.reaches(x.network, x.addr, wait); (err == nil) != x.open {
			t.Errorf("%s %s: %v, want open %t", x.network, x.addr, err, x.open)
		}
	}
}
