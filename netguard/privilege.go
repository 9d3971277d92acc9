package netguard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// needed is what Up does not work without; packetsNeeded is for packet sockets.
const (
	needed        = uint64(1)<<unix.CAP_NET_ADMIN | uint64(1)<<unix.CAP_SYS_ADMIN
	packetsNeeded = uint64(1) << unix.CAP_NET_RAW
)

// privilege turns a permission error of the kernel into one that says what to do. What
// another process may not do, that of the packet sockets, is not this one's lack.
func privilege(err error) error {
	if err == nil || errors.Is(err, errNoPacket) || !(errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		return err
	}
	return fmt.Errorf("%w: %w: run as root, with CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_NET_RAW, or in mode userns", ErrPrivilege, err)
}

// checkPrivileges says what is missing for that configuration before anything is touched.
func checkPrivileges(c Config) error {
	have, err := effective()
	if err != nil {
		return err
	}
	all := needed
	if c.Packets == nil {
		all |= packetsNeeded
	}
	if have&all == all {
		return nil
	}
	if c.Mode == Userns {
		return fmt.Errorf("%w: mode userns works inside a user namespace: call netguard.Reexec first", ErrPrivilege)
	}
	return fmt.Errorf("%w: mode enforce needs CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_NET_RAW: run as root, or use mode userns", ErrPrivilege)
}

// effective returns the effective capabilities of the calling thread.
func effective() (uint64, error) {
	// A thread that ends between open and read takes its file along.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	caps, err := capabilities("/proc/thread-self/status", "CapEff:")
	if err != nil {
		return 0, fmt.Errorf("reading own capabilities: %w", err)
	}
	return caps, nil
}

func capabilities(path, field string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), field); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, field)
}

// drop makes the process that user and group for good; see Half.DropPrivileges.
func drop(uid, gid int) error {
	// The bounding set first: emptying it takes a capability.
	if err := dropBounding(); err != nil {
		return err
	}
	if uid != 0 {
		if err := becomeUser(uid, gid); err != nil {
			return err
		}
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	return nothingLeft()
}

func becomeUser(uid, gid int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return os.NewSyscallError("setgroups", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return os.NewSyscallError("setresgid", err)
	}
	return os.NewSyscallError("setresuid", syscall.Setresuid(uid, uid, uid))
}

// dropCapabilities clears every set of every thread. A binary built with cgo
// cannot do that; there setresuid has cleared them when the user changed, and
// nothingLeft is the judge.
func dropCapabilities() error {
	switch err := allThreads(unix.PR_SET_NO_NEW_PRIVS, 1, 0); {
	case errors.Is(err, syscall.ENOTSUP):
		return nil
	case err != nil:
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	// A kernel before 4.3 has no ambient set.
	err := allThreads(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return os.NewSyscallError("prctl PR_CAP_AMBIENT", err)
	}
	return clearSets()
}

// dropBounding takes away from every thread what a program that is executed
// could ever gain. Who has no CAP_SETPCAP has nothing to drop with: then
// no_new_privs alone stands before it.
func dropBounding() error {
	for c := uintptr(0); c < 64; c++ {
		err := allThreads(unix.PR_CAPBSET_DROP, c, 0)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINVAL) && c > unix.CAP_SYS_ADMIN: // past the last one that the kernel knows
			return nil
		case errors.Is(err, unix.EPERM), errors.Is(err, syscall.ENOTSUP):
			return nil
		default:
			return os.NewSyscallError("prctl PR_CAPBSET_DROP", err)
		}
	}
	return nil
}

func allThreads(option int, arg2, arg3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), arg2, arg3, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// nothingLeft reads the capabilities of every thread of the process.
func nothingLeft() error {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		for _, field := range []string{"CapEff:", "CapPrm:", "CapInh:", "CapAmb:"} {
			caps, err := capabilities(task, field)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				break // the thread ended
			}
			if err != nil {
				return err
			}
			if caps != 0 {
				return fmt.Errorf("a thread still has %s %x (a binary built with cgo can only drop them by changing the user)", field, caps)
			}
		}
	}
	return nil
}
