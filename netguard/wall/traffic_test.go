package wall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

func TestInternalReachesDevicesOnly(t *testing.T) {
	port, peer := wire(t)
	for _, at := range []string{"22", "23", "53", "2250", "2300"} {
		peer.echo(at, peerAddrs...)
	}
	p := internal(port.link("p0"), true)
	p.Destinations = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("2001:db8::/64")}
	judge(t, port, port.open(), p, []probe{
		{"tcp", "192.0.2.2:22", true},
		{"tcp", "192.0.2.2:2250", true},
		{"tcp", "192.0.2.2:2300", false},
		{"tcp", "192.0.2.2:23", false},
		{"udp", "192.0.2.2:22", false},
		{"tcp", "192.0.2.3:22", false},
		{"udp", "192.0.2.3:53", true},
		{"tcp", "192.0.2.3:53", true},
		{"udp", "192.0.2.2:53", false},
		{"tcp", "[2001:db8::2]:22", true},
		{"tcp", "[2001:db8::2]:23", false},
	})
}

func TestExternalReachesPermittedOnly(t *testing.T) {
	port, peer := wire(t)
	peer.echo("443", peerAddrs...)
	peer.echo("53", peerAddrs...)
	w, p := port.open(), external(port.link("p0"), true)
	judge(t, port, w, p, []probe{
		{"tcp", "192.0.2.2:443", false},
		{"tcp", "[2001:db8::2]:443", false},
		{"udp", "192.0.2.3:53", true},
		{"udp", "[2001:db8::2]:53", true},
	})
	must(t, w.Permit(addrPorts("192.0.2.2:443", "[2001:db8::2]:443"), false, time.Hour))
	must(t, w.Permit(addrPorts("[::ffff:192.0.2.3]:443"), true, time.Hour))
	for _, x := range []probe{
		{"tcp", "192.0.2.2:443", true},
		{"tcp", "192.0.2.3:443", false},
		{"udp", "192.0.2.3:443", true},
		{"tcp", "[2001:db8::2]:443", true},
	} {
		if err := port.reaches(x.network, x.addr, map[bool]time.Duration{true: 5 * time.Second, false: noAnswer}[x.open]); (err == nil) != x.open {
			t.Errorf("%s %s: %v, want open %t", x.network, x.addr, err, x.open)
		}
	}
}

// TestIPv6Off has a network that speaks IPv6 and a port that does not.
func TestIPv6Off(t *testing.T) {
	port, peer := wire(t)
	peer.echo("22", peerAddrs...)
	p := internal(port.link("p0"), false)
	p.Destinations = append(p.Destinations, netip.MustParsePrefix("2001:db8::/64"))
	judge(t, port, port.open(), p, []probe{{"tcp", "[2001:db8::2]:22", false}, {"tcp", "192.0.2.2:22", true}})
}

// TestNothingComesIn dials the port, and goes on with what came in before.
func TestNothingComesIn(t *testing.T) {
	port, peer := wire(t)
	port.echo("22", "192.0.2.1", "2001:db8::1")
	before, err := peer.dial("tcp", "192.0.2.1:22", 5*time.Second)
	must(t, err)
	must(t, said(before, 5*time.Second))
	w := port.open()
	judge(t, peer, w, internal(port.link("p0"), true), []probe{
		{"tcp", "192.0.2.1:22", false},
		{"udp", "192.0.2.1:22", false},
		{"tcp", "[2001:db8::1]:22", false},
		{"udp", "[2001:db8::1]:22", false},
	})
	if err := said(before, noAnswer); err == nil {
		t.Error("a connection that came in before the walls goes on")
	}
}

