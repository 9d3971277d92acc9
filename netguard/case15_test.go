package netguard

import (
	"errors"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

// cannotInUserns are the attacks that root of a user namespace cannot even try,
// with the reason: the kernel asks for a capability over the whole machine.
var cannotInUserns = map[string]string{
	"xdp": "loading an XDP program needs CAP_BPF in the first user namespace (kernel/bpf/syscall.c, bpf_prog_load)",
}

// unableInUserns reports whether err is one of the refusals above, and says so.
// Any other refusal is a failure where nothing may be skipped.
func unableInUserns(t *testing.T, what string, err error) bool {
	t.Helper()
	if !insideUserns() || !(errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		return false
	}
	reason, listed := cannotInUserns[what]
	if !listed {
		need.Missing(t, "real root for "+what+", and no reason is listed")
	}
	t.Logf("NOT RUN as an ordinary user: %s: %s", what, reason)
	return true
}

// redirect is a way to send on, inside the kernel and past every table, whatever
// arrives at a link to the link with that index.
type redirect struct {
	name string
	put  func(t *testing.T, h *netguardtest.Host, link string, to int) error
	// refused is what the kernel says of one that leads to a link of another
	// namespace; nil where it takes it and drops what would go there.
	refused error
}

func redirects() []redirect {
	return []redirect{
		{"mirred", mirred, unix.ENODEV}, // net/sched/act_mirred.c, tcf_mirred_init
		{"xdp", xdp, nil},               // net/core/filter.c, xdp_do_generic_redirect
	}
}

// mirred does it with a filter for all packets and the action mirred.
func mirred(_ *testing.T, h *netguardtest.Host, link string, to int) error {
	l, err := h.Link(link)
	if err != nil {
		return err
	}
	nl, index := h.Netlink(), l.Attrs().Index
	if err := nl.QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}); err != nil {
		return err
	}
	return nl.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions: []netlink.Action{&netlink.MirredAction{ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_STOLEN},
			MirredAction: netlink.TCA_EGRESS_REDIR, Ifindex: to}}})
}

// xdp does it with the smallest program: return bpf_redirect(to, 0).
func xdp(t *testing.T, h *netguardtest.Host, link string, to int) error {
	const mov, call, exit, bpfRedirect = 0xb7, 0x85, 0x95, 23 // linux/bpf.h
	fd, err := loadXDP([]uint64{insn(mov, 1, int32(to)), insn(mov, 2, 0), insn(call, 0, bpfRedirect), insn(exit, 0, 0)})
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return h.Do(func() error {
		l, err := h.Link(link)
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(l, fd, unix.XDP_FLAGS_SKB_MODE)
	})
}

// insn is one instruction of struct bpf_insn on a little-endian machine.
func insn(code byte, register byte, immediate int32) uint64 {
	return uint64(code) | uint64(register)<<8 | uint64(uint32(immediate))<<32
}

func loadXDP(program []uint64) (fd int, err error) {
	return loadProgram(unix.BPF_PROG_TYPE_XDP, program)
}

func loadProgram(kind uint32, program []uint64) (fd int, err error) {
	license := []byte("GPL\x00")
	attr := struct { // union bpf_attr of BPF_PROG_LOAD, as far as it is needed
		kind, count      uint32
		program, license uint64
		rest             [8]uint64
	}{kind: kind, count: uint32(len(program)),
		program: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0])))}
	n, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Frames redirected inside the kernel, past routes and tables, reach the other
// port in a box with one namespace. In ours there is nothing to redirect to, and
// the attempt blocks the ports.
func TestCase15Redirects(t *testing.T) {
	t.Parallel()
	for _, r := range redirects() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			open := openScene(t)
			inside, outside := index(t, open.Box, open.Internal.Port), index(t, open.Box, open.External.Port)
			if err := errors.Join(r.put(t, open.Box, open.Internal.Port, outside), r.put(t, open.Box, open.External.Port, inside)); err != nil {
				if unableInUserns(t, r.name, err) {
					return
				}
				t.Fatalf("control: %v", err)
			}
			out, in := across(t, open.Site)
			if out == 0 || in == 0 {
				t.Fatalf("control: %d frames to the cloud, %d to the device", out, in)
			}
			for _, killed := range []bool{true, false} {
				attackRedirected(t, r, out+in, killed)
			}
		})
	}
}

func index(t *testing.T, h *netguardtest.Host, link string) int {
	t.Helper()
	l, err := h.Link(link)
	must(t, err)
	return l.Attrs().Index
}

func attackRedirected(t *testing.T, r redirect, seen int, killed bool) {
	t.Helper()
	s := newScene(t)
	g := s.guarded(t)
	left, right := s.in(t, InternalSide), s.in(t, ExternalSide)
	inside, outside := index(t, left, s.Internal.Port), index(t, right, s.External.Port)
	when := "guard alive"
	if killed {
		kill(t, g)
		when = "guard killed"
	}
	start := time.Now()
	for _, err := range []error{r.put(t, left, s.Internal.Port, outside), r.put(t, right, s.External.Port, inside)} {
		switch asSaid := errors.Is(err, r.refused) && (r.refused != nil || err == nil); {
		case asSaid:
		case killed:
			t.Errorf("%s, %s: the attack itself ended with %v, want %v", r.name, when, err, r.refused)
		default:
			t.Logf("%s, %s: the guard, which must block below, was in the way: %v", r.name, when, err)
		}
	}
	out, in := across(t, s.Site)
	if out+in > 0 {
		t.Errorf("%s, %s: %d frames crossed to the cloud, %d to the device", r.name, when, out, in)
	}
	var took time.Duration
	if !killed {
		e := g.event(t, limit(testTimeout), KindQueue, KindLink)
		took = e.At.Sub(start)
		g.status(t, limit(testTimeout), Blocked)
		if took > limit(time.Second) {
			t.Errorf("%s: flagged after %v", r.name, took)
		}
	}
	what := r.name + " aimed at the other port"
	if r.refused != nil {
		what += " (no such link there)"
	}
	record(t, caseResult{Case: 15, What: what + ", " + when, Control: seen, Crossed: out + in, Took: took})
}
