package wall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var expires = regexp.MustCompile(`([0-9.]+) \. (\w+) \. (\d+) timeout \S+ expires ([0-9dhms]+)`)

// left reads from nft how long each element of the set has.
func left(t *testing.T, h *host, set string) map[string]time.Duration {
	t.Helper()
	out := map[string]time.Duration{}
	for _, m := range expires.FindAllStringSubmatch(h.must("nft -n list set inet lwc "+set), -1) {
		d, err := time.ParseDuration(strings.TrimPrefix(m[4], "0d"))
		must(t, err)
		out[m[1]+" "+m[2]+" "+m[3]] = d
	}
	return out
}

func TestPermitRenews(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Minute))
	must(t, w.Permit(addrPorts("192.0.2.2:443", "192.0.2.9:443", "[2001:db8::2]:443"), false, time.Hour))
	must(t, w.Permit(addrPorts("192.0.2.9:443"), false, time.Second)) // does not shorten
	must(t, w.Permit(addrPorts("192.0.2.9:123"), true, time.Minute))
	got := left(t, port, setPermitted4)
	for element, want := range map[string]time.Duration{"192.0.2.2 6 443": time.Hour, "192.0.2.9 6 443": time.Hour, "192.0.2.9 17 123": time.Minute} {
		if d := got[element]; d < want-10*time.Second || d > want {
			t.Errorf("%s has %s left, want nearly %s (all: %v)", element, d, want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("the set holds %v", got)
	}
	wantProblems(t, w, p)
	p.DNS = nil
	must(t, w.Apply(p)) // keeps them, with the rest of their time
	if again := left(t, port, setPermitted4); len(again) != 3 || again["192.0.2.9 6 443"] > got["192.0.2.9 6 443"] {
		t.Errorf("after Apply the set holds %v, had %v", again, got)
	}
	wantProblems(t, w, p)
}

// TestPermitTwiceAtTheEnd renews around the moment at which a permission ends.
func TestPermitTwiceAtTheEnd(t *testing.T) {
	port, _ := wire(t)
	w := port.open()
	must(t, w.Apply(external(port.link("p0"), false)))
	a := addrPorts("192.0.2.2:443")
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		must(t, w.Permit(a, false, 3*time.Millisecond))
	}
	must(t, w.Permit(a, false, time.Hour))
	if got := left(t, port, setPermitted4); got["192.0.2.2 6 443"] < 59*time.Minute {
		t.Errorf("the set holds %v", got)
	}
}

func TestPermitIsBounded(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), true)
	must(t, w.Apply(p))
	many := make([]netip.AddrPort, maxPermitted)
	for i := range many {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
		many[i] = netip.AddrPortFrom(netip.AddrFrom4(a), 443)
	}
	must(t, w.Permit(many, false, time.Hour))
	for range 3 { // all at once, which holds each twice for the time of a transaction
		must(t, w.Permit(many, false, 2*time.Hour))
	}
	if err := w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v, want %v", err, ErrFull)
	}
	wantProblems(t, w, p)
}

func TestPermitRefuses(t *testing.T) {
	port, _ := wire(t)
	w := port.open()
	if err := w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour); !errors.Is(err, ErrBadPort) {
		t.Errorf("before Apply: %v", err)
	}
	must(t, w.Apply(internal(port.link("p0"), false)))
	if err := w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour); !errors.Is(err, ErrBadPort) {
		t.Errorf("on the internal port: %v", err)
	}
	must(t, w.Apply(external(port.link("p0"), false)))
	for _, a := range []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.2:0")} {
		if err := w.Permit([]netip.AddrPort{a}, false, time.Hour); !errors.Is(err, ErrBadPort) {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := w.Permit(addrPorts("192.0.2.2:443"), false, 0); !errors.Is(err, ErrBadPort) {
		t.Errorf("no time: %v", err)
	}
}

// TestEventsNameTheSocket listens for changes as a watcher does.
func TestEventsNameTheSocket(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	var fd int
	must(t, port.do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	}))
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(int64(5 * time.Second))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	heard := func(what string, own bool) {
		t.Helper()
		b := make([]byte, 32<<10)
		for done := false; !done; {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				t.Fatalf("%s: no event: %v", what, err)
			}
			for m := b[:n]; len(m) >= unix.NLMSG_HDRLEN; m = m[min(len(m), align(int(binary.NativeEndian.Uint32(m)))):] {
				if by := binary.NativeEndian.Uint32(m[12:]); (by == w.PortID()) != own {
					t.Errorf("%s: event by %d, the wall is %d", what, by, w.PortID())
				}
				done = done || binary.NativeEndian.Uint16(m[4:])&0xff == unix.NFT_MSG_NEWGEN
			}
		}
	}
	before := port.must("nft -a list ruleset")
	must(t, w.Pulse())
	heard("Pulse", true)
	if after := port.must("nft -a list ruleset"); after != before {
		t.Errorf("Pulse made\n%s\nof\n%s", after, before)
	}
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour))
	heard("Permit", true)
	gen := w.gen
	wantProblems(t, w, p)
	if now, err := w.nl.generation(); err != nil || now != gen {
		t.Errorf("generation %d, %v, the wall counts %d: Check reads all each time", now, err, gen)
	}
	port.must("nft add table ip alien")
	heard("a foreign table", false)
}

// TestApplyAgainSendsNothing applies the same twice.
func TestApplyAgainSendsNothing(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	before, err := w.nl.generation()
	must(t, err)
	must(t, w.Apply(p))
	if after, err := w.nl.generation(); err != nil || after != before {
		t.Errorf("generation %d, %v, was %d", after, err, before)
	}
	port.must("ip link set p0 down")
	port.must("ip link set p0 name q0")
	wantProblems(t, w, p, fmt.Sprintf("%v: p0", ErrNoLink))
	if err := w.Apply(external(p, true)); !errors.Is(err, ErrNoLink) {
		t.Errorf("Apply without the link: %v", err)
	}
	q := port.link("q0")
	must(t, w.Apply(external(q, false)))
	wantProblems(t, w, external(q, false))
}
