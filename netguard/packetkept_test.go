package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"lwc/netguard/lease"
)

var errNobody = errors.New("nobody makes packet sockets")

func nobody(*os.File, PacketKind) (*os.File, error) { return nil, errNobody }

// probeNow has p probe, and returns what became of it.
func (p *patrol) probeNow(t *testing.T) proof {
	t.Helper()
	p.prove(t.Context(), false)
	select {
	case r := <-p.results:
		p.proved(t.Context(), r)
		return r
	case <-time.After(testTimeout):
		t.Fatal("the probe does not end")
	}
	return proof{}
}

// dies makes a kept socket one that is of no use.
func (k *kept) dies(t *testing.T) {
	t.Helper()
	file := k.take()
	must(t, file.Close())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.file, k.out = file, k.out-1
}

// upBehind brings ports up whose packet sockets another makes, and stops the patrol.
func upBehind(t *testing.T, s *site) (*Guard, *patrol, *otherMaker) {
	t.Helper()
	l := &otherMaker{made: map[PacketKind]int{}}
	s.config.Packets = l
	g := s.up(t)
	return g, manual(g), l
}

func expectOpen(t *testing.T, g *Guard) {
	t.Helper()
	if state := g.State(); state.Status != Open || g.refusal() != nil || len(state.Degraded) > 0 {
		t.Errorf("state %+v, dials: %v", state, g.refusal())
	}
}

// The ports are probed again and again with the sockets that they opened with, whether
// or not somebody could make others; one that is dead is replaced.
func TestProbesNeedNobody(t *testing.T) {
	g, p, l := upBehind(t, newSite(t))
	l.cheat = nobody
	for range 3 {
		if r := p.probeNow(t); r.err != nil || !r.carrier {
			t.Errorf("probe: %+v", r)
		}
		expectOpen(t, g)
	}
	if l.made[ProbePackets] != 2 || l.made[LeasePackets] != 0 {
		t.Errorf("%v sockets were asked for", l.made)
	}
	l.cheat = nil
	g.sides[1].kept[ProbePackets].dies(t)
	if r := p.probeNow(t); r.err != nil || l.made[ProbePackets] != 3 {
		t.Errorf("with a dead socket: %+v, %v were asked for", r, l.made)
	}
	expectOpen(t, g)
}

// A probe that finds a shared segment finds it with sockets that have rested, too.
func TestKeptSocketsHear(t *testing.T) {
	s := newSite(t)
	g, p, l := upBehind(t, s)
	l.cheat = nobody
	if r := p.probeNow(t); r.err != nil || r.shared != nil {
		t.Fatalf("probe: %+v", r)
	}
	s.plug(t)
	var r proof
	await(t, "a shared segment", func() bool { // a bridge forwards nothing at first
		r = p.probeNow(t)
		return r.shared != nil || r.err != nil
	})
	if r.err != nil || !errors.Is(r.shared, ErrSameSegment) || g.State().Status != Blocked {
		t.Errorf("probe: %+v, state %+v", r, g.State())
	}
	if l.made[ProbePackets] != 2 {
		t.Errorf("%v sockets were asked for", l.made)
	}
}

// A socket that is made while the other one waits takes none of the other's time to
// listen. It sends and hears nothing itself here: its frames go to a ring.
func TestProbeWithALateSocket(t *testing.T) {
	s := newSite(t)
	g, p, l := upBehind(t, s)
	s.plug(t)
	l.cheat = func(space *os.File, kind PacketKind) (*os.File, error) {
		<-time.After(probeTime) // a process starts
		file, err := PacketSocketIn(space, kind, 0)
		if err != nil {
			return nil, err
		}
		ring := &unix.TpacketReq{Block_size: 4096, Block_nr: 1, Frame_size: 2048, Frame_nr: 2}
		return file, onDescriptor(file, func(fd int) error {
			return unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, ring)
		})
	}
	var r proof
	await(t, "a shared segment", func() bool { // a bridge forwards nothing at first
		g.sides[1].kept[ProbePackets].dies(t)
		r = p.probeNow(t)
		return r.shared != nil || r.err != nil
	})
	if r.err != nil || !errors.Is(r.shared, ErrSameSegment) || r.shared.Port != InternalSide {
		t.Errorf("probe: %+v", r)
	}
}

// A card that sends nothing any more does not hold up a client of DHCP.
func TestLeaseOverAFullQueue(t *testing.T) {
	s := newSite(t)
	g, _, _ := upBehind(t, s)
	m := g.sides[0]
	m.kept[LeasePackets] = new(kept) // as of a port that DHCP configures
	s.inside(t, "tc qdisc add dev lwcint0 root tbf rate 8bit burst 5kb limit 10000000")
	conn, err := g.openLease(t.Context(), m, dhcpv4.TransactionID{1, 2, 3, 4})
	must(t, err)
	all := lease.Peer{Addr: netip.MustParseAddr("255.255.255.255"), MAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}}
	var full error
	for i := 0; full == nil && i < 10_000; i++ {
		full = conn.Send(make([]byte, 1000), netip.IPv4Unspecified(), all)
	}
	if !errors.Is(full, unix.EAGAIN) {
		t.Errorf("the queue takes all: %v", full)
	}
	must(t, conn.Close())
}

