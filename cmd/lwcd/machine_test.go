package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/transport/clock"
	"lwc/transport/wire"
)

// fakeHand is a clock.Setter that sets nothing.
type fakeHand struct {
	set []clock.Correction
	err error
}

func (h *fakeHand) Set(c clock.Correction) error {
	h.set = append(h.set, c)
	return h.err
}

func siteWithClock(h *fakeHand) *site {
	no := func() bool { return false }
	return &site{log: slog.New(slog.DiscardHandler), notices: newNotices(),
		clock: &machineClock{allowed: true, built: time.Now().Add(-24 * time.Hour), set: h, kept: no, timed: no}}
}

// The cloud's time sets a clock that nobody else keeps, and an event tells it.
func TestCloudSetsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHand{}
		s := siteWithClock(h)
		c, err := s.SetClock(t.Context(), time.Hour)
		if err != nil || !c.Set || len(h.set) != 1 || !h.set[0].Step || h.set[0].Offset != time.Hour {
			t.Fatalf("%+v, %v, %+v", c, err, h.set)
		}
		told, _ := s.notices.take(0)
		if len(told) != 1 || told[0].Kind != wire.EventClockStep || !strings.Contains(told[0].Text, "1h0m0s") {
			t.Errorf("%+v", told)
		}
		// The step itself does not make it long ago.
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			if c, err := s.SetClock(t.Context(), ahead); err != nil || c.Set || len(h.set) != 1 {
				t.Errorf("again: %+v, %v, %+v", c, err, h.set)
			}
		}
		time.Sleep(cloudStepEvery)
		if c, err := s.SetClock(t.Context(), time.Hour); err != nil || !c.Set {
			t.Errorf("later: %+v, %v", c, err)
		}
	})
}

// The half asks for a clock to be set that is wrong, and for no other.
func TestOnlyAWrongClockIsToBeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := &asking{}
		log := slog.New(slog.DiscardHandler)
		heard := time.Now()
		time.Sleep(time.Minute)
		for _, cloud := range []time.Time{heard.Add(time.Second), heard.Add(-wrongClock), {}} {
			setClock(t.Context(), asked, cloud, heard, log)
		}
		if len(asked.ahead) != 0 {
			t.Errorf("a good clock: %v", asked.ahead)
		}
		setClock(t.Context(), asked, heard.Add(time.Hour), heard, log)
		if len(asked.ahead) != 1 || asked.ahead[0] != time.Hour {
			t.Errorf("a wrong clock: %v", asked.ahead)
		}
	})
}

// asking is a halves.Machine that notes by how much the clock is to be set.
type asking struct {
	halves.Machine
	ahead []time.Duration
}

func (a *asking) SetClock(_ context.Context, ahead time.Duration) (halves.ClockSet, error) {
	a.ahead = append(a.ahead, ahead)
	return halves.ClockSet{Set: true}, nil
}

// What says otherwise goes first: a half that was taken over cannot move a clock
// that somebody keeps, nor to a time that cannot be, nor again and again.
func TestCloudDoesNotSetTheClock(t *testing.T) {
	yes := func() bool { return true }
	for _, c := range []struct {
		about  string
		change func(*machineClock)
		ahead  time.Duration
		words  string
	}{
		{"switched off", func(m *machineClock) { m.allowed = false }, time.Hour, "does not let"},
		{"right enough", nil, 30 * time.Second, "right enough"},
		{"time servers", func(m *machineClock) { m.timed = yes }, time.Hour, "a time server keeps it"},
		{"somebody else", func(m *machineClock) { m.kept = yes }, time.Hour, "somebody keeps it"},
		{"before the build", nil, -48 * time.Hour, "is not believed"},
		{"far ahead", nil, 30 * 365 * 24 * time.Hour, "is not believed"},
		{"again", func(m *machineClock) { m.last = time.Now().Add(-time.Minute) }, time.Hour, "a short while ago"},
		{"without the right", func(m *machineClock) { m.set = &fakeHand{err: clock.ErrNotPermitted} }, time.Hour, "may not"},
	} {
		h := &fakeHand{}
		s := siteWithClock(h)
		if c.change != nil {
			c.change(s.clock)
		}
		got, err := s.SetClock(t.Context(), c.ahead)
		if err != nil || got.Set || len(h.set) != 0 || !strings.Contains(got.Text, c.words) {
			t.Errorf("%s: %+v, %v, set %v", c.about, got, err, h.set)
		}
	}
}

// A job restarts the half once; asked again, by the next half, it says when.
func TestRestartOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(&site{}, folder{}, nil)
		ask := func(job string) halves.Restarted {
			t.Helper()
			r, err := k.restart(job)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := ask("a"); !r.Done.IsZero() || len(k.again) != 1 {
			t.Fatalf("%+v, %d asked for", r, len(k.again))
		}
		<-k.again
		if _, err := k.restart("b"); !errors.Is(err, halves.ErrRefused) {
			t.Errorf("two restarts at once: %v", err)
		}
		time.Sleep(2 * time.Second)
		k.restarted()
		if r := ask("a"); r.Done.IsZero() || len(k.again) != 0 {
			t.Errorf("%+v, %d asked for", r, len(k.again))
		}
		time.Sleep(restartEvery)
		if r := ask("b"); !r.Done.IsZero() || len(k.again) != 1 {
			t.Errorf("%+v, %d asked for", r, len(k.again))
		}
	})
}

// Warnings and errors of the log are kept for the heartbeat: the newest first, each
// once, with what they are about.
func TestTroublesAreKept(t *testing.T) {
	var kept troubles
	log := slog.New(kept.watch(slog.NewTextHandler(io.Discard, nil))).With("device", "edge-1", "task", "x")
	log.Info("nothing")
	for range 3 {
		log.Warn("first", "error", errors.New("no route"), "bytes", 7)
	}
	log.Error("second", "text", strings.Repeat("ä", 300))
	got := kept.last()
	if len(got) != 2 || got[1].Text != "first; device: edge-1; error: no route" || !strings.HasPrefix(got[0].Text, "second; device: edge-1; text: ä") ||
		len(got[0].Text) > maxTrouble+3 {
		t.Errorf("%+v", got)
	}
	for i := range 20 {
		log.Error("many", "error", errors.New(strings.Repeat("x", i)))
	}
	if got := kept.last(); len(got) != maxTroubles {
		t.Errorf("%d kept", len(got))
	}
}
