//go:build unix

package flock

import (
	"errors"
	"os"
	"syscall"
)

// Wait locks a file, and waits until that is possible.
func Wait(f *os.File) error { return lock(f, 0) }

// Try locks a file. The error is ErrLocked where somebody else has the lock.
func Try(f *os.File) error { return lock(f, syscall.LOCK_NB) }

func lock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|how)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