// That the maker of packet sockets may not make one is not mended by rights of our own.
func TestMakerWithoutPrivilege(t *testing.T) {
	s := newSite(t)
	g, p, l := upBehind(t, s)
	l.cheat = func(*os.File, PacketKind) (*os.File, error) { return nil, fmt.Errorf("the maker says: %w", unix.EPERM) }
	g.sides[1].kept[ProbePackets].dies(t)
	if r := p.probeNow(t); !errors.Is(r.err, unix.EPERM) || errors.Is(privilege(r.err), ErrPrivilege) {
		t.Errorf("%v", privilege(r.err))
	}
}

// A socket that cannot be read says nothing about the ports.
func TestTapThatCannotBeRead(t *testing.T) {
	ended, w, err := os.Pipe()
	must(t, errors.Join(err, w.Close()))
	defer ended.Close()
	if heard, err := (&tap{side: InternalSide, file: ended}).hears(&tap{}); heard || err == nil {
		t.Errorf("heard %v, %v", heard, err)
	}
}

// While no socket is to be had in the place of a dead one, ports that were probed before
// stay open and say that this is not known; once there is one again they say nothing.
func TestProbeLacksASocket(t *testing.T) {
	g, p, l := upBehind(t, newSite(t))
	l.cheat = nobody
	g.sides[0].kept[ProbePackets].dies(t)
	for range 2 {
		r := p.probeNow(t)
		if !errors.Is(r.err, errNoPacket) || !errors.Is(r.err, errNobody) {
			t.Fatalf("probe: %+v", r)
		}
		state := g.State()
		if state.Status != Open || g.refusal() != nil || state.Violations > 0 || len(state.Degraded) != 1 ||
			!strings.Contains(state.Degraded[0], "is not known yet, last known good 0s ago: ") || !strings.Contains(state.Degraded[0], errNobody.Error()) {
			t.Errorf("state %+v, dials: %v", state, g.refusal())
		}
		if wait := time.Until(p.probe.at); wait <= 0 || wait > probeAgain {
			t.Errorf("the next probe is in %v", wait)
		}
	}
	l.cheat = nil
	if r := p.probeNow(t); r.err != nil {
		t.Errorf("probe: %+v", r)
	}
	expectOpen(t, g)
	if wait := time.Until(p.probe.at); wait < probeSoon-2*time.Second || !p.probe.lack.IsZero() {
		t.Errorf("the next probe is in %v: %+v", wait, p.probe)
	}
}

// A carrier that came leads nobody knows where: dials stay refused until it is known.
func TestProbeLacksASocketAfterACarrier(t *testing.T) {
	g, p, l := upBehind(t, newSite(t))
	l.cheat = nobody
	g.sides[0].kept[ProbePackets].dies(t)
	p.probe.carrier(false, time.Now())
	p.probe.carrier(true, time.Now())
	g.pauseDials("a carrier came")
	p.probeNow(t)
	if state := g.State(); state.Status != Open || !errors.Is(g.refusal(), ErrBlocked) {
		t.Errorf("state %+v, dials: %v", state, g.refusal())
	}
	l.cheat = nil
	p.probeNow(t)
	expectOpen(t, g)
}

// What cannot be probed for probeLimit is blocked, with the External Port down, and stays
// so without ever being latched; it opens when there is a socket.
func TestNothingKnownForTooLong(t *testing.T) {
	s := newSite(t)
	g, p, l := upBehind(t, s)
	l.cheat = nobody
	g.sides[0].kept[ProbePackets].dies(t)
	p.probeNow(t)
	p.probe.lack = time.Now().Add(time.Second - probeLimit)
	p.probeNow(t)
	if state := g.State(); state.Status != Open {
		t.Fatalf("state %+v", state)
	}
	p.probe.lack = time.Now().Add(-probeLimit) // no time is left for the next
	if r := p.probeNow(t); !errors.Is(r.err, errNoPacket) {
		t.Errorf("probe: %+v", r)
	}
	state := g.State()
	if state.Status != Blocked || !strings.Contains(state.Detail, errNobody.Error()) || state.Violations != 1 || len(state.Degraded) > 0 {
		t.Errorf("state %+v", state)
	}
	down := func() bool { return !s.linkIsUp(t, ExternalNamespace, "lwcext0") }
	if !down() {
		t.Error("the External Port is up")
	}
	for range 2 * latchBlocks {
		p.prove(t.Context(), true)
		p.proved(t.Context(), <-p.results)
		if state := g.State(); state.Status != Blocked || state.Latched || p.phase != blocked || !strings.Contains(state.Detail, errNobody.Error()) || !down() {
			t.Fatalf("state %+v, phase %d, down: %v", state, p.phase, down())
		}
	}
	p.sweep(t.Context(), nil) // the cause goes on being told
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, errNobody.Error()) {
		t.Errorf("after a sweep: %+v", state)
	}
	l.cheat = nil
	p.prove(t.Context(), true)
	p.proved(t.Context(), <-p.results)
	expectOpen(t, g)
	if down() {
		t.Error("the External Port is down")
	}
}

