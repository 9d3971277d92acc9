package netguard

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// manual stops the patrol of g and returns one that the test runs round by round.
func manual(g *Guard) *patrol {
	halt(g)
	p := newPatrol(g, time.Now())
	p.probe.restart(true, time.Now())
	return p
}

// readerOf returns the reader of routes or of tables of one namespace.
func (w *watch) readerOf(where string, protocol int) *reader {
	for _, r := range w.readers {
		if r.where == where && r.protocol == protocol {
			return r
		}
	}
	return nil
}

func (r *reader) control(t testing.TB, f func(fd int) error) {
	t.Helper()
	raw, err := r.file.SyscallConn()
	must(t, err)
	var failed error
	must(t, raw.Control(func(fd uintptr) { failed = f(int(fd)) }))
	must(t, failed)
}

// A probe that runs, or that must wait for the ports to open, is not due: the
// patrol sleeps meanwhile.
func TestPatrolSleepsDuringProbe(t *testing.T) {
	now := at(0)
	p := newPatrol(nil, now)
	p.pollAt, p.sweepAt = at(1), at(30)
	p.probe.carrier(true, now)
	if due := p.due(); due != now {
		t.Errorf("a probe is due at %v, not %v", now, due)
	}
	p.probe.running = true
	if due := p.due(); due != at(1) {
		t.Errorf("while it runs, due at %v", due)
	}
	p.probe.running, p.phase = false, blocked
	if due := p.due(); due != at(1) {
		t.Errorf("while blocked, due at %v", due)
	}
}

// Each reader hears the canary, and each kind of change in its namespace.
func TestWatchHears(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	p.singAt = time.Now()
	p.sing(time.Now())
	awaitTrue(t, "canary heard", func() bool { return len(g.watch.unheard()) == 0 })
	for name, line := range map[string]string{
		"link": "ip link set lwcint0 alias x", "address": "ip addr add 10.55.0.1/24 dev lwcint0",
		"route": "ip route add 203.0.113.0/24 via 10.11.0.1", "rule": "ip rule add lookup 9",
		"queue": "tc qdisc add dev lwcint0 clsact", "table": "nft add table ip x", "nexthop": "ip nexthop add id 7 blackhole",
		"netconf": "sysctl -qw net.ipv4.conf.lwcint0.forwarding=1",
	} {
		awaitQuiet(t, g.watch)
		s.inside(t, line)
		if heard := g.watch.next(t.Context(), time.Now().Add(time.Second)); !heard.changed {
			t.Errorf("%s: no event", name)
		}
	}
}

// awaitQuiet forgets events until none come.
func awaitQuiet(t testing.TB, w *watch) {
	t.Helper()
	awaitTrue(t, "quiet", func() bool { return !w.next(t.Context(), time.Now().Add(50*time.Millisecond)).changed })
}

// What the guard itself does to the tables is no news.
func TestWatchIgnoresOwnTables(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	awaitQuiet(t, g.watch)
	m := g.sides[1]
	r := g.watch.readerOf("external", unix.NETLINK_NETFILTER)
	before := r.heard.Load()
	must(t, m.wall.Pulse())
	awaitTrue(t, "heard", func() bool { return r.heard.Load() != before })
	if heard := g.watch.next(t.Context(), time.Now().Add(100*time.Millisecond)); heard.changed {
		t.Errorf("signal %+v", heard)
	}
}

// A reader that hears nothing, although it lives, is found out by the canary.
func TestMissedCanaryBlocks(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	g.watch.readerOf("internal", unix.NETLINK_ROUTE).control(t, func(fd int) error {
		var errs []error
		for _, group := range portGroups() { // the address makes events of routes too
			errs = append(errs, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, group))
		}
		return errors.Join(errs...)
	})
	p.singAt = time.Now()
	patrolUntil(t, p, "internal", false)
	if g.State().Status != Blocked {
		t.Errorf("state %+v", g.State())
	}
	patrolUntil(t, p, "internal", true) // it was opened anew
	patrolUntilOpen(t, p)
}

func TestMissedCanaryOfTablesBlocks(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	g.watch.readerOf("external", unix.NETLINK_NETFILTER).control(t, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, unix.NFNLGRP_NFTABLES)
	})
	p.singAt = time.Now()
	patrolUntil(t, p, "external tables", false)
}

// patrolUntil runs p until it tells of a violation of the watch.
func patrolUntil(t *testing.T, p *patrol, words string, healed bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	awaitViolation(t, p.guard, KindWatch, words, healed)
	cancel()
	<-done
}

func patrolUntilOpen(t *testing.T, p *patrol) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	awaitStatus(t, p.guard, Open)
	cancel()
	<-done
}

// A watch whose socket breaks blocks at once, is opened again, and must hear a
// canary before the ports open.
func TestWatcherDeathBlocks(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	r := g.watch.readerOf("external", unix.NETLINK_ROUTE)
	must(t, r.file.Close())
	e := awaitViolation(t, g, KindWatch, "the watch of external ended", false)
	if e.Status != Blocked {
		t.Errorf("event %+v", e)
	}
	awaitViolation(t, g, KindWatch, "the watch of external ended", true)
	awaitStatus(t, g, Open)
	s.inside(t, "ip route add 203.0.113.0/24 via 10.11.0.1")
	awaitViolation(t, g, KindRoute, "203.0.113.0/24", true)
}

