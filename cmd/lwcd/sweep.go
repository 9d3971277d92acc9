package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// overwriteFreed makes Go's collector of garbage overwrite each object when it frees
// it (package runtime, GODEBUG clobberfree). The half runs with it: the SSH and the
// JSON package copy passwords into buffers and strings of their own, which nobody
// else can overwrite.
const overwriteFreed = "clobberfree=1"

// sweepAfter are the times after credentials were wiped at which what they left
// behind is swept up: soon, and when the last connection that logged in with them
// has let go of its buffers and no opened key is kept any more (30 s).
var sweepAfter = []time.Duration{time.Second, 45 * time.Second}

// sweeper overwrites what wiped credentials leave behind: a collection of garbage,
// which with overwriteFreed overwrites all that nobody holds, and the return of free
// memory to the kernel, which gives it to nobody with its contents.
type sweeper struct {
	wake chan struct{} // capacity 1
	done func()        // called after each sweep; nil but in tests
}

func newSweeper() *sweeper { return &sweeper{wake: make(chan struct{}, 1)} }

// poke says that credentials were wiped. It does not wait.
func (s *sweeper) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run sweeps until ctx ends.
func (s *sweeper) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		var before time.Duration
		for _, at := range sweepAfter {
			if !sleep(ctx, at-before) {
				return nil
			}
			before = at
			sweep()
			if s.done != nil {
				s.done()
			}
		}
	}
}

// sweep collects twice: what has a finalizer or a cleanup, as connections have, is
// free only for the second collection. FreeOSMemory is one too.
func sweep() {
	runtime.GC()
	debug.FreeOSMemory()
}
