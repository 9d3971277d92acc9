package wall

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queued is how many bytes wait in the socket's buffer (udp(7), FIONREAD): its
// reader may not have had a processor for a while.
func queued(t *testing.T, conn net.PacketConn) (n int) {
	t.Helper()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	must(t, err)
	var asked error
	must(t, raw.Control(func(fd uintptr) { n, asked = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }))
	must(t, asked)
	return n
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
		return queued(t, sink) == 0 && got.Load() == n
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

// probing is a protocol for experiments (IEEE 802 local experimental).
const probing = 0x88b5

// frame makes a frame; a tagged one is of the probing protocol inside.
func frame(to, from string, ethertype uint16, nonce string) []byte {
	dst, _ := net.ParseMAC(to)
	src, _ := net.ParseMAC(from)
	f := append(append([]byte{}, dst...), src...)
	f = append(f, byte(ethertype>>8), byte(ethertype))
	switch ethertype {
	case unix.ETH_P_8021AD:
		f = append(f, 0, 5, 0x81, 0)
		fallthrough
	case unix.ETH_P_8021Q: // VLAN 0: a priority, for the link itself
		f = append(f, 0, 0, probing>>8, probing&0xff)
	}
	return append(f, fmt.Sprintf("%-50s", nonce)...)
}

// TestFrames sends raw frames both ways.
func TestFrames(t *testing.T) {
	for _, x := range []struct {
		name      string
		out       bool
		from      string
		ethertype uint16
		listen    uint16
		heard     bool
	}{
		{"own address leaves", true, portMAC, probing, unix.ETH_P_ALL, true},
		{"foreign address does not", true, strangerMAC, probing, unix.ETH_P_ALL, false},
		{"foreign address past the queues does not", true, strangerMAC, probing, unix.ETH_P_ALL, false},
		{"tagged own address leaves", true, portMAC, unix.ETH_P_8021Q, unix.ETH_P_ALL, true},
		{"tagged foreign address does not", true, strangerMAC, unix.ETH_P_8021Q, unix.ETH_P_ALL, false},
		{"tagged twice it does not", true, strangerMAC, unix.ETH_P_8021AD, unix.ETH_P_ALL, false},
		{"tagged another protocol does not come in", false, peerMAC, unix.ETH_P_8021Q, probing, false},
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
			if strings.Contains(x.name, "past the queues") {
				must(t, unix.SetsockoptInt(send, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1))
			}
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
