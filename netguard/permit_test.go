package netguard

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/testdata/need"
)

// A name that was resolved is not asked for again, one that could not be used is;
// what is not on the list is not asked for at all.
func TestPermitAsksDNSOnce(t *testing.T) {
	s := newSite(t)
	addr := netip.MustParseAddr
	dns := serveDNS(t, s.cloud, cloudAddr4+":53", map[string]netip.Addr{"cloud.example.": addr(cloudAddr4), "moving.example.": addr(deviceAddr4)})
	serve(t, s.cloud, cloudAddr4+":443", "cloud")
	s.config.External.DNS = []netip.AddrPort{netip.MustParseAddrPort(cloudAddr4 + ":53")}
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}, {Host: "moving.example", Port: 443}}
	g := s.up(t)
	dns.asked()
	dial := func(addr string) error {
		c, err := g.External().DialContext(within(t, testTimeout), "tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	must(t, dial("cloud.example:443"))
	if n := dns.asked(); n != 2 { // A and AAAA
		t.Errorf("the first dial asked %d times, want 2", n)
	}
	must(t, dial("CLOUD.example.:443"))
	if n := dns.asked(); n != 0 {
		t.Errorf("the second dial asked %d times", n)
	}
	if err := dial("elsewhere.example:443"); !errors.Is(err, ErrNotAllowed) || dns.asked() != 0 {
		t.Errorf("off the list: %v, or the name was asked for", err)
	}
	if err := dial("moving.example:443"); !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), "moving.example") || !strings.Contains(err.Error(), "internal port") {
		t.Errorf("a name that leads inside: %v, want it and the reason", err)
	}
	dns.set("moving.example.", addr(cloudAddr4))
	if err := dial("moving.example:443"); err != nil {
		t.Errorf("after the name was corrected: %v", err)
	}
	must(t, g.SetAllowed([]Endpoint{{Host: "moving.example", Port: 443}}))
	if err := dial("cloud.example:443"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("taken off the list: %v", err)
	}
}

// What a name stood for is believed for a minute, and not once the name has been
// off the list.
func TestPermitsForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, addrs := Endpoint{Network: "tcp", Host: "cloud.example", Port: 443}, []netip.Addr{netip.MustParseAddr(cloudAddr4)}
		p := newPermits([]Endpoint{e})
		known := func(want bool, when string) {
			t.Helper()
			if _, ok := p.recall(e); ok != want {
				t.Errorf("%s: known is %v", when, ok)
			}
		}
		known(false, "at first")
		p.remember(e, addrs)
		time.Sleep(permitTime/2 - time.Second)
		known(true, "within a minute")
		time.Sleep(2 * time.Second)
		known(false, "after a minute")
		p.remember(e, addrs)
		p.set([]Endpoint{e})
		known(true, "with the same list")
		p.set(nil)
		p.remember(e, addrs) // by a resolution that was under way
		p.set([]Endpoint{e})
		known(false, "on the list again")
	})
}

// What is taken off the list while its name is resolved is not let pass.
func TestPermitWhileTheListChanges(t *testing.T) {
	s := newSite(t)
	dns := serveDNS(t, s.cloud, cloudAddr4+":53", map[string]netip.Addr{"cloud.example.": netip.MustParseAddr(cloudAddr4)})
	serve(t, s.cloud, cloudAddr4+":443", "cloud")
	s.config.External.DNS = []netip.AddrPort{netip.MustParseAddrPort(cloudAddr4 + ":53")}
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}}
	g := s.up(t)
	dns.tells(func(string) { _ = g.SetAllowed(nil) })
	if found, err := g.Permit(within(t, testTimeout), s.config.Allow[0]); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("permitted %v, %v; want ErrNotAllowed", found, err)
	}
	if wildDial(t, g.sides[1].ns, cloudAddr4+":443") == nil {
		t.Error("the wall lets it pass")
	}
}

// wildDial dials with a socket of the namespace that the guard knows nothing of.
func wildDial(t *testing.T, n *namespace, address string) error {
	t.Helper()
	var c net.Conn
	err := n.do(t.Context(), func() (err error) {
		c, err = (&net.Dialer{Timeout: 300 * time.Millisecond}).Dial("tcp", address)
		return err
	})
	if err == nil {
		_ = c.Close()
	}
	return err
}

// The kernel's wall lets pass what Permit returned, and nothing else, whoever
// dials: a socket of the namespace that Go never looked at included.
func TestPermitOpensTheWall(t *testing.T) {
	s := newSite(t)
	serve(t, s.cloud, cloudAddr4+":443", "cloud")
	serve(t, s.cloud, cloudAddr4+":444", "other")
	g := s.up(t)
	wild := func(port string) error { return wildDial(t, g.sides[1].ns, cloudAddr4+":"+port) }
	if wild("443") == nil {
		t.Error("the wall let pass what was not permitted yet")
	}
	found, err := g.Permit(within(t, testTimeout), Endpoint{Host: cloudAddr4, Port: 443})
	if err != nil || len(found) != 1 || found[0] != netip.MustParseAddrPort(cloudAddr4+":443") {
		t.Fatalf("permitted %v, %v", found, err)
	}
	if err := wild("443"); err != nil {
		t.Errorf("what was permitted: %v", err)
	}
	if wild("444") == nil {
		t.Error("the wall let another port pass")
	}
	// A table that somebody emptied is restored, and a dial opens it again.
	c, err := g.External().DialContext(within(t, testTimeout), "tcp", cloudAddr4+":443")
	must(t, err)
	if got := readAll(t, c); got != "cloud" {
		t.Errorf("read %q", got)
	}
}

