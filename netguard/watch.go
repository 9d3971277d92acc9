package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sweepGap is what passes between two sweeps at least: a storm of events costs
// one sweep in that time and no more, and the last of it is seen within it.
const sweepGap = 10 * time.Millisecond

// signal is what a watch has to tell.
type signal struct {
	changed bool             // something changed in the kernel, or somebody asks for a sweep
	lost    []string         // where events were lost
	dead    map[string]error // where nothing is read any more, and why
}

// watch hears of changes in the three namespaces. It does not say what changed:
// whoever hears compares everything.
type watch struct {
	home    *home
	members []*member
	readers []*reader
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	pending signal
	closing bool
	wake    chan struct{} // holds one token while pending has something
	free    time.Time     // no sweep before; of the caller of next alone
}

// openWatch opens the sockets, for which a process without privileges would
// miss the right. The tables are followed where the members have a wall.
func openWatch(ctx context.Context, h *home, members []*member) (*watch, error) {
	w := &watch{home: h, members: members, wake: make(chan struct{}, 1)}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.closeReaders())
	}
	return w, nil
}

func (w *watch) open(ctx context.Context) error {
	err := atHome(func() error { return w.add(openReader("home", unix.NETLINK_ROUTE, homeGroups())) })
	if err != nil {
		return err
	}
	for _, m := range w.members {
		if err := m.ns.do(ctx, func() error { return w.follow(m) }); err != nil {
			return err
		}
	}
	return nil
}

// follow opens the sockets of one side, on its thread.
func (w *watch) follow(m *member) error {
	where := string(m.plan.side)
	err := w.add(openReader(where, unix.NETLINK_ROUTE, portGroups()))
	if err != nil || m.wall == nil {
		return err
	}
	r, err := openReader(where, unix.NETLINK_NETFILTER, []int{unix.NFNLGRP_NFTABLES})
	if err == nil {
		r.own = m.wall.PortID()
	}
	return w.add(r, err)
}

func (w *watch) add(r *reader, err error) error {
	if err == nil {
		w.readers = append(w.readers, r)
	}
	return err
}

// atHome runs f on a thread in the namespace of the process.
func atHome(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// start begins to read; close ends it.
func (w *watch) start() {
	for _, r := range w.readers {
		w.running.Go(func() { w.run(r) })
	}
}

// run reads until the reader ends. That it ended is told whatever ended it.
func (w *watch) run(r *reader) {
	var err error
	defer func() {
		if bug := recover(); bug != nil {
			err = fmt.Errorf("reading events: %v", bug)
		}
		w.note(func(s *signal) {
			if s.dead == nil {
				s.dead = map[string]error{}
			}
			s.dead[r.name()] = err
		})
	}()
	err = r.read(w)
}

// note changes what is pending and wakes whoever waits for it.
func (w *watch) note(change func(*signal)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return
	}
	change(&w.pending)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// poke asks for a sweep.
func (w *watch) poke() { w.note(func(s *signal) { s.changed = true }) }

// next waits until there is something to tell, until due, or until ctx is done.
// It keeps sweepGap from the last call of swept.
func (w *watch) next(ctx context.Context, due time.Time) signal {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return signal{}
	case <-timer.C:
	case <-w.wake:
		pause(ctx, time.Until(w.free))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pending
	w.pending = signal{}
	return s
}

// covered forgets the changes told of so far: everything is read after them.
func (w *watch) covered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending.changed = false
}

// swept says that a sweep has just ended.
func (w *watch) swept() { w.free = time.Now().Add(sweepGap) }

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// reopen replaces all readers by new ones, after one has died.
func (w *watch) reopen(ctx context.Context) error {
	err := w.halt()
	w.mu.Lock()
	w.closing, w.readers = false, nil
	w.mu.Unlock()
	if err == nil {
		err = w.open(ctx)
	}
	w.start()
	if err != nil {
		return fmt.Errorf("opening watch again: %w", err)
	}
	w.poke() // what happened meanwhile told nobody
	return nil
}

// close ends reading and waits for the readers.
func (w *watch) close() error { return w.halt() }

func (w *watch) halt() error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	err := w.closeReaders()
	w.running.Wait()
	return err
}

func (w *watch) closeReaders() error {
	var errs []error
	for _, r := range w.readers {
		if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// silentFor returns for how long the quietest reader has heard nothing. A guard
// sings a canary each minute in every namespace: a process that only looks on
// knows by that whether it still hears.
func (w *watch) silentFor(now time.Time) time.Duration {
	var longest time.Duration
	for _, r := range w.readers {
		if r.where != "home" {
			longest = max(longest, now.Sub(r.born)-time.Duration(r.heard.Load()))
		}
	}
	return longest
}
