package netguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/bpf.h: programs on a link without a queueing discipline (tcx, Linux
// 6.6). They may redirect and rewrite each frame; the kernel tells nobody when
// one is put there, and shows it to nobody who does not ask.
const (
	tcxMost   = 64     // BPF_MPROG_MAX, of one direction
	bpfBefore = 1 << 3 // BPF_F_BEFORE: detach the first
	loIndex   = 1      // lo is the first link of every namespace
)

// programs are the links that had tcx programs when they were last asked.
type programs struct {
	asked time.Time
	links []int
}

// withPrograms returns which of the links have tcx programs. It asks twice a
// second at most, because it takes two switches of threads. Nobody can be asked
// without CAP_NET_ADMIN over the machine, before Linux 6.6, or without BPF: then
// there is none to be seen. It must not run twice at the same time.
func (n *namespace) withPrograms(ctx context.Context, links ...int) ([]int, error) {
	if time.Since(n.programs.asked) < pollEvery/2 {
		return n.programs.links, nil
	}
	now := programs{asked: time.Now()}
	err := n.do(ctx, func() error {
		for _, link := range links {
			for _, way := range []uint32{unix.BPF_TCX_INGRESS, unix.BPF_TCX_EGRESS} {
				count, err := countPrograms(link, way)
				if err != nil {
					return fmt.Errorf("asking for programs on link %d of the %s port: %w", link, n.side, err)
				}
				if count > 0 {
					now.links = append(now.links, link)
				}
			}
		}
		return nil
	})
	if err == nil {
		now.links = slices.Compact(now.links)
		n.programs = now
	}
	return now.links, err
}

// countPrograms asks on the namespace's thread.
func countPrograms(link int, way uint32) (int, error) {
	attr := struct { // union bpf_attr of BPF_PROG_QUERY
		link, way, flags, attached uint32
		ids                        uint64
		count, _                   uint32
		more                       [4]uint64
	}{link: uint32(link), way: way}
	err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch {
	case err == nil:
		return int(attr.count), nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return 0, nil
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT):
		return 0, nil // the link has just gone
	}
	return 0, err
}

// dropPrograms detaches the tcx programs of a link. One that a bpf_link holds
// stays until its owner ends.
func (n *namespace) dropPrograms(ctx context.Context, link int) error {
	n.programs = programs{} // to be asked for anew
	return n.do(ctx, func() error {
		for _, way := range []uint32{unix.BPF_TCX_INGRESS, unix.BPF_TCX_EGRESS} {
			for range tcxMost {
				if some, err := countPrograms(link, way); err != nil || some == 0 {
					break
				}
				attr := struct { // union bpf_attr of BPF_PROG_DETACH
					link, program, way, flags, replace, relative uint32
					revision                                     uint64
				}{link: uint32(link), way: way, flags: bpfBefore}
				if err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
					return fmt.Errorf("detaching program: %w", err)
				}
			}
		}
		return nil
	})
}

func bpf(command uintptr, attr unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size); errno != 0 {
		return errno
	}
	return nil
}
