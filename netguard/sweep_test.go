package netguard

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func isKind(err error, kind Kind) bool {
	v, ok := errors.AsType[*Violation](err)
	return ok && v.Kind == kind
}

// awaitEvent reads events until one is what is asked for.
func awaitEvent(t testing.TB, g *Guard, what string, is func(Event) bool) Event {
	t.Helper()
	late := time.After(testTimeout)
	var seen []string
	for {
		select {
		case e := <-g.Events():
			if is(e) {
				return e
			}
			seen = append(seen, e.Text)
		case <-late:
			t.Fatalf("no event %s; state %+v, events %q", what, g.State(), seen)
		}
	}
}

func awaitViolation(t testing.TB, g *Guard, kind Kind, words string, healed bool) Event {
	t.Helper()
	return awaitEvent(t, g, string(kind)+" "+words, func(e Event) bool {
		return e.Violation != nil && e.Violation.Kind == kind && e.Violation.Healed == healed && strings.Contains(e.Text, words)
	})
}

func awaitStatus(t testing.TB, g *Guard, status Status) {
	t.Helper()
	awaitEvent(t, g, "ports are "+string(status), func(e Event) bool { return e.Violation == nil && e.Status == status })
}

// awaitTrue polls what makes no event.
func awaitTrue(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(testTimeout); !is(); pause(t.Context(), time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

// What can be undone is undone at once, told once as healed, and leaves the
// kernel as it was and the ports open.
func TestReverts(t *testing.T) {
	for _, tt := range tamperings() {
		if tt.grave {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			g := s.up(t)
			before := s.kernelState(t)
			s.inside(t, tt.do)
			e := awaitViolation(t, g, tt.kind, tt.words, true)
			if e.Status != Open || e.Violation.Port != InternalSide || e.Violation.At.IsZero() {
				t.Errorf("event %+v of %+v", e, e.Violation)
			}
			if after := s.kernelState(t); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if state := g.State(); state.Status != Open || state.Violations == 0 || state.Healed != state.Violations {
				t.Errorf("state %+v", state)
			}
			must(t, g.Close())
			for e := range g.Events() {
				if e.Violation != nil && e.Violation.Kind == tt.kind && strings.Contains(e.Text, tt.words) {
					t.Errorf("told again: %+v", e)
				}
			}
		})
	}
}

// The tables of a foreign program go, and ours come back after a flush that
// their owner's lock does not stop.
func TestRevertsTables(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	before := s.inside(t, "nft list ruleset")
	s.inside(t, "nft add table inet evil { chain c { type filter hook output priority 0 ; policy accept ; } ; }")
	awaitViolation(t, g, KindFilter, "evil", true)
	if after := s.inside(t, "nft list ruleset"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestRevertsSilentSettings(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	for i, path := range []string{"ipv4/conf/all/route_localnet", "ipv6/conf/lwcint0/accept_ra", "ipv4/conf/lwcint0/arp_ignore"} {
		m := g.sides[i%2]
		path = strings.ReplaceAll(path, "lwcint0", m.link.name)
		start := time.Now()
		must(t, setSysctl(m, path, "2"))
		awaitViolation(t, g, KindSysctl, path, true)
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("%s took %v", path, took)
		}
	}
}

// What cannot be undone at once blocks: no dials, no link, no connections, then
// the event. It is healed, and the ports open after the hold.
func TestBlocksAndReopens(t *testing.T) {
	s := newSite(t)
	address := serveSilence(t, s.device, deviceAddr4+":830")
	g := s.up(t)
	conn, err := g.Internal().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	start := time.Now()
	s.inside(t, "ip link add x0 type bridge")
	awaitViolation(t, g, KindExtraInterface, "x0 (bridge)", false)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from the connection: %v, want it closed", err)
	}
	if _, err := g.Internal().DialContext(t.Context(), "tcp", address); !errors.Is(err, ErrBlocked) {
		t.Errorf("dial: %v, want ErrBlocked", err)
	}
	if s.linkIsUp(t, ExternalNamespace, "lwcext0") || !s.linkIsUp(t, InternalNamespace, "lwcint0") {
		t.Error("the external link must be down, the internal one up")
	}
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, "x0") || state.Latched {
		t.Errorf("state %+v", state)
	}
	e := awaitViolation(t, g, KindExtraInterface, "x0 (bridge)", true)
	awaitStatus(t, g, Open)
	if took := time.Since(start); took < cleanSpan {
		t.Errorf("opened %v after %v", took, e)
	}
	report, err := g.Verify(t.Context())
	must(t, errors.Join(err, report.Err()))
	if state := g.State(); state.Violations != 1 || state.Healed != 1 || state.Detail != "" {
		t.Errorf("state %+v", state)
	}
	conn, err = g.Internal().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	must(t, conn.Close())
}

