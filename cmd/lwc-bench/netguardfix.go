package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// attack is one kind of hostile change in a port namespace, made and judged
// without the guard: do makes the change, fixed reads from the kernel whether
// nothing is left of it.
type attack struct {
	name  string
	do    func() error
	fixed func() (bool, error)
}

// The limits of the time from the change to the fix.
const (
	fixMedian = 20 * time.Millisecond
	fixWorst  = 100 * time.Millisecond // of 99 in 100
)

// tooLong ends the wait for a fix.
const tooLong = 5 * time.Second

// perGuard is how many changes one guard sees: more in ten minutes would make it
// keep the ports blocked, as it should.
const perGuard = 50

// fix measures how long each kind of change lasts.
func (b *guardBench) fix(ctx context.Context) error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	b.say("%-22s %7s %9s %9s %9s", "change", "times", "p50 ms", "p99 ms", "max ms")
	for _, name := range attackNames() {
		times, err := b.attacks(ctx, s, name)
		if errors.Is(err, errRefused) {
			b.say("%-22s refused by the kernel: the tables have an owner", name)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.say("%-22s %7d %9.2f %9.2f %9.2f", name, len(times), ms(times.at(0.5)), ms(times.at(0.99)), ms(times.at(1)))
		b.goal("netguard-fix-"+name+"-p50-ms", ms(times.at(0.5)), ms(fixMedian))
		b.goal("netguard-fix-"+name+"-p99-ms", ms(times.at(0.99)), ms(fixWorst))
	}
	return nil
}

var errRefused = errors.New("refused by the kernel")

// attacks makes all changes of one kind, in both port namespaces in turn.
func (b *guardBench) attacks(ctx context.Context, s *guardSite, name string) (times spread, err error) {
	for len(times) < b.events {
		for _, namespace := range []string{netguard.InternalNamespace, netguard.ExternalNamespace} {
			n := min(perGuard, b.events-len(times))
			some, err := b.round(ctx, s, namespace, name, n)
			if times = append(times, some...); err != nil {
				return times, err
			}
		}
	}
	return times, nil
}

// round has one guard undo n changes.
func (b *guardBench) round(ctx context.Context, s *guardSite, namespace, name string, n int) (times spread, err error) {
	if n == 0 {
		return nil, nil
	}
	g, err := s.up(ctx, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	h, err := s.inside(namespace)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	err = h.Do(func() error {
		a, err := newAttack(name, h, s)
		if err != nil {
			return err
		}
		for range n {
			took, err := strike(ctx, a)
			if err != nil {
				return err
			}
			times = append(times, took)
		}
		return nil
	})
	return times, err
}

// strike makes one change at a random moment and waits for its end. It runs on a
// thread inside the namespace.
func strike(ctx context.Context, a attack) (time.Duration, error) {
	if err := paused(ctx, 20*time.Millisecond+rand.N(60*time.Millisecond)); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := a.do(); err != nil {
		return 0, fmt.Errorf("changing the kernel: %w", err)
	}
	for {
		ok, err := a.fixed()
		if err != nil {
			return 0, fmt.Errorf("reading the kernel: %w", err)
		}
		took := time.Since(start)
		if ok {
			return took, nil
		}
		if took > tooLong {
			return took, fmt.Errorf("waiting for the fix: none within %v", tooLong)
		}
		rest()
	}
}

// rest lets others have the core between two looks, without the coarse timers of
// the scheduler.
func rest() {
	runtime.Gosched()
	_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(100 * time.Microsecond)}, nil)
}

// readSysctl and writeSysctl work in the namespace of the calling thread.
func readSysctl(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc/sys/net", path))
	return string(b[:max(len(b)-1, 0)]), err
}

func writeSysctl(path, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0)
}

// portOf returns the name of the port's link in a namespace.
func portOf(h *netguardtest.Host, s *guardSite) (string, error) {
	for _, w := range []netguardtest.Wire{s.site.Internal, s.site.External} {
		if _, err := h.Link(w.Port); err == nil {
			return w.Port, nil
		}
	}
	return "", errors.New("looking for the port: no link of its name in the namespace")
}
