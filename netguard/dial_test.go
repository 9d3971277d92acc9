package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The order inside net.Dialer is not documented: the hook must run before the
// descriptor is bound, connected or polled, so that what it puts there is what
// is connected. SO_COOKIE identifies a socket.
func TestDialerOrderCanary(t *testing.T) {
	newSite(t) // says so when it cannot run
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	t.Cleanup(func() { must(t, netlink.LinkSetDown(lo)) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	for _, network := range []string{"tcp", "udp"} {
		var placed uint64
		d := net.Dialer{ControlContext: func(_ context.Context, _, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { placed = replace(t, int(fd)) })
		}}
		c, err := d.DialContext(within(t, testTimeout), network, l.Addr().String())
		must(t, err)
		raw, err := c.(syscall.Conn).SyscallConn()
		must(t, err)
		must(t, raw.Control(func(fd uintptr) {
			if cookie, err := unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || cookie != placed {
				t.Errorf("%s: connected socket is %d (%v), the hook placed %d", network, cookie, err, placed)
			}
		}))
		if network == "tcp" { // it is polled: a deadline works
			must(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading: %v, want a deadline", err)
			}
		}
		c.Close()
	}
}

func replace(t *testing.T, fd int) uint64 {
	if _, err := unix.Getpeername(fd); err == nil {
		t.Error("the socket is connected before the hook")
	}
	spec, err := describe(fd)
	must(t, err)
	made, err := unix.Socket(spec.domain, spec.kind|unix.SOCK_NONBLOCK, spec.protocol)
	must(t, err)
	defer unix.Close(made)
	must(t, unix.Dup3(made, fd, unix.O_CLOEXEC))
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	must(t, err)
	return cookie
}

// 500 dials at once, half from each port, under garbage collection and changes
// of GOMAXPROCS: every connection belongs to the namespace of its port.
func TestDialConcurrently(t *testing.T) {
	s := newSite(t)
	device, cloud := serve(t, s.device, deviceAddr4+":830", ""), serve(t, s.cloud, cloudAddr4+":443", "")
	g := s.up(t)
	stop := churn()
	defer stop()
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			side, dial, address := InternalSide, g.Internal().DialContext, device
			if i%2 == 1 {
				side, dial, address = ExternalSide, g.External().DialContext, cloud
			}
			out, err := g.outlet(side)
			if err != nil {
				t.Error(err)
				return
			}
			c, err := dial(ctx, "tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if cookie, link := belongs(t, c); cookie != out.ns.cookie || link != out.index {
				t.Errorf("a connection of the %s port has cookie %d and link %d, want %d and %d", side, cookie, link, out.ns.cookie, out.index)
			}
		})
	}
	wg.Wait()
}

// belongs returns the namespace and the link that a connection is bound to.
func belongs(t *testing.T, c net.Conn) (cookie uint64, link int) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	var cookieErr, linkErr error
	err = raw.Control(func(fd uintptr) {
		cookie, cookieErr = socketCookie(int(fd))
		link, linkErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	})
	if err := errors.Join(err, cookieErr, linkErr); err != nil {
		t.Error(err)
	}
	return cookie, link
}

func churn() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	before := runtime.GOMAXPROCS(0)
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			runtime.GC()
			runtime.GOMAXPROCS(1 + i%4)
		}
	}()
	return func() {
		close(done)
		<-ended
		runtime.GOMAXPROCS(before)
	}
}

// blackHole is routed to the device, which forwards nothing and says nothing.
const blackHole = "10.99.1.1:830"

// Dials that nobody answers end with their context, and leave nothing behind.
func TestDialBlackHole(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	warm, cancelWarm := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancelWarm()
	_, _ = g.Internal().DialContext(warm, "tcp", blackHole)
	fds, threads := count(t, "/proc/self/fd"), count(t, "/proc/self/task")

	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1000)
	for range cap(errs) {
		go func() {
			_, err := g.Internal().DialContext(ctx, "tcp", blackHole)
			errs <- err
		}()
	}
	waitFor(t, func() bool { return count(t, "/proc/self/fd") >= fds+cap(errs) })
	if grown := count(t, "/proc/self/task") - threads; grown >= 20 {
		t.Errorf("%d hanging dials cost %d threads", cap(errs), grown)
	}
	if took := timeToCancel(t, g); took > 100*time.Millisecond {
		t.Errorf("cancelling took %v", took)
	}
	cancel()
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatalf("dial ended with %v", err)
		}
	}
	waitFor(t, func() bool { return count(t, "/proc/self/fd") <= fds })
}

