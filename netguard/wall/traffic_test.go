package wall

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	far := newHost(t) // both ends of its link are narrow: a veth drops what its peer would not take
	router.join(far, "ip link add p2 type veth peer name p3")
	for _, line := range []string{"ip link set p2 mtu 1300 up", "ip address add 198.51.100.1/24 dev p2", "ip address add 2001:db8:1::1/64 dev p2 nodad"} {
		router.must(line)
	}
	for _, line := range []string{"ip link set p3 mtu 1300 up", "ip address add 198.51.100.2/24 dev p3", "ip address add 2001:db8:1::2/64 dev p3 nodad",
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
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
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

// TestForeignSource sends from an address that the namespace does not have.
func TestForeignSource(t *testing.T) {
	port, peer := wire(t)
	peer.echo("53", peerAddrs...)
	send := func() error {
		return port.do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return errors.Join(
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1),
				unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{203, 0, 113, 9}}),
				unix.Sendto(fd, []byte("word"), 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 3}}))
		})
	}
	must(t, send())
	must(t, port.open().Apply(internal(port.link("p0"), false)))
	if err := send(); !errors.Is(err, unix.EPERM) {
		t.Errorf("sending from a foreign address: %v, want %v", err, unix.EPERM)
	}
}

// TestEarlierConnectionIsCut has a peer that spoke first, before the walls, in a
// connection that is tracked as established.
func TestEarlierConnectionIsCut(t *testing.T) {
	port, peer := wire(t)
	if out, err := port.nft("table inet early {\n chain in {\n type filter hook input priority 0;\n ct state new accept\n }\n}\n"); err != nil {
		t.Fatal(err, out)
	}
	var here net.PacketConn
	must(t, port.do(func() (err error) { here, err = net.ListenPacket("udp", "192.0.2.1:22"); return err }))
	defer here.Close()
	there, err := peer.dial("udp", "192.0.2.1:22", time.Second)
	must(t, err)
	b := make([]byte, 8)
	arrives := func(wait time.Duration) error {
		_, err := there.Write([]byte("word"))
		must(t, err)
		must(t, here.SetReadDeadline(time.Now().Add(wait)))
		_, from, err := here.ReadFrom(b)
		if err == nil {
			_, _ = here.WriteTo(b[:4], from) // makes it established; refused within walls
		}
		return err
	}
	must(t, arrives(5*time.Second))
	must(t, arrives(5*time.Second))
	must(t, port.open().Apply(internal(port.link("p0"), false)))
	if arrives(noAnswer) == nil {
		t.Error("what the peer sends in its own connection comes in")
	}
}