// TestEstablishedOutlivesPermission lets a permission end under a connection.
func TestEstablishedOutlivesPermission(t *testing.T) {
	port, peer := wire(t)
	peer.echo("443", peerAddrs...)
	w := port.open()
	p := external(port.link("p0"), false)
	must(t, w.Apply(p))
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Second))
	c, err := port.dial("tcp", "192.0.2.2:443", 5*time.Second)
	must(t, err)
	within(t, 10*time.Second, "the permission ends", func() bool {
		return port.reaches("tcp", "192.0.2.2:443", noAnswer) != nil
	})
	must(t, said(c, 5*time.Second))
	p.DNS = nil
	must(t, w.Apply(p)) // new rules, same connection
	must(t, said(c, 5*time.Second))
	must(t, w.Apply(Port{}))
	if err := said(c, noAnswer); err == nil {
		t.Error("a closed port still talks")
	}
}

func moreThan(n *atomic.Int64, limit int64) func() bool {
	return func() bool { return n.Load() > limit }
}

// within polls until ok says true.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, what)
		}
	}
}

// TestPathMTU sends more through a narrow router than fits, which works only if
// the router's word about it comes in.
func TestPathMTU(t *testing.T) {
	port, router := wire(t)
	far := newHost(t)
	router.join(far, "ip link add p2 type veth peer name p3")
	for _, line := range []string{"ip link set p2 mtu 1300 up", "ip address add 198.51.100.1/24 dev p2", "ip address add 2001:db8:1::1/64 dev p2 nodad"} {
		router.must(line)
	}
	for _, line := range []string{"ip link set p3 up", "ip address add 198.51.100.2/24 dev p3", "ip address add 2001:db8:1::2/64 dev p3 nodad",
		"ip route add default via 198.51.100.1", "ip route add default via 2001:db8:1::1"} {
		far.must(line)
	}
	port.must("ip route add default via 2001:db8::2")
	for _, file := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		must(t, router.do(func() error { return os.WriteFile("/proc/sys/net/"+file, []byte("1"), 0) }))
	}
	must(t, port.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_mtu_probing", []byte("0"), 0) }))
	far.echo("443", "198.51.100.2", "2001:db8:1::2")
	w := port.open()
	must(t, w.Apply(external(port.link("p0"), true)))
	for _, addr := range []string{"198.51.100.2:443", "[2001:db8:1::2]:443"} {
		must(t, w.Permit(addrPorts(addr), false, time.Hour))
		c, err := port.dial("tcp", addr, 5*time.Second)
		must(t, err)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		const size = 200 << 10
		go func() { _, _ = c.Write(make([]byte, size)) }() // the reading end tells
		if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestUnreachableIsTold expects the kernel's own word that a neighbour is missing.
func TestUnreachableIsTold(t *testing.T) {
	port, _ := wire(t)
	for file, value := range map[string]string{"mcast_solicit": "1", "retrans_time_ms": "50"} {
		must(t, port.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/neigh/p0/"+file, []byte(value), 0) }))
	}
	w := port.open()
	must(t, w.Apply(internal(port.link("p0"), false)))
	if err := port.reaches("tcp", "192.0.2.77:22", 5*time.Second); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("dialling nobody: %v, want %v", err, unix.EHOSTUNREACH)
	}
}

// TestNoMomentWithoutRules replaces the rules under a flood of what must not come
// in and a conversation that must not stop.
func TestNoMomentWithoutRules(t *testing.T) {
	port, peer := wire(t)
	peer.echo("53", peerAddrs...)
	var sink net.PacketConn
	must(t, port.do(func() (err error) { sink, err = net.ListenPacket("udp", "192.0.2.1:7777"); return err }))
	defer sink.Close()
	var got atomic.Int64
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for b := make([]byte, 64); ; {
			if _, _, err := sink.ReadFrom(b); err != nil {
				return
			}
			got.Add(1)
		}
	}()
	flood, err := peer.dial("udp", "192.0.2.1:7777", time.Second)
	must(t, err)
	var sent atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	finish := sync.OnceFunc(func() { close(stop); <-stopped })
	defer finish()
	go func() {
		defer close(stopped)
		for b := make([]byte, 32); ; {
			select {
			case <-stop:
				return
			default:
				_, _ = flood.Write(b) // refusals are what the test is for
				sent.Add(1)
			}
		}
	}()
	within(t, 5*time.Second, "the flood arrives without walls", moreThan(&got, 100))

	w := port.open()
	p := external(port.link("p0"), false)
	must(t, w.Apply(p))
	within(t, 5*time.Second, "what was queued is read", func() bool {
		n := got.Load()
		within(t, 5*time.Second, "the flood goes on", moreThan(&sent, sent.Load()+2000))
		return got.Load() == n
	})
	arrived, from, start := got.Load(), sent.Load(), time.Now()
	talk, err := port.dial("udp", "192.0.2.3:53", time.Second)
	must(t, err)
	for i := range 200 {
		q := p
		if i%2 == 0 {
			q.DNS = q.DNS[:1]
		}
		if i%4 == 3 {
			w.kernel.owner ^= ownedByNobody // cannot be done in place: the tables are made anew
		}
		must(t, w.Apply(q))
		if err := said(talk, time.Second); err != nil {
			t.Fatalf("question %d during the replacements: %v", i, err)
		}
	}
	rate := float64(sent.Load()-from) / time.Since(start).Seconds()
	finish()
	sink.Close()
	<-drained
	t.Logf("%d frames at %.0f/s while the rules were replaced 200 times", sent.Load()-from, rate)
	if n := got.Load() - arrived; n > 0 {
		t.Errorf("%d frames of the flood came in", n)
	}
}

// frames sends and sniffs on a link.
func (h *host) frames(link string, protocol uint16) (fd int) {
	h.t.Helper()
	must(h.t, h.do(func() error {
		l, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(swap(protocol))); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(protocol), Ifindex: l.Index})
	}))
	h.t.Cleanup(func() { unix.Close(fd) })
	tv := unix.NsecToTimeval(noAnswer.Nanoseconds())
	must(h.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	return fd
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// hears waits for a frame with the nonce.
func hears(fd int, nonce string) bool {
	b := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			return false
		}
		if strings.Contains(string(b[:n]), nonce) {
			return true
		}
	}
}