// The last of several probes without a socket has no time to ask for one: what is told is
// what the others lacked.
func TestTimeIsUpBeforeTheSocketIsAskedFor(t *testing.T) {
	g, p, l := upBehind(t, newSite(t))
	l.cheat = nobody
	g.sides[0].kept[ProbePackets].dies(t)
	p.probeNow(t)
	p.probe.lack = time.Now().Add(-probeLimit)
	p.proved(t.Context(), proof{carrier: true, err: fmt.Errorf("waiting for addresses: %w", context.DeadlineExceeded)})
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, errNobody.Error()) {
		t.Errorf("state %+v", state)
	}
}

// When nobody makes packet sockets at first, the ports stay down and the error says why.
func TestUpWithoutPackets(t *testing.T) {
	s := newSite(t)
	s.config.Packets = &otherMaker{made: map[PacketKind]int{}, cheat: nobody}
	_, err := Up(t.Context(), s.config)
	if !errors.Is(err, errNobody) || !strings.Contains(err.Error(), "ternal port: no packet socket is to be had: ") {
		t.Errorf("error %v", err)
	}
	for ns, link := range map[string]string{InternalNamespace: "lwcint0", ExternalNamespace: "lwcext0"} {
		if out := ip(t, "/proc/self/ns/net", "-o", "link", "show", "dev", link); strings.Contains(out, ",UP") {
			t.Errorf("%s: %s", ns, out)
		}
	}
}

// A port gets and keeps its lease with the socket that it opened with.
func TestLeaseNeedsNobody(t *testing.T) {
	s := newLentSite(t)
	l := &otherMaker{made: map[PacketKind]int{}}
	s.config.Packets = l
	g := s.up(t)
	l.cheat = nobody
	server := serveLeases(t, s.cloud, "192.0.2.100,192.0.2.120,255.255.255.0,2m")
	awaitPort(t, g, "a lease", hasAddress)
	seen := server.expect(t, 0, "DHCPACK")
	for _, to := range []string{"down", "up"} {
		ip(t, filepath.Join(s.dir, "cloud"), "link", "set", "eth0", to)
	}
	server.expect(t, seen, "DHCPACK") // asked whether it still holds
	if l.made[LeasePackets] != 1 {
		t.Errorf("%v sockets were asked for", l.made)
	}
}

// Blocked ports get ready to open while a lease is asked for, which has the socket: nobody
// is asked for another.
func TestStockCountsWhatIsInUse(t *testing.T) {
	g, _, l := upBehind(t, newLentSite(t))
	l.cheat = nobody
	conn, err := g.openLease(t.Context(), g.sides[1], dhcpv4.TransactionID{1})
	must(t, err)
	if err := g.stock(t.Context()); err != nil {
		t.Error(err)
	}
	must(t, conn.Close())
	k := g.sides[1].kept[LeasePackets]
	k.dies(t)
	if conn, err := g.openLease(t.Context(), g.sides[1], dhcpv4.TransactionID{2}); conn != nil || !errors.Is(err, errNobody) {
		t.Errorf("with a dead socket: %v", err)
	}
	if k.has() || g.stock(t.Context()) == nil {
		t.Error("a dead socket counts")
	}
	if l.cheat = nil; g.stock(t.Context()) != nil || !k.has() {
		t.Error("no other socket came in its place")
	}
}

// A socket at rest takes nothing of what comes to the port, and holds nothing of it.
func TestSocketsAtRest(t *testing.T) {
	g := newLentSite(t).up(t)
	halt(g)
	m := g.sides[1]
	for kind, k := range m.kept {
		file := k.take()
		if file == nil {
			t.Fatalf("no socket for %s is kept", kind)
		}
		must(t, onDescriptor(file, func(fd int) error { return bindPacket(fd, m.link.index, unix.ETH_P_ALL) }))
		must(t, k.put(file))
		must(t, onDescriptor(file, func(fd int) error {
			addr, err := unix.Getsockname(fd)
			if at, ok := addr.(*unix.SockaddrLinklayer); err == nil && (!ok || at.Ifindex != loIndex) {
				t.Errorf("%s: it rests at %+v", kind, addr)
			}
			return err
		}))
		if conn, err := g.openLease(t.Context(), m, dhcpv4.TransactionID{1}); err != nil {
			t.Error(err)
		} else if again, err := g.openLease(t.Context(), m, dhcpv4.TransactionID{2}); err != nil {
			t.Error(err)
		} else { // two at once are two
			must(t, errors.Join(conn.Close(), again.Close()))
		}
	}
	must(t, g.Close())
	for kind, k := range m.kept {
		if k.has() {
			t.Errorf("a socket for %s is open after the end", kind)
		}
	}
}
