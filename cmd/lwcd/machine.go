package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
	"lwc/transport/clock"
	"lwc/transport/wire"
)

// Restart implements a part of halves.Machine.
func (t *site) Restart(_ context.Context, job string) (halves.Restarted, error) {
	return t.half.restart(job)
}

// Update implements a part of halves.Machine.
func (t *site) Update(ctx context.Context, u halves.Update) (halves.Progress, error) {
	return t.updates.ask(ctx, u)
}

const (
	// wrongClock is the offset from which on the machine's clock is set by the cloud's:
	// certificates and logs begin to be wrong.
	wrongClock = 30 * time.Second
	// cloudStepEvery keeps a half that was taken over from moving the clock about.
	cloudStepEvery = 10 * time.Minute
	// lastYears is how long after its build a program is believed to run.
	lastYears = 20 * 365 * 24 * time.Hour
)

// machineClock is the machine's clock as the cloud's time may set it. Whatever else
// keeps that clock goes first.
type machineClock struct {
	allowed bool // by configuration and mode
	built   time.Time
	set     clock.Setter
	kept    func() bool // whether the kernel knows of somebody who keeps it right
	timed   func() bool // whether a time server has answered

	last time.Time // of the newest step, by the clock that none moves; guarded by site.mu
}

func newMachineClock(conf config, timed func() bool) *machineClock {
	set, kept := handOf(conf.clockSocket)
	return &machineClock{allowed: conf.outside.cloudClock && conf.ports.Mode != netguard.Unprotected, built: built(),
		set: set, kept: kept, timed: timed}
}

// synchronized asks the kernel (adjtimex(2), STA_UNSYNC). One that cannot be asked
// is left alone.
func synchronized() bool {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return true
	}
	const staUnsync = 0x0040 // include/uapi/linux/timex.h
	return t.Status&staUnsync == 0
}

// refuses says why the clock is not set; empty: it is to be.
func (m *machineClock) refuses(ahead time.Duration, now time.Time) string {
	to := now.Add(ahead)
	switch {
	case !m.allowed:
		return "lwcd.toml, or its mode, does not let the cloud set it"
	case ahead.Abs() <= wrongClock:
		return "it is right enough"
	case m.timed():
		return "a time server keeps it"
	case m.kept():
		return "the kernel says that somebody keeps it right"
	case to.Before(m.built) || to.After(m.built.Add(lastYears)):
		return fmt.Sprintf("%s is not believed: this program was made on %s", to.UTC().Format(time.DateOnly), m.built.UTC().Format(time.DateOnly))
	case !m.last.IsZero() && now.Sub(m.last) < cloudStepEvery:
		return "it was set a short while ago"
	}
	return ""
}

// SetClock implements a part of halves.Machine. The cloud is told of each step.
func (t *site) SetClock(_ context.Context, ahead time.Duration) (halves.ClockSet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if why := t.clock.refuses(ahead, now); why != "" {
		return halves.ClockSet{Text: why}, nil
	}
	err := t.clock.set.Set(clock.Correction{Offset: ahead, Step: true, Distance: time.Second, Poll: time.Hour})
	if errors.Is(err, clock.ErrNotPermitted) {
		return halves.ClockSet{Text: "this process may not set it"}, nil
	}
	if err != nil {
		return halves.ClockSet{}, fmt.Errorf("setting the clock by the cloud's: %w", err)
	}
	t.clock.last = now // its monotonic reading counts: a step does not make it older
	text := fmt.Sprintf("the machine's clock was set by %v, by the cloud's time: no time server has answered", ahead.Round(time.Millisecond))
	t.log.Warn("clock", "action", string(clock.Stepped), "offset", ahead.String(), "text", text)
	t.notices.add(halves.Notice{Kind: wire.EventClockStep, Text: text})
	return halves.ClockSet{Set: true, Text: text}, nil
}