// Events that do not fit are made good by a sweep; twice in short time blocks.
func TestLostEvents(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	awaitQuiet(t, g.watch)
	for i, want := range []Status{Open, Blocked} {
		r := g.watch.readerOf("internal", unix.NETLINK_ROUTE)
		r.control(t, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
		g.watch.mu.Lock() // the reader stops at its first message
		for range 5 {     // more than the least buffer holds
			s.inside(t, "ip link set lwcint0 alias "+strings.Repeat("x", 200))
		}
		g.watch.mu.Unlock()
		awaitTrue(t, "lost", func() bool { g.watch.mu.Lock(); defer g.watch.mu.Unlock(); return len(g.watch.pending.lost) > 0 })
		heard := g.watch.next(t.Context(), time.Now().Add(testTimeout))
		if len(heard.lost) == 0 || heard.lost[0] != "internal" {
			t.Fatalf("signal %d is %+v", i, heard)
		}
		p.round(t.Context(), heard)
		if got := g.State().Status; got != want {
			t.Errorf("after loss %d: %v", i, got)
		}
	}
}

// A storm of changes costs a sweep now and then, and its last change is seen.
func TestStorm(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	m := g.sides[0]
	var nl *netlink.Handle
	must(t, m.ns.do(t.Context(), func() (err error) { nl, err = openNetlink(); return err }))
	defer nl.Close()
	a := &netlink.Addr{IPNet: ipNet(prefixes("127.5.5.5/32")[0])} // harmless, so that nothing is reverted
	lo, err := nl.LinkByName("lo")
	must(t, err)
	for range 5000 {
		must(t, nl.AddrAdd(lo, a))
		must(t, nl.AddrDel(lo, a))
	}
	start := time.Now()
	must(t, setSysctl(m, "ipv4/ip_forward", "1"))
	awaitViolation(t, g, KindSysctl, "ip_forward", true)
	if took := time.Since(start); took > 100*time.Millisecond {
		t.Errorf("fixed after %v", took)
	}
	if g.State().Status != Open {
		t.Errorf("state %+v", g.State())
	}
}

// plug makes a bridge in the cloud's namespace, and puts the far ends of both
// ports into it: one switch.
func (s *site) plug(t testing.TB) {
	t.Helper()
	device, cloud := filepath.Join(s.dir, "device"), filepath.Join(s.dir, "cloud")
	s.within(t, cloud, "ip link add sw0 up type bridge")
	s.within(t, cloud, "ip link set eth0 master sw0")
	s.within(t, device, "ip link set eth0 name port2")
	l, err := s.device.nl.LinkByName("port2")
	must(t, err)
	must(t, s.device.nl.LinkSetNsFd(l, int(s.cloud.file.Fd())))
	s.within(t, cloud, "ip link set port2 up master sw0")
}

func TestUpRefusesOneSegment(t *testing.T) {
	s := newSite(t)
	s.plug(t)
	_, err := Up(within(t, testTimeout), s.config)
	if !errors.Is(err, ErrSameSegment) {
		t.Fatalf("error is %v, want ErrSameSegment", err)
	}
	for ns, link := range map[string]string{InternalNamespace: "lwcint0", ExternalNamespace: "lwcext0"} {
		if s.linkIsUp(t, ns, link) {
			t.Errorf("%s is up", link)
		}
	}
}

// Cables that are changed while the ports are up: the carrier goes and comes.
func TestOneSegmentLater(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	s.plug(t)
	e := awaitViolation(t, g, KindSegment, "connect the two ports to separate networks", false)
	if e.Status != Blocked || !errors.Is(e.Violation, ErrSameSegment) {
		t.Errorf("event %+v", e)
	}
	s.within(t, filepath.Join(s.dir, "cloud"), "ip link set port2 nomaster")
	awaitStatus(t, g, Open)
	if state := g.State(); state.Healed != state.Violations {
		t.Errorf("state %+v", state)
	}
}

// A carrier that came while a probe ran, which may have seen nothing of it, is
// probed before anything is dialled; a probe that cannot be done blocks.
func TestResultsOfProbes(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := manual(g)
	now := time.Now().Add(-time.Second)
	p.probe.begin(now)
	p.probe.carrier(false, now.Add(time.Millisecond))
	p.probe.carrier(true, now.Add(2*time.Millisecond))
	g.pauseDials("a carrier came")
	p.proved(t.Context(), proof{})
	if g.refusal() == nil || !p.probe.due(time.Now()) {
		t.Errorf("dials go out before a probe: %+v", p.probe)
	}
	p.probe.begin(time.Now())
	p.proved(t.Context(), proof{carrier: true})
	if err := g.refusal(); err != nil {
		t.Errorf("after a probe: %v", err)
	}
	p.proved(t.Context(), proof{err: errors.New("no packet socket")})
	if state := g.State(); state.Status != Blocked || !strings.Contains(state.Detail, "no packet socket") {
		t.Errorf("state %+v", state)
	}
}
