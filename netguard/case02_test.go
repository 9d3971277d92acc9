package netguard

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// listenerPort is where every namespace of a scene listens, in TCP and UDP.
const listenerPort = 8080

// listenEverywhere opens listeners in the hosts: whatever reaches them answers.
func listenEverywhere(t *testing.T, hosts ...*netguardtest.Host) {
	t.Helper()
	for _, h := range hosts {
		l, err := h.Listen(":8080")
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go accept(l)
		c, err := h.ListenPacket(":8080")
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		go echo(c)
	}
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

func echo(c net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(b[:n], from)
	}
}

// knocks are the probes of an address that a host would answer.
func knocks(from, to netip.Addr) []netguardtest.Packet {
	src, dst := netip.AddrPortFrom(from, 40001), netip.AddrPortFrom(to, listenerPort)
	return []netguardtest.Packet{netguardtest.Echo(from, to, 7, []byte("knock")),
		netguardtest.TCP(src, dst, netguardtest.SYN, nil), netguardtest.UDP(src, dst, []byte("knock"))}
}

// from matches packets that an address sends, ARP and neighbour discovery too.
func from(addrs ...netip.Addr) func([]byte) bool {
	return func(frame []byte) bool {
		src := netguardtest.Source(frame)
		for _, a := range addrs {
			if src == a {
				return true
			}
		}
		return false
	}
}

// weakHost probes, from each far host, the box's address on the other side.
func weakHost(t *testing.T, s *netguardtest.Site) (answers int) {
	t.Helper()
	for _, pair := range [][2]netguardtest.Wire{{s.Internal, s.External}, {s.External, s.Internal}} {
		near, other := pair[0], pair[1]
		heard := sniff(t, near, from(other.Near(false), other.Near(true)))
		at := sender(t, near)
		for range 2 {
			for _, six := range []bool{false, true} {
				for _, p := range knocks(near.FarAddr(six), other.Near(six)) {
					must(t, at.Send(p.Frame(near.MAC, at.MAC)))
				}
			}
			n, err := heard.Settle(t.Context(), crossTime)
			must(t, err)
			answers += n
		}
	}
	return answers
}

// The weak host model: an address answers at every interface of a host.
func TestCase02WeakHost(t *testing.T) {
	t.Parallel()
	open := openScene(t)
	listenEverywhere(t, open.Box)
	seen := weakHost(t, open.Site)
	if seen < 12 {
		t.Fatalf("control: only %d answers", seen)
	}
	s := newScene(t)
	s.guarded(t)
	listenEverywhere(t, s.boxes(t)...)
	crossed := weakHost(t, s.Site)
	if crossed > 0 {
		t.Errorf("%d answers of the other side's address", crossed)
	}
	record(t, caseResult{Case: 2, What: "other port's address probed, listeners everywhere", Control: seen, Crossed: crossed})
}

// spoof sends a SYN to each port of the box in the name of the other side's
// host, and counts what comes of it on either wire.
func spoof(t *testing.T, s *netguardtest.Site) (frames int) {
	t.Helper()
	reflected := func(frame []byte) bool {
		return netguardtest.IsTCP(frame, netguardtest.SYN|netguardtest.ACK) || netguardtest.IsTCP(frame, netguardtest.RST|netguardtest.ACK)
	}
	sniffers := []*netguardtest.Sniffer{sniff(t, s.Internal, reflected), sniff(t, s.External, reflected)}
	for _, pair := range [][2]netguardtest.Wire{{s.Internal, s.External}, {s.External, s.Internal}} {
		near, other := pair[0], pair[1]
		at := sender(t, near)
		for range 2 {
			for _, six := range []bool{false, true} {
				src, dst := netip.AddrPortFrom(other.FarAddr(six), 40002), netip.AddrPortFrom(near.Near(six), listenerPort)
				must(t, at.Send(netguardtest.TCP(src, dst, netguardtest.SYN, nil).Frame(near.MAC, at.MAC)))
			}
			must(t, settle(t, sniffers[0]))
		}
	}
	return sniffers[0].Count() + sniffers[1].Count()
}

func settle(t *testing.T, s *netguardtest.Sniffer) error {
	_, err := s.Settle(t.Context(), crossTime)
	return err
}

func TestCase03SpoofedSource(t *testing.T) {
	t.Parallel()
	open := openScene(t)
	listenEverywhere(t, open.Box)
	seen := spoof(t, open.Site)
	if seen < 4 {
		t.Fatalf("control: only %d reflected segments", seen)
	}
	s := newScene(t)
	s.guarded(t)
	listenEverywhere(t, s.boxes(t)...)
	crossed := spoof(t, s.Site)
	if crossed > 0 {
		t.Errorf("%d segments were reflected", crossed)
	}
	record(t, caseResult{Case: 3, What: "SYN with a source of the other side", Control: seen, Crossed: crossed})
}

// loopbackPort is where every namespace of a scene listens at 127.0.0.1 alone, so
// that what answers there answers from there.
const loopbackPort = 8081

