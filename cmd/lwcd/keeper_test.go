package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cmd/lwcd/halves"
)

// hangingHalf hears and never answers, and does not end: neither when it is asked to nor
// when its connection ends.
type hangingHalf struct {
	starts int
	left   chan struct{} // closed when it was left to others
	gone   sync.WaitGroup
}

// keeperOf returns a keeper that starts such halves.
func keeperOf(t *testing.T) (*keeper, *hangingHalf) {
	t.Helper()
	h := &hangingHalf{left: make(chan struct{})}
	k := newKeeper(&site{log: slog.New(slog.DiscardHandler), notices: newNotices()}, folder{dir: t.TempDir()}, io.Discard)
	k.start = func() (*child, error) { h.starts++; return h.child(), nil }
	return k, h
}

func (h *hangingHalf) child() *child {
	near, far := net.Pipe()
	h.gone.Go(func() { _, _ = io.Copy(io.Discard, far) })
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &child{half: halves.Serve(near, halves.Offer{}), ended: make(chan struct{}),
		kill: func() { cancel(errForced) }, leave: func() { close(h.left) }}
	h.gone.Go(func() {
		c.followUnit(ctx, func(limit time.Duration) error {
			select {
			case <-h.left:
				return nil
			case <-time.After(limit):
				return errLingers
			}
		})
	})
	return c
}

// untilEnd runs a keeper beside other tasks to its end, and returns the longest time
// for which the supervisor gave no sign of life.
func untilEnd(k *keeper, others ...func(context.Context) error) (deaf time.Duration, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := time.Now(); sleep(ctx, statusEvery); {
			if k.alive() == nil {
				last = time.Now()
			}
			deaf = max(deaf, time.Since(last))
		}
	})
	err = together(ctx, append(others, k.run)...)
	cancel()
	watching.Wait()
	return deaf, err
}

// pause is a task that ends after a while.
func pause(d time.Duration, with error) func(context.Context) error {
	return func(ctx context.Context) error {
		if !sleep(ctx, d) {
			return nil
		}
		return with
	}
}

// A half that a job has restarted and that is still there a minute after it was ended by
// force has no successor.
func TestRestartOfAHalfThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, h := keeperOf(t)
		deaf, err := untilEnd(k, func(ctx context.Context) error {
			sleep(ctx, 5*time.Second)
			_, err := k.restart("job")
			return err
		})
		if !errors.Is(err, errHalf) || !errors.Is(err, errLingers) {
			t.Errorf("it ended so: %v", err)
		}
		if h.starts != 1 {
			t.Errorf("%d halves were started", h.starts)
		}
		if deaf > deafLimit {
			t.Errorf("no sign of life for %v", deaf)
		}
		h.gone.Wait()
	})
}

// With another configuration the supervisor goes on: it waits for the half, and does not
// go on when that stays.
func TestReloadWithAHalfThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, h := keeperOf(t)
		began := time.Now()
		deaf, err := untilEnd(k, pause(20*time.Second, errReload))
		if took := time.Since(began); took < lingerLimit {
			t.Errorf("it was waited for for %v", took)
		}
		if !errors.Is(k.lingers(), errLingers) {
			t.Errorf("it ended so: %v", k.lingers())
		}
		if again, err := goesOn(t.Context(), err, k.lingers()); again || !errors.Is(err, errLingers) {
			t.Errorf("another site follows: %v, %v", again, err)
		}
		if deaf > deafLimit {
			t.Errorf("no sign of life for %v", deaf)
		}
		h.gone.Wait()
	})
}

// The stop of the supervisor waits for a half that hangs no longer than for a clean stop,
// also when another configuration was waited for.
func TestStopWhileAHalfIsWaitedFor(t *testing.T) {
	for name, others := range map[string][]func(context.Context) error{
		"at work":   nil,
		"at reload": {pause(time.Second, errReload)},
	} {
		synctest.Test(t, func(t *testing.T) {
			k, h := keeperOf(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer context.AfterFunc(ctx, k.leave)()
			time.AfterFunc(15*time.Second, cancel)
			began := time.Now()
			err := together(ctx, append(others, k.run)...)
			if took := time.Since(began); took > 15*time.Second+stopLimit {
				t.Errorf("%s: it took %v", name, took)
			}
			if again, err := goesOn(ctx, err, k.lingers()); again || errors.Is(err, errReload) {
				t.Errorf("%s: another site follows: %v, %v", name, again, err)
			}
			h.gone.Wait()
		})
	}
}

// While a half that hung and was ended by force is waited for, the watchdog of the
// supervisor is fed: it would end that before it is known that the half stays.
func TestSupervisorLivesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, h := keeperOf(t)
		began := time.Now()
		deaf, err := untilEnd(k)
		if took := time.Since(began); took > deafLimit+askEvery+lingerLimit {
			t.Errorf("it took %v", took)
		}
		if !errors.Is(err, errHalf) || !errors.Is(err, errLingers) || h.starts != 1 {
			t.Errorf("%d halves, it ended so: %v", h.starts, err)
		}
		if deaf > deafLimit {
			t.Errorf("no sign of life for %v", deaf)
		}
		h.gone.Wait()
	})
}

// Only another configuration has another site follow.
func TestGoesOn(t *testing.T) {
	if again, err := goesOn(t.Context(), errReload, nil); !again || err != nil {
		t.Errorf("another configuration: %v, %v", again, err)
	}
	if again, err := goesOn(t.Context(), errHalf, nil); again || !errors.Is(err, errHalf) {
		t.Errorf("a failure: %v, %v", again, err)
	}
	if again, err := goesOn(t.Context(), nil, nil); again || err != nil {
		t.Errorf("a stop: %v, %v", again, err)
	}
}
