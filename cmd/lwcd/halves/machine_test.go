package halves

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

var restartedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (d *desk) Restart(_ context.Context, job string) (Restarted, error) {
	return Restarted{Done: restartedAt}, nil
}

func (d *desk) Update(ctx context.Context, u Update) (Progress, error) {
	if u.Release == "none" {
		return Progress{}, fmt.Errorf("%w: no updater here", ErrRefused)
	}
	if u.After == 1 {
		<-ctx.Done() // nothing more to tell within a poll
		return Progress{}, ctx.Err()
	}
	return Progress{Lines: u.After + 1, Text: u.Source}, nil
}

func (d *desk) SetClock(_ context.Context, ahead time.Duration) (ClockSet, error) {
	return ClockSet{Set: true, Text: ahead.String()}, nil
}

// What the half asks of the machine arrives, and a refusal is told apart.
func TestMachineCalls(t *testing.T) {
	_, s, end := pair(&desk{}, worker{make(chan struct{})})
	defer end()
	ctx := t.Context()
	if r, err := s.Restart(ctx, wire.NewID()); err != nil || !r.Done.Equal(restartedAt) {
		t.Errorf("%+v, %v", r, err)
	}
	if c, err := s.SetClock(ctx, -time.Hour); err != nil || !c.Set || c.Text != "-1h0m0s" {
		t.Errorf("%+v, %v", c, err)
	}
	u := Update{Job: wire.NewID(), Release: "1.2-rc1", Source: "https://updates.example/x"}
	if p, err := s.Update(ctx, u); err != nil || p.Lines != 1 || p.Text != u.Source {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.Update(ctx, Update{Job: wire.NewID(), Release: "none"}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no updater here") {
		t.Errorf("%v", err)
	}
}

// The supervisor looks at the form of what a half asks with, which may be anything.
func TestUpdateFieldsAreChecked(t *testing.T) {
	_, s, end := pair(&desk{}, worker{make(chan struct{})})
	defer end()
	good := Update{Job: wire.NewID()}
	for _, change := range []func(*Update){
		func(u *Update) { u.Job = "../../x" },
		func(u *Update) { u.Release = "../1.2" },
		func(u *Update) { u.Release = "-rf" },
		func(u *Update) { u.Release = strings.Repeat("1", 65) },
		func(u *Update) { u.Source = "http://updates.example/" },
		func(u *Update) { u.Source = "https://u:p@updates.example/" },
		func(u *Update) { u.Source = "file:///etc/passwd" },
		func(u *Update) { u.Source = "https://updates.example/" + strings.Repeat("x", maxSource) },
	} {
		u := good
		change(&u)
		if _, err := s.Update(t.Context(), u); !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", u, err)
		}
	}
	if _, err := s.Restart(t.Context(), "x"); !errors.Is(err, ErrProtocol) {
		t.Errorf("a restart for no job: %v", err)
	}
}

// An update that is silent for long is asked after again and again.
func TestSilentUpdateIsPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, end := pair(&desk{}, worker{make(chan struct{})})
		defer end()
		ctx, cancel := context.WithTimeout(t.Context(), 5*pollLimit)
		defer cancel()
		began := time.Now()
		_, err := s.Update(ctx, Update{Job: wire.NewID(), After: 1})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*pollLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