func listenAtLoopback(t *testing.T, hosts ...*netguardtest.Host) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), loopbackPort).String()
	for _, h := range hosts {
		l, err := h.Listen(at)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go accept(l)
		c, err := h.ListenPacket(at)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		go echo(c)
	}
}

// loopback sends to 127.0.0.1 by the hardware address of each port, and counts
// the answers and the kinds of them.
func loopback(t *testing.T, s *netguardtest.Site) (answers int, kinds map[string]int) {
	t.Helper()
	local := netip.MustParseAddr("127.0.0.1")
	kinds = map[string]int{}
	for _, w := range []netguardtest.Wire{s.Internal, s.External} {
		heard, at := sniff(t, w, from(local)), sender(t, w)
		// The box shall know who asks: nobody answers it while it asks as 127.0.0.1.
		must(t, at.Send(netguardtest.ARPRequest(at.MAC, w.FarAddr(false), w.Near(false))))
		src, dst := netip.AddrPortFrom(w.FarAddr(false), 40003), netip.AddrPortFrom(local, loopbackPort)
		for _, p := range []netguardtest.Packet{netguardtest.Echo(src.Addr(), local, 7, []byte("knock")),
			netguardtest.TCP(src, dst, netguardtest.SYN, nil), netguardtest.UDP(src, dst, []byte("knock"))} {
			must(t, at.Send(p.Frame(w.MAC, at.MAC)))
		}
		n, err := heard.Settle(t.Context(), crossTime)
		must(t, err)
		answers += n
		for _, f := range heard.Frames() {
			kind, _, _ := strings.Cut(netguardtest.Describe(f), " ")
			kinds[w.Port+" "+kind]++
		}
	}
	return answers, kinds
}

// whoHas asks on each wire for the other side's addresses: the box's, which an
// unguarded host answers itself, and the far host's, which proxy_arp answers.
func whoHas(t *testing.T, s *netguardtest.Site, d time.Duration) (answers int) {
	t.Helper()
	pairs := [][2]netguardtest.Wire{{s.Internal, s.External}, {s.External, s.Internal}}
	var heard []*netguardtest.Sniffer
	var senders []*netguardtest.Sender
	for _, pair := range pairs {
		other := pair[1]
		senders = append(senders, sender(t, pair[0]))
		heard = append(heard, sniff(t, pair[0], func(frame []byte) bool {
			a := netguardtest.Told(frame)
			return a.IsValid() && (other.Near4.Contains(a) || other.Near6.Contains(a))
		}))
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for i, pair := range pairs {
			must(t, senders[i].Send(questions(pair[0], pair[1])...))
		}
		must(t, settle(t, heard[0]))
	}
	return heard[0].Count() + heard[1].Count()
}

// questions ask, in the name of the host at near, who has the addresses of the
// other side.
func questions(near, other netguardtest.Wire) (frames [][]byte) {
	for _, who := range []netip.Addr{other.Near(false), other.FarAddr(false)} {
		frames = append(frames, netguardtest.ARPRequest(near.FarMAC, near.FarAddr(false), who))
	}
	for _, who := range []netip.Addr{other.Near(true), other.FarAddr(true)} {
		frames = append(frames, netguardtest.Solicitation(near.FarMAC, near.FarAddr(true), who))
	}
	return frames
}

func TestCase04LoopbackAndNeighbours(t *testing.T) {
	t.Parallel()
	open := openScene(t)
	listenAtLoopback(t, open.Box)
	seen, kinds := loopback(t, open.Site)
	asked := whoHas(t, open.Site, time.Second)
	if len(kinds) < 6 || asked < 4 { // icmp, tcp and udp on each wire
		t.Fatalf("control: %v of 127.0.0.1, %d answers of the other side's addresses", kinds, asked)
	}
	s := newScene(t)
	g := s.guarded(t)
	listenAtLoopback(t, s.boxes(t)...)
	for _, stopped := range []bool{false, true} {
		when := "guard watching"
		if stopped {
			stop(t, g)
			when = "guard stopped"
		}
		for _, h := range s.boxes(t) { // silent ones, healed within a second or so when it watches
			for _, path := range []string{"ipv4/conf/all/route_localnet", "ipv4/conf/all/proxy_arp", "ipv6/conf/all/proxy_ndp"} {
				must(t, h.Set(path, "1"))
			}
			must(t, h.Set("ipv4/conf/all/arp_ignore", "0"))
		}
		got, _ := loopback(t, s.Site)
		told := whoHas(t, s.Site, 2*time.Second)
		if got+told > 0 {
			t.Errorf("%s: %d answers of 127.0.0.1, %d of the other side's addresses", when, got, told)
		}
		record(t, caseResult{Case: 4, What: "127.0.0.1 with route_localnet, " + when, Control: seen, Crossed: got})
		record(t, caseResult{Case: 4, What: "ARP and NS with proxy_arp, proxy_ndp, " + when, Control: asked, Crossed: told})
	}
}
