package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Wait locks a file, and waits until that is possible.
func Wait(f *os.File) error { return lock(f, 0) }

// Try locks a file. The error is ErrLocked where somebody else has the lock.
func Try(f *os.File) error { return lock(f, windows.LOCKFILE_FAIL_IMMEDIATELY) }

// lock takes the whole file (LockFileEx, winbase.h).
func lock(f *os.File, how uint32) error {
	const all = ^uint32(0)
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|how, 0, all, all, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}
