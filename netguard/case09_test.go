package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// names answers questions for A and AAAA at port 53 of a host.
func names(t *testing.T, h *netguardtest.Host, table map[string][]string) {
	t.Helper()
	c, err := h.ListenPacket(":53")
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if reply, err := named(b[:n], table); err == nil {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
}

func named(query []byte, table map[string][]string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	addrs, ok := table[q.Name.String()]
	if !ok {
		r.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range addrs {
		a := netip.MustParseAddr(text)
		head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return r.Pack()
}

// withNames gives both ports a DNS server at the far host, which knows the table.
func (s *scene) withNames(t *testing.T, external, internal map[string][]string) {
	t.Helper()
	for side, table := range map[Side]map[string][]string{ExternalSide: external, InternalSide: internal} {
		w := s.wire(side)
		names(t, w.Far, table)
		server := []netip.AddrPort{netip.AddrPortFrom(w.FarAddr(false), 53)}
		if side == InternalSide {
			s.config.Internal.DNS = server
		} else {
			s.config.External.DNS = server
		}
	}
}

// dialTest is one of the two ports with a name to dial and the cookie that its
// connections must have.
type dialTest struct {
	side    Side
	dial    func(context.Context, string, string) (net.Conn, error)
	address string
	cookie  uint64
}

// 500 dials at once by names of both families, under garbage collection and
// changes of GOMAXPROCS: every connection is of its port's namespace.
func TestCase09DialByNameConcurrently(t *testing.T) {
	s := homeScene(t)
	s.withNames(t, map[string][]string{"cloud.example.": {s.External.FarAddr(false).String(), s.External.FarAddr(true).String()}},
		map[string][]string{"device.example.": {s.Internal.FarAddr(false).String(), s.Internal.FarAddr(true).String()}})
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}}
	serveCloud(t, s)
	l, err := s.Internal.Far.Listen(":830")
	must(t, err)
	defer l.Close()
	go accept(l)
	g := s.up(t)
	tests := [2]dialTest{{InternalSide, g.Internal().DialContext, "device.example:830", s.cookie(t, InternalSide)},
		{ExternalSide, g.External().DialContext, "cloud.example:443", s.cookie(t, ExternalSide)}}
	defer churn()()
	start := time.Now()
	var wrong, failed int
	var mu sync.Mutex // guards wrong, failed
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			cookie, err := tests[i%2].cookieOfOne(limit(testTimeout))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				t.Error(err)
			} else if cookie != tests[i%2].cookie {
				wrong++
			}
		})
	}
	all.Wait()
	if wrong > 0 {
		t.Errorf("%d connections are of another namespace", wrong)
	}
	record(t, caseResult{Case: 9, What: "500 dials by dual-stack name: in the wrong namespace", Control: 500 - failed, Crossed: wrong, Took: time.Since(start)})
}

func (s *scene) cookie(t *testing.T, side Side) (cookie uint64) {
	t.Helper()
	must(t, s.in(t, side).Do(func() (err error) {
		cookie, err = threadCookie()
		return err
	}))
	return cookie
}

// cookieOfOne dials once and returns the cookie of the connection.
func (d dialTest) cookieOfOne(timeout time.Duration) (cookie uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := d.dial(ctx, "tcp", d.address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return cookie, errors.Join(err, controlErr)
}

// 1,000 dials that nobody answers cost no threads, end with their context at
// once and leave no descriptor.
func TestCase09DialBlackHole(t *testing.T) {
	s := homeScene(t)
	s.config.Internal.Routes = []Route{route("10.99.0.0/16 via " + s.Internal.FarAddr(false).String())}
	g := s.up(t)
	ctx, cancel := context.WithCancel(t.Context())
	one, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	_, _ = g.Internal().DialContext(one, "tcp", blackHole)
	stop()
	runtime.GC()
	fds, threads := count(t, "/proc/self/fd"), count(t, "/proc/self/task")
	ended := make(chan error, 1000)
	for range cap(ended) {
		go func() {
			_, err := g.Internal().DialContext(ctx, "tcp", blackHole)
			ended <- err
		}()
	}
	waitFor(t, func() bool { return count(t, "/proc/self/fd") >= fds+cap(ended) })
	grown := count(t, "/proc/self/task") - threads
	if grown >= 20 {
		t.Errorf("1,000 hanging dials cost %d threads", grown)
	}
	took := timeToCancel(t, g)
	if took > limit(100*time.Millisecond) {
		t.Errorf("cancelling a dial among 1,000 took %v", took)
	}
	cancel()
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("a dial ended with %v", err)
		}
	}
	waitFor(t, func() bool { return count(t, "/proc/self/fd") <= fds })
	record(t, caseResult{Case: 9, What: "1,000 dials to a black hole: threads; one cancelled in", Control: 1000, Crossed: grown, Took: took})
}
