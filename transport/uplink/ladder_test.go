package uplink

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"lwc/transport/wire"
)

func TestLadder(t *testing.T) {
	now := time.Unix(1e9, 0)
	eps := []wire.Endpoint{{Host: "a"}, {Host: "b"}, {Host: "c"}}
	l := newLadder(eps, time.Minute, time.Hour)
	// round lets those named fail and returns who was tried, in order; the first
	// that does not fail ends the round with a steady session.
	round := func(failing string) (tried string) {
		defer l.round()
		for r := l.next(now); r != nil; r = l.next(now) {
			tried += r.ep.Host
			if !contains(failing, r.ep.Host) {
				l.served(r, now, time.Hour, time.Minute, errors.New("cut"))
				return tried
			}
			l.failed(r, now)
		}
		return tried
	}
	for i, step := range []struct {
		failing, tried string
		later          time.Duration
	}{
		{"", "a", 0},
		{"a", "ab", 0},               // a is ill for a minute
		{"a", "b", 30 * time.Second}, // and stands behind
		{"", "a", 31 * time.Second},  // until it is well
		{"ab", "abc", 0},
		{"c", "ca", 59 * time.Second}, // those that are ill are tried all the same
		{"", "a", 2 * time.Minute},
		{"abc", "abc", 0},
		{"abc", "abc", 0}, // when nothing works the order is as before
	} {
		now = now.Add(step.later)
		if got := round(step.failing); got != step.tried {
			t.Logf("%+v", l.rungs)
			t.Fatalf("step %d: tried %q, want %q", i, got, step.tried)
		}
	}
	l.forget()
	if got := round(""); got != "a" {
		t.Errorf("on another network %q is tried first", got)
	}
}

func contains(s, sub string) bool {
	for i := range s {
		if s[i:i+1] == sub {
			return true
		}
	}
	return false
}

// A way that was closed for a long time is tried once an hour, not never.
func TestIllnessIsBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := newLadder([]wire.Endpoint{{Host: "a"}}, time.Minute, time.Hour)
	for range 100 {
		l.failed(&l.rungs[0], now)
	}
	if ill := l.rungs[0].ill.Sub(now); ill != time.Hour {
		t.Errorf("ill for %s", ill)
	}
}

func TestPatienceGrowsOnSlowLines(t *testing.T) {
	l := newLadder([]wire.Endpoint{{Host: "a"}}, time.Minute, time.Hour)
	r, now := &l.rungs[0], time.Unix(1e9, 0)
	silent := fmt.Errorf("the session: %w", errSilent)
	for i, step := range []struct {
		lived time.Duration
		err   error
		want  time.Duration
	}{
		{time.Minute, silent, 12 * time.Second}, // once is a dead line
		{time.Minute, silent, 24 * time.Second},
		{time.Minute, silent, 48 * time.Second},
		{time.Minute, silent, time.Minute},
		{time.Hour, silent, 12 * time.Second}, // it worked for long
		{time.Minute, silent, 12 * time.Second},
		{time.Minute, errors.New("reset"), 12 * time.Second},
	} {
		l.served(r, now, step.lived, 30*time.Second, step.err)
		if got := r.patience(silence); got != step.want {
			t.Errorf("step %d: patience %s, want %s", i, got, step.want)
		}
	}
}