// serveSilence accepts connections and says nothing.
func serveSilence(t *testing.T, n *namespace, address string) string {
	t.Helper()
	l := listen(t, n, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func (s *site) linkIsUp(t testing.TB, namespace, link string) bool {
	t.Helper()
	return strings.Contains(s.within(t, filepath.Join(s.dir, namespace), "ip link show "+link), "UP")
}

// All that blocks does so, and is put right where it can be while blocked.
func TestBlocks(t *testing.T) {
	for _, tt := range tamperings() {
		if !tt.grave {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			g := s.up(t)
			start := time.Now()
			s.inside(t, tt.do)
			awaitViolation(t, g, tt.kind, tt.words, false)
			if took := time.Since(start); took > 500*time.Millisecond { // the tool's start included
				t.Errorf("detected after %v", took)
			}
			if g.State().Status != Blocked || s.linkIsUp(t, ExternalNamespace, "lwcext0") {
				t.Errorf("state %+v", g.State())
			}
			switch tt.kind {
			case KindOverlap: // waits for the configuration
				g.poke()
				pause(t.Context(), 5*sweepGap)
				expectViolation(t, g, tt.kind, InternalSide, tt.words)
			default:
				if tt.name != "gone" {
					awaitViolation(t, g, tt.kind, tt.words, true)
				}
			}
		})
	}
}

// A card that goes away and comes back is fetched again.
func TestCardComesBack(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	mac := g.sides[0].link.mac
	s.inside(t, "ip link del lwcint0")
	awaitViolation(t, g, KindLink, "is gone", false)
	addVeth(t, "lwcint0", s.device)
	if l, err := netlink.LinkByName("lwcint0"); err == nil { // its own address, as a card has
		hw, err := net.ParseMAC(mac)
		must(t, err)
		_ = netlink.LinkSetHardwareAddr(l, hw)
	}
	awaitStatus(t, g, Open)
	report, err := g.Verify(t.Context())
	must(t, errors.Join(err, report.Err()))
}

func TestDestroysStrays(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	m := g.sides[1]
	var fd int
	must(t, m.ns.do(t.Context(), func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return errors.Join(err, unix.Connect(fd, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 1}}))
	}))
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(int64(testTimeout))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	result := make(chan error, 1)
	go func() {
		_, _, err := unix.Recvfrom(fd, make([]byte, 1), 0)
		result <- err
	}()
	s.inside(t, "ip link add x0 type bridge")
	if err := <-result; !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("reading from a stray: %v, want ECONNABORTED", err)
	}
}

// The External Port stays as it is put by Close, and nothing of ours runs on.
func TestCloseEndsAll(t *testing.T) {
	s := newSite(t)
	running := goleak.IgnoreCurrent()
	g := s.up(t)
	s.inside(t, "ip link add x0 type bridge")
	awaitStatus(t, g, Blocked)
	must(t, g.Close())
	if s.linkIsUp(t, ExternalNamespace, "lwcext0") || s.linkIsUp(t, InternalNamespace, "lwcint0") {
		t.Error("a port is up after Close")
	}
	goleak.VerifyNone(t, running)
}

// Whoever changes the kernel again and again finds the ports closed for good.
func TestLatches(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	g.verifying.Lock()
	for range latchBlocks - 1 {
		g.patrol.hold.block(time.Now(), true)
	}
	g.verifying.Unlock()
	s.inside(t, "ip link add x0 type bridge")
	awaitViolation(t, g, KindExtraInterface, "x0", false)
	awaitTrue(t, "latched", func() bool { return g.State().Latched })
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, "for good") {
		t.Errorf("state %+v", state)
	}
}

func TestRevertsLatch(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	g.verifying.Lock()
	for range latchReverts - 1 {
		g.patrol.hold.revert(time.Now())
	}
	g.verifying.Unlock()
	s.inside(t, "ip route add 203.0.113.0/24 via 10.11.0.1")
	awaitViolation(t, g, KindRoute, "changed 100 times", false)
	if !g.State().Latched {
		t.Errorf("state %+v", g.State())
	}
}

// A Verify that finds something has the patrol look too.
func TestVerifyWakesTheWatch(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	s.inside(t, "ip route add 203.0.113.0/24 via 10.11.0.1")
	g.watch.covered()
	expectViolation(t, g, KindRoute, InternalSide, "203.0.113.0/24")
	if s := g.watch.next(context.Background(), time.Now().Add(testTimeout)); !s.changed {
		t.Errorf("signal %+v", s)
	}
}

// A filter on a queue that has one can send frames anywhere; it goes with all
// others when the kernel makes the queue anew.
func TestFiltersAreFound(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	s.inside(t, "tc qdisc add dev lwcint0 root handle 5: htb")
	s.inside(t, "tc filter add dev lwcint0 parent 5: protocol all u32 match u32 0 0 action mirred egress redirect dev lo")
	v := expectViolation(t, g, KindQueue, InternalSide, "1 filters on lwcint0")
	if v == nil || !v.grave() {
		t.Fatal("a filter does not block")
	}
	m := g.sides[0]
	l, err := m.ns.nl.LinkByIndex(m.link.index)
	must(t, err)
	must(t, m.ns.renewQueue(l))
	report, err := g.Verify(t.Context())
	must(t, errors.Join(err, report.Err()))
}

// A bug in the patrol closes both ports before it ends the process.
func TestBugClosesThePorts(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	p.probe.at = time.Time{}
	p.cancel = nil // what block calls
	s.inside(t, "ip link add x0 type bridge")
	var bug any
	func() {
		defer func() { bug = recover() }()
		p.run(within(t, testTimeout))
	}()
	if bug == nil {
		t.Error("the bug did not go on its way")
	}
	if s.linkIsUp(t, ExternalNamespace, "lwcext0") || s.linkIsUp(t, InternalNamespace, "lwcint0") {
		t.Error("a port is up")
	}
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, "the watch broke") {
		t.Errorf("state %+v", state)
	}
}

// A cable that comes and goes is no violation, however often it does.
func TestFlappingCarrierIsHarmless(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	far, err := s.device.nl.LinkByName("eth0")
	must(t, err)
	for range 25 {
		for _, set := range []func(netlink.Link) error{s.device.nl.LinkSetDown, s.device.nl.LinkSetUp} {
			must(t, set(far))
			pause(t.Context(), 3*sweepGap)
		}
	}
	awaitTrue(t, "dials go out again", func() bool { return g.refusal() == nil })
	report, err := g.Verify(t.Context())
	must(t, errors.Join(err, report.Err()))
	if state := g.State(); state.Status != Open || state.Violations != 0 || state.Latched {
		t.Errorf("state %+v", state)
	}
}
