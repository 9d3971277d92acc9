package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// supervisorNeeds is all that the supervisor keeps of root. The unit for systemd
// allows the same set, but for SETFCAP. Spared tells how the unit of the appliance makes
// one needless; there it is left out.
var supervisorNeeds = []struct {
	capability        uintptr
	name, why, spared string
}{
	{unix.CAP_NET_ADMIN, "NET_ADMIN", "links, addresses, routes, rules and the tables of both ports", ""},
	{unix.CAP_SYS_ADMIN, "SYS_ADMIN", "making and entering network namespaces, naming them in /run/netns", ""},
	{unix.CAP_NET_RAW, "NET_RAW", "packet sockets: the DHCP client and the probe for one segment", "a packet_socket, behind which another process makes them"},
	{unix.CAP_SYS_TIME, "SYS_TIME", "external.ntp sets the clock, or the time of the cloud does", "a clock.socket, behind which another process sets it"},
	{unix.CAP_SETUID, "SETUID", "the collector half becomes another user", "a half.socket, behind which systemd starts the half as that user"},
	{unix.CAP_SETGID, "SETGID", "and leaves root's groups", "the same"},
	{unix.CAP_SETPCAP, "SETPCAP", "the half empties its bounding set", "NoNewPrivileges: nothing that is executed gains what is in that set"},
	{unix.CAP_KILL, "KILL", "ending a half of another user that does not end by itself", "the same: its unit has a watchdog"},
	{unix.CAP_CHOWN, "CHOWN", "what lies in the state folder is given to the half", "a state folder that tmpfiles.d makes as it has to be"},
	{unix.CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH", "taking over a state folder that was another user's", "the same"},
	{unix.CAP_SYS_RESOURCE, "SYS_RESOURCE", "lifting the limit of locked memory where the unit did not; without a limit locking takes no privilege (mm/mlock.c, do_mlockall)", "LimitMEMLOCK=infinity"},
	{unix.CAP_SETFCAP, "SETFCAP", "root in mode userns: mapping root into the user namespace (user_namespaces(7)); given up once the ports are begun with", "mode enforce"},
}

// outsideOnly is what is needed until the ports are begun with.
const outsideOnly = uint64(1) << unix.CAP_SETFCAP

// needed is the table as a set.
func needed() (set uint64) {
	for _, n := range supervisorNeeds {
		set |= 1 << n.capability
	}
	return set
}

// confine gives up, on every thread and for all that is executed, each
// capability that is not in keep, and the ways to gain any by executing a
// program. Whoever lacks a capability of keep stays without it.
func confine(keep uint64) error {
	err := errors.Join(emptyBounding(keep), intersect(keep), allThreads(unix.PR_SET_NO_NEW_PRIVS, 1))
	if err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	return nil
}

// confineOrTell confines; what fails leaves more power than is needed, and is
// told: a binary built with cgo cannot change all its threads.
func confineOrTell(keep uint64, log *slog.Logger) {
	if err := confine(keep); err != nil {
		log.Warn("the supervisor has more capabilities than it needs", "error", err)
	}
}

// emptyBounding leaves keep alone in the bounding set. Who has no CAP_SETPCAP
// cannot: there no_new_privs stands before it.
func emptyBounding(keep uint64) error {
	for c := uintptr(0); c < 64; c++ {
		if keep>>c&1 == 1 {
			continue
		}
		switch err := allThreads(unix.PR_CAPBSET_DROP, c); {
		case err == nil:
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM): // past the last one, or not permitted
			return nil
		default:
			return os.NewSyscallError("prctl PR_CAPBSET_DROP", err)
		}
	}
	return nil
}

// intersect leaves keep alone in the permitted and the effective set, and nothing
// in those that are inherited. All threads have the same sets: that of the
// calling one is read.
func intersect(keep uint64) error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := &[2]unix.CapUserData{}
	if err := unix.Capget(header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	for i := range sets {
		part := uint32(keep >> (32 * i))
		sets[i].Permitted &= part
		sets[i].Effective &= part
		sets[i].Inheritable = 0 // and with it the ambient set (capabilities(7))
	}
	// The runtime hands both to each thread as plain numbers.
	var pins runtime.Pinner
	pins.Pin(header)
	pins.Pin(sets)
	defer pins.Unpin()
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(sets)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

func allThreads(option int, value uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), value, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