// A dial that nobody answers ends with the ports, and says so.
func TestDialEndsWithThePorts(t *testing.T) {
	s := newSite(t)
	s.config.External.DNS = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.77:53")} // nobody is there
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}}
	g := s.up(t)
	errs := make(chan error, 2)
	for _, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return g.Internal().DialContext(context.Background(), "tcp", blackHole) },
		func() (net.Conn, error) {
			return g.External().DialContext(context.Background(), "tcp", "cloud.example:443")
		},
	} {
		go func() {
			_, err := dial()
			errs <- err
		}()
	}
	waitFor(t, func() bool { return g.internal.port.conns.count() > 0 && len(g.permits.slots) == 1 })
	began := time.Now()
	must(t, g.Close())
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("dial ended with %v, want ErrClosed", err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("dials outlived the ports by %v", took)
	}
}

// timeToCancel says how long a dial outlives its context.
func timeToCancel(t *testing.T, g *Guard) time.Duration {
	ctx, cancel := context.WithCancel(t.Context())
	var at time.Time
	time.AfterFunc(100*time.Millisecond, func() { at = time.Now(); cancel() })
	if _, err := g.Internal().DialContext(ctx, "tcp", blackHole); !errors.Is(err, context.Canceled) {
		t.Fatalf("dial ended with %v", err)
	}
	return time.Since(at)
}

// Neither a guard that was up nor one that could not come up leaves anything.
func TestCloseLeavesNothing(t *testing.T) {
	s := newSite(t)
	late := s.config
	late.External.Interface = "eth9"
	round := func() {
		g, err := Up(t.Context(), s.config)
		must(t, err)
		must(t, g.Close())
		must(t, g.Close())
		if _, err := Up(t.Context(), late); !errors.Is(err, ErrNoInterface) {
			t.Errorf("error is %v, want ErrNoInterface", err)
		}
	}
	round()
	fds, goroutines := count(t, "/proc/self/fd"), runtime.NumGoroutine()
	for range 10 {
		round()
	}
	waitFor(t, func() bool { return count(t, "/proc/self/fd") <= fds && runtime.NumGoroutine() <= goroutines })
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	return len(entries)
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(testTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("timed out")
		}
	}
}

// Close closes what an unprotected guard has handed out as well.
func TestDialUnprotected(t *testing.T) {
	newSite(t) // lo is that of a namespace
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	t.Cleanup(func() { must(t, netlink.LinkSetDown(lo)) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	g, err := Up(t.Context(), Config{Mode: Unprotected})
	must(t, err)
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){g.Internal().DialContext, g.External().DialContext} {
		c, err := dial(within(t, testTimeout), "tcp", l.Addr().String())
		must(t, err)
		defer func() {
			if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("writing after Close: %v, want net.ErrClosed", err)
			}
		}()
	}
	must(t, g.Close())
}

func TestDialRefuses(t *testing.T) {
	s := newDualSite(t)
	s.config.Internal.DNS = []netip.AddrPort{netip.MustParseAddrPort(deviceAddr4 + ":53")}
	serve(t, s.cloud, cloudAddr4+":443", "")
	g := s.up(t)
	external := []string{"10.11.0.1:830", "10.99.1.1:22", "[::ffff:10.11.0.1]:830", "[fd00:11::1]:830", "127.0.0.1:80", "[::1]:80",
		"[::ffff:127.0.0.1]:80", "169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.1.1]:80", "0.0.0.0:80", ":80", "224.0.0.1:80", "255.255.255.255:67"}
	for _, address := range external {
		if _, err := g.External().DialContext(t.Context(), "tcp", address); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("external %s: %v, want ErrNotAllowed", address, err)
		}
	}
	for _, address := range []string{"192.0.2.1:443", "[::ffff:192.0.2.1]:443", "[fd00:22::1]:443", "127.0.0.1:22"} {
		if _, err := g.Internal().DialContext(t.Context(), "udp", address); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("internal %s: %v, want ErrNotAllowed", address, err)
		}
	}
	must(t, g.SetAllowed([]Endpoint{{Host: "Cloud.example.", Port: 443}}))
	if _, err := g.External().DialContext(t.Context(), "tcp", "cloud.example:443"); !errors.Is(err, ErrNoDNS) || !strings.Contains(err.Error(), "cloud.example") {
		t.Errorf("name without dns: %v, want ErrNoDNS", err)
	}
	if _, err := g.External().DialContext(t.Context(), "unix", "/run/x"); err == nil {
		t.Error("dialled a unix socket")
	}
	must(t, g.Close())
	if _, err := g.External().DialContext(t.Context(), "tcp", "192.0.2.1:443"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// count returns how many connections are open or dialled.
func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
