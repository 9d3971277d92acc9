// Package selfcheck looks at what a process needs of its surroundings to keep what
// it holds in memory there: no swap, no core file, memory enough and locked, random
// numbers, a clock.
//
// Look asks the kernel, by files of /proc and /sys and a few calls, and changes
// nothing. It takes less than a millisecond. Each Check that is not good says what
// to do. Checks are told, they stop nothing: a collector that ends because its
// machine has swap collects nothing, and that is worse.
package selfcheck

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lwc/transport/wire"
)

// System is what is looked at.
type System struct {
	// Files is the root of the filesystem: proc/self/status, proc/swaps,
	// proc/sys/kernel/core_pattern, sys/fs/cgroup.
	Files fs.FS
	// Need is how much memory the process may come to use, in bytes.
	Need int64
	// Cloud is how far the cloud's time is ahead of the machine's clock; Known is
	// false before the first welcome.
	Cloud time.Duration
	Known bool
}

// The names of the checks.
const (
	Memory  = "memory"  // a limit that is large enough
	Locked  = "locked"  // memory that is not swapped
	Swap    = "swap"    // a machine without any
	Core    = "core"    // no core file, no debugger
	Entropy = "entropy" // random numbers from a seeded source
	Clock   = "clock"   // right, by the cloud's
)

// Look makes all checks, in a fixed order.
func (s System) Look() []wire.Check {
	swap := s.swap()
	return []wire.Check{s.memory(), s.locked(swap.OK), swap, s.core(), entropy(), s.clock()}
}

func good(name, format string, args ...any) wire.Check {
	return wire.Check{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)}
}

func bad(name, format string, args ...any) wire.Check {
	return wire.Check{Name: name, Detail: fmt.Sprintf(format, args...)}
}

// mib rounds up.
func mib(bytes int64) string { return fmt.Sprintf("%d MiB", (bytes+1<<20-1)>>20) }

// memory compares what may be used with the tightest limit of the process's groups
// (cgroup v2, memory.max) and with what the machine has.
func (s System) memory() wire.Check {
	has := field(s.read("proc/meminfo"), "MemTotal:") << 10
	limit, where := s.groupLimit()
	switch {
	case has > 0 && has < s.Need:
		return bad(Memory, "the machine has %s and lwcd may come to use %s: give it more, or lower the budget for documents", mib(has), mib(s.Need))
	case limit > 0 && limit < s.Need:
		return bad(Memory, "%s allows %s and lwcd may come to use %s: raise it (MemoryMax of the unit), or lower the budget for documents", where, mib(limit), mib(s.Need))
	case limit > 0:
		return good(Memory, "%s of the %s that %s allows", mib(s.Need), mib(limit), where)
	}
	return good(Memory, "%s of %s", mib(s.Need), mib(has))
}

// groupLimit walks up from the process's own group.
func (s System) groupLimit() (limit int64, where string) {
	_, path, ok := strings.Cut(s.read("proc/self/cgroup"), "0::/")
	if !ok {
		return 0, ""
	}
	path, _, _ = strings.Cut(path, "\n")
	for dir := strings.Trim(path, "/"); ; {
		file := strings.ReplaceAll("sys/fs/cgroup/"+dir+"/memory.max", "//", "/")
		n, err := strconv.ParseInt(strings.TrimSpace(s.read(file)), 10, 64)
		if err == nil && (limit == 0 || n < limit) {
			limit, where = n, "/"+file
		}
		if dir == "" {
			return limit, where
		}
		dir = dir[:max(strings.LastIndex(dir, "/"), 0)]
	}
}

// swap tells whether the machine could write memory to a disk. Compressed memory
// (zram) is no disk.
func (s System) swap() wire.Check {
	lines := strings.Split(strings.TrimSpace(s.read("proc/swaps")), "\n")
	var disks []string
	for _, line := range lines[min(1, len(lines)):] {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "/dev/zram") {
			disks = append(disks, f[0])
		}
	}
	if len(disks) > 0 {
		return bad(Swap, "the machine swaps to %s: switch it off (swapoff -a, and take it out of /etc/fstab)", strings.Join(disks, ", "))
	}
	return good(Swap, "the machine has none on a disk")
}

// locked tells whether the process's memory is kept from swap. Without swap it need
// not be.
func (s System) locked(noSwap bool) wire.Check {
	n := field(s.read("proc/self/status"), "VmLck:") << 10
	switch {
	case n > 0:
		return good(Locked, "%s locked", mib(n))
	case noSwap:
		return good(Locked, "not locked; the machine has no swap to write it to")
	}
	return bad(Locked, "memory is not locked and the machine has swap: set LimitMEMLOCK=infinity in the unit, or switch swap off")
}

// core tells whether the process could be dumped.
func (s System) core() wire.Check {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		return bad(Core, "the process can be dumped and traced by its own user (PR_GET_DUMPABLE %d): restart lwcd, and tell its makers", dumpable)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 {
		return bad(Core, "core files are allowed: set LimitCORE=0 in the unit")
	}
	return good(Core, "neither core files nor debuggers of the same user")
}

// entropy asks for random bytes without waiting for them (getrandom(2)).
func entropy() wire.Check {
	if n, err := unix.Getrandom(make([]byte, 1), unix.GRND_NONBLOCK); err != nil || n != 1 {
		return bad(Entropy, "the kernel's random numbers are not seeded yet: wait, or give the machine a source (virtio-rng, a seed file)")
	}
	return good(Entropy, "seeded")
}

// maxOff is where certificates and the times in logs begin to be wrong.
const maxOff = 30 * time.Second

func (s System) clock() wire.Check {
	switch {
	case !s.Known:
		return good(Clock, "not compared with the cloud's yet")
	case s.Cloud.Abs() > maxOff:
		return bad(Clock, "the machine's clock differs by %s from the cloud's: set external.ntp, or the clock", s.Cloud.Round(time.Second))
	}
	return good(Clock, "%s from the cloud's", s.Cloud.Round(time.Millisecond))
}

func (s System) read(path string) string {
	b, err := fs.ReadFile(s.Files, path)
	if err != nil {
		return "" // what cannot be read says nothing
	}
	return string(b)
}

// field finds a number of "Name:  123 kB".
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