func frame(to, from string, ethertype uint16, nonce string) []byte {
	dst, _ := net.ParseMAC(to)
	src, _ := net.ParseMAC(from)
	f := append(append([]byte{}, dst...), src...)
	f = append(f, byte(ethertype>>8), byte(ethertype))
	return append(f, fmt.Sprintf("%-50s", nonce)...)
}

// TestFrames sends raw frames both ways.
func TestFrames(t *testing.T) {
	const probing = 0x88b5 // IEEE 802 local experimental
	for _, x := range []struct {
		name      string
		out       bool
		from      string
		ethertype uint16
		listen    uint16
		heard     bool
	}{
		{"own address leaves", true, portMAC, probing, unix.ETH_P_ALL, true},
		{"foreign address does not", true, "02:00:00:00:00:99", probing, unix.ETH_P_ALL, false},
		{"a tap hears anything", false, peerMAC, probing, unix.ETH_P_ALL, true},
		{"behind the hook only ip and arp", false, peerMAC, probing, probing, false},
		{"arp comes in", false, peerMAC, unix.ETH_P_ARP, unix.ETH_P_ARP, true},
		{"ipv6 does not", false, peerMAC, unix.ETH_P_IPV6, unix.ETH_P_IPV6, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			port, peer := wire(t)
			from, fromLink, to, toLink := port, "p0", peer, "p1"
			if !x.out {
				from, fromLink, to, toLink = peer, "p1", port, "p0"
			}
			send, listen := from.frames(fromLink, 0), to.frames(toLink, x.listen)
			try := func(nonce string) bool {
				_, err := unix.Write(send, frame("ff:ff:ff:ff:ff:ff", x.from, x.ethertype, nonce))
				if err != nil && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOBUFS) {
					t.Fatal(err)
				}
				return hears(listen, nonce)
			}
			if !try("without walls") {
				t.Fatal("without walls the frame is not heard")
			}
			w := port.open()
			must(t, w.Apply(external(port.link("p0"), false)))
			if got := try("within walls"); got != x.heard {
				t.Errorf("heard %t, want %t", got, x.heard)
			}
		})
	}
}
