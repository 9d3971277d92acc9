package netguard

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// putProgram puts a program that looks at no frame on a link, without a queueing
// discipline; of that the kernel tells nobody.
func putProgram(t *testing.T, m *member, link int, way uint32) {
	t.Helper()
	const mov, exit, next = 0xb7, 0x95, -1 // linux/bpf.h; TCX_NEXT
	fd, err := loadProgram(unix.BPF_PROG_TYPE_SCHED_CLS, []uint64{insn(mov, 0, next), insn(exit, 0, 0)})
	if unableInUserns(t, "xdp", err) {
		t.SkipNow()
	}
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	attr := struct{ link, program, way, flags, replace, relative uint32 }{link: uint32(link), program: uint32(fd), way: way}
	err = m.ns.do(t.Context(), func() error { return bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)) })
	if errors.Is(err, unix.EINVAL) {
		need.Kernel(t, "tcx", "programs without a queueing discipline, Linux 6.6")
	}
	must(t, err)
}

// A program that comes without an event is found within the second, blocks, and
// is taken off.
func TestProgramsAreFound(t *testing.T) {
	for name, way := range map[string]uint32{"ingress": unix.BPF_TCX_INGRESS, "egress": unix.BPF_TCX_EGRESS} {
		for _, onLo := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t)
				g := s.up(t)
				m := g.sides[1]
				link, words := m.link.index, "lwcext0 has a BPF program"
				if onLo {
					link, words = loIndex, "lo has a BPF program"
				}
				putProgram(t, m, link, way)
				e := awaitViolation(t, g, KindQueue, words, false)
				if e.Status != Blocked || e.Violation.Port != ExternalSide {
					t.Errorf("event %+v of %+v", e, e.Violation)
				}
				awaitViolation(t, g, KindQueue, words, true)
				must(t, m.ns.do(t.Context(), func() error {
					if count, err := countPrograms(link, way); err != nil || count != 0 {
						t.Errorf("%d programs (%v)", count, err)
					}
					return nil
				}))
			})
		}
	}
}

// A program on lo could send what the machine says to itself out of the port.
func TestXDPOnLoIsFound(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	halt(g)
	fd, err := loadXDP([]uint64{insn(0xb7, 0, 2), insn(0x95, 0, 0)}) // return XDP_PASS
	if unableInUserns(t, "xdp", err) {
		return
	}
	must(t, err)
	defer unix.Close(fd)
	m := g.sides[0]
	must(t, m.ns.do(t.Context(), func() error {
		lo, err := m.ns.nl.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(lo, fd, unix.XDP_FLAGS_SKB_MODE)
	}))
	expectViolation(t, g, KindLink, InternalSide, "lo has an XDP program")
}
