package netguard

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clearSets empties the capability sets of all threads. The kernel reads both
// structures during the call only; they are pinned because the runtime passes
// them to each thread as plain numbers.
func clearSets() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := &[2]unix.CapUserData{}
	var pins runtime.Pinner
	pins.Pin(header)
	pins.Pin(sets)
	defer pins.Unpin()
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(sets)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}
