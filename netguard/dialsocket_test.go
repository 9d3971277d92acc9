package netguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// bentGate changes what a port dials by.
type bentGate struct {
	gate
	bend func(*outlet)
}

func (b bentGate) outlet(side Side) (outlet, error) {
	o, err := b.gate.outlet(side)
	b.bend(&o)
	return o, err
}

// A socket that is not of the port's namespace is never connected.
func TestDialWrongNamespace(t *testing.T) {
	s := newSite(t)
	address := serve(t, s.device, deviceAddr4+":830", "")
	g := s.up(t)
	other := *g.sides[0].ns
	other.calls = g.sides[1].ns.calls // sockets come from the wrong thread
	g.internal.port.gate = bentGate{g, func(o *outlet) { o.ns = &other }}
	if _, err := g.Internal().DialContext(within(t, testTimeout), "tcp", address); !errors.Is(err, ErrWrongNamespace) {
		t.Errorf("error is %v, want ErrWrongNamespace", err)
	}
}

// The hook lets nothing be connected but the address that was allowed, and that
// only while the ports are open.
func TestAdoptRefuses(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	out, err := g.outlet(ExternalSide)
	must(t, err)
	to := netip.MustParseAddrPort(cloudAddr4 + ":443")
	for _, other := range []string{cloudAddr4 + ":444", "192.0.2.9:443", "[::ffff:" + cloudAddr4 + "]:443", "cloud.example:443", ""} {
		if err := g.external.port.adopt(t.Context(), out, to, other, nil); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%q instead of %s: %v, want ErrNotAllowed", other, to, err)
		}
	}
	must(t, g.Close())
	if err := g.external.port.adopt(t.Context(), out, to, to.String(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// An IPv6 socket of a port sends no IPv4, and none sends broadcasts.
func TestSocketsAreNarrow(t *testing.T) {
	s := newSite(t)
	must(t, s.cloud.do(t.Context(), func() error {
		link, err := net.InterfaceByName("eth0")
		must(t, err)
		six, err := socketSpec{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}.make(link.Index)
		must(t, err)
		defer unix.Close(six)
		mapped := netip.MustParseAddr("::ffff:192.0.2.2").As16()
		if err := unix.Connect(six, &unix.SockaddrInet6{Port: 443, Addr: mapped}); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("connecting to a mapped address: %v, want ENETUNREACH", err)
		}
		four, err := socketSpec{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP}.make(link.Index)
		must(t, err)
		defer unix.Close(four)
		if err := unix.Connect(four, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{192, 0, 2, 255}}); !errors.Is(err, unix.EACCES) {
			t.Errorf("connecting to a broadcast address: %v, want EACCES", err)
		}
		return nil
	}))
}

// shutGate is one whose ports are blocked.
type shutGate struct{ gate }

func (shutGate) refusal() error { return ErrBlocked }

// A connection that was made while the ports were being blocked is closed.
func TestHandOutBlocked(t *testing.T) {
	s := newSite(t)
	address := serve(t, s.cloud, cloudAddr4+":443", "")
	g := s.up(t)
	c, err := g.External().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	out, err := g.outlet(ExternalSide)
	must(t, err)
	p := &port{gate: shutGate{g}, side: ExternalSide}
	if _, err := p.handOut(out, c.(*streamConn).TCPConn); !errors.Is(err, ErrBlocked) || p.conns.count() != 0 {
		t.Errorf("error is %v with %d connections left, want ErrBlocked and none", err, p.conns.count())
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open still: %v", err)
	}
}

// A connection that is not of the port's namespace is never handed out.
func TestHandOutWrongNamespace(t *testing.T) {
	s := newSite(t)
	address := serve(t, s.cloud, cloudAddr4+":443", "")
	g := s.up(t)
	c, err := g.External().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	out, err := g.outlet(InternalSide)
	must(t, err)
	if _, err := g.internal.port.handOut(out, c); !errors.Is(err, ErrWrongNamespace) {
		t.Errorf("error is %v, want ErrWrongNamespace", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open still: %v", err)
	}
}

// The network of a dial chooses the family.
func TestDialFamily(t *testing.T) {
	s := newSite(t)
	address := serve(t, s.cloud, cloudAddr4+":443", "")
	g := s.up(t)
	for network, reaches := range map[string]bool{"tcp": true, "tcp4": true, "tcp6": false} {
		c, err := g.External().DialContext(within(t, testTimeout), network, address)
		if (err == nil) != reaches {
			t.Errorf("%s: %v", network, err)
		}
		if err == nil {
			_ = c.Close()
		} else if ae, ok := errors.AsType[*net.AddrError](err); !ok || ae.Addr != cloudAddr4 {
			t.Errorf("%s: %v, want an AddrError", network, err)
		}
	}
}
