// Package flock locks a file against other processes of the same machine, on Unix
// and on Windows. [Wait] waits for the lock, [Try] does not. The lock ends with the
// file, however the process ends.
package flock

import "errors"

// ErrLocked says that another process, or another open file, has the lock.
var ErrLocked = errors.New("it is locked by another process")