func TestPermitBlocked(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	must(t, g.Close())
	if _, err := g.Permit(t.Context(), Endpoint{Host: cloudAddr4, Port: 443}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if err := g.SetAllowed(nil); err != nil {
		t.Error(err)
	}
}

// A half that asks without end keeps the supervisor busy with a bounded number
// of resolutions, and each ends with its context.
func TestPermitIsBounded(t *testing.T) {
	s := newSite(t)
	s.config.External.DNS = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.77:53")} // nobody is there
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}}
	g := s.up(t)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 200)
	for range cap(errs) {
		go func() {
			_, err := g.Permit(ctx, s.config.Allow[0])
			errs <- err
		}()
	}
	waitFor(t, func() bool { return len(g.permits.slots) == permitsAtOnce })
	began := time.Now()
	cancel()
	for range cap(errs) {
		if err := <-errs; err == nil {
			t.Error("permitted what has no address")
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("cancelling took %v", took)
	}
}

// What was handed out is closed when the ports are blocked, and is forgotten
// when its owner closes it.
func TestConnsAreTracked(t *testing.T) {
	s := newSite(t)
	device, cloud := holdOpen(t, s.device, deviceAddr4+":830"), holdOpen(t, s.cloud, cloudAddr4+":443")
	g := s.up(t)
	dial := func(d func(context.Context, string, string) (net.Conn, error), addr string) net.Conn {
		c, err := d(within(t, testTimeout), "tcp", addr)
		must(t, err)
		return c
	}
	for range 3 {
		must(t, dial(g.Internal().DialContext, device).Close())
	}
	if n := g.internal.port.conns.count(); n != 0 {
		t.Errorf("%d connections are remembered after Close", n)
	}
	a, b := dial(g.Internal().DialContext, device), dial(g.External().DialContext, cloud)
	if _, ok := a.(interface{ CloseWrite() error }); !ok {
		t.Error("CloseWrite is lost")
	}
	if n := g.internal.port.conns.closeAll() + g.external.port.conns.closeAll(); n != 2 {
		t.Errorf("%d connections were closed, want 2", n)
	}
	for _, c := range []net.Conn{a, b} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading: %v, want net.ErrClosed", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing again: %v", err)
		}
	}
}

// The half gets its views from the supervisor, which it trusts; that it cannot
// be brought down by one that makes no sense is for the next mistake.
func FuzzView(f *testing.F) {
	v := View{Serial: 1, Config: good(), State: State{Status: Open}}
	b, err := json.Marshal(v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Config":{"DevicePorts":["1-0"],"Allow":[{"Host":""}]},"Cookies":[1]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v View
		if json.Unmarshal(b, &v) != nil {
			return
		}
		for _, side := range []Side{InternalSide, ExternalSide} {
			o := newOutlet(side, v.Config, v.member(side, nil))
			_ = o.allow(netip.MustParseAddr("192.0.2.1"))
			_ = o.interleave(addrPorts("192.0.2.1:1", "[::1]:1"))
		}
	})
}

// BenchmarkDial is a dial through a port beside a plain one in the same
// namespace, to a listener at the other end of a veth.
func BenchmarkDial(b *testing.B) {
	if os.Getenv(envRole) == "" {
		need.Missing(b, "namespaces of its own")
	}
	s := newSite(b)
	address := sink(b, s.device, deviceAddr4+":830")
	cloud := sink(b, s.cloud, cloudAddr4+":443")
	g, err := Up(within(b, testTimeout), s.config)
	must(b, err)
	defer g.Close()
	run := func(name string, dial func() (net.Conn, error)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c, err := dial()
				must(b, err)
				_ = c.(interface{ SetLinger(int) error }).SetLinger(0) // no TIME-WAIT
				_ = c.Close()
			}
		})
	}
	run("plain", func() (c net.Conn, err error) {
		err = g.sides[0].ns.do(b.Context(), func() (err error) {
			c, err = (&net.Dialer{}).DialContext(b.Context(), "tcp", address)
			return err
		})
		return c, err
	})
	run("internal", func() (net.Conn, error) { return g.Internal().DialContext(b.Context(), "tcp", address) })
	run("external", func() (net.Conn, error) { return g.External().DialContext(b.Context(), "tcp", cloud) })
}

// sink accepts and closes.
func sink(b *testing.B, n *namespace, address string) string {
	b.Helper()
	var l net.Listener
	must(b, n.do(b.Context(), func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	}))
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return address
}
