package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
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
// free only for the second collection. FreeOSMemory is one too. The first gives back
// the stacks of goroutines that have ended, which are overwritten then.
func sweep() {
	runtime.GC()
	for _, s := range stacks {
		overwriteStacks(s.many, s.frames)
	}
	debug.FreeOSMemory()
}

// stacks are the sizes of stacks that Go cuts out of pages which others may still use
// (runtime, _NumStackOrders: 2 to 16 KiB), so that these do not go back to the kernel:
// how many of each are overwritten, 2 MiB at a time, and how many frames fill one.
var stacks = []struct{ many, frames int }{{1024, 3}, {512, 10}, {256, 24}, {128, 52}}

// overwriteStacks takes that many stacks at once, which are those that nobody uses
// first of all, and writes over them.
func overwriteStacks(many, frames int) {
	var full, ended sync.WaitGroup
	leave := make(chan struct{})
	full.Add(many)
	for range many {
		ended.Go(func() {
			fillStack(frames)
			full.Done()
			<-leave
		})
	}
	full.Wait()
	close(leave)
	ended.Wait()
}

// fillStack writes over some 280 bytes of its stack for each frame.
//
//go:noinline
func fillStack(frames int) (sum byte) {
	var frame [240]byte
	for i := range frame {
		frame[i] = byte(frames)
	}
	if frames > 1 {
		frame[0] = fillStack(frames - 1)
	}
	for _, b := range &frame {
		sum += b
	}
	return sum
}
