package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/collector"
	"lwc/transport/wire"
)

// errands are the jobs for the machine, as the collector half carries them out: a
// collector.Machine.
type errands struct {
	certificate func(context.Context) (until time.Time, err error)
	supervisor  halves.Machine
	fetch       fetcher
}

// RenewCertificate implements collector.Machine.
func (e errands) RenewCertificate(ctx context.Context) (time.Time, error) { return e.certificate(ctx) }

// Restart implements collector.Machine.
func (e errands) Restart(ctx context.Context, job string) (string, error) {
	r, err := e.supervisor.Restart(ctx, job)
	if err != nil {
		return "", notHere(err)
	}
	if !r.Done.IsZero() {
		return "restarted at " + r.Done.UTC().Format(time.RFC3339), nil
	}
	<-ctx.Done() // the supervisor's stop is on its way
	return "", context.Cause(ctx)
}

// Update implements collector.Machine. The updater is asked first, before anything is
// downloaded: it may have done the job already.
func (e errands) Update(ctx context.Context, j wire.Job, tell func(string)) (string, error) {
	u := halves.Update{Job: j.ID, Release: j.Release, Source: j.Source, RebootAt: j.RebootAt, RebootBefore: j.RebootBefore}
	p, err := e.follow(ctx, u, tell)
	if err == nil && p.Fetch {
		if err := e.fetch.release(ctx, j, tell); err != nil {
			return "", err
		}
		if late(j, time.Now()) {
			return "", errWindow // what was loaded stays in the spool
		}
		u.Files = true
		p, err = e.follow(ctx, u, tell)
	}
	switch {
	case err != nil:
		return "", err
	case p.Waiting:
		tell(p.Text)
		<-ctx.Done() // the restart of the machine is to come: the next boot gets the job again
		return "", context.Cause(ctx)
	case !p.OK:
		return "", errors.New(p.Text)
	}
	return p.Text, nil
}

// errWindow is no failure of a release.
var errWindow = errors.New("the window closed while the release was loading: it goes on in the next one")

func late(j wire.Job, now time.Time) bool {
	return !j.RebootBefore.IsZero() && now.After(j.RebootBefore)
}

// FactoryReset implements collector.Machine.
func (e errands) FactoryReset(ctx context.Context, j wire.Job, tell func(string)) error {
	p, err := e.follow(ctx, halves.Update{Job: j.ID, Reset: true}, tell)
	switch {
	case err != nil:
		return err
	case !p.Waiting:
		return errors.New(p.Text)
	}
	tell(p.Text)
	<-ctx.Done()
	return context.Cause(ctx)
}

// follow asks the updater until it has ended, and tells what it says meanwhile.
func (e errands) follow(ctx context.Context, u halves.Update, tell func(string)) (halves.Progress, error) {
	for {
		p, err := e.supervisor.Update(ctx, u)
		switch {
		case err != nil:
			return p, notHere(err)
		case p.Ended:
			return p, nil
		}
		u.After = p.Lines
		tell(p.Text)
		if !sleep(ctx, progressEvery) {
			return p, context.Cause(ctx)
		}
	}
}

// progressEvery keeps an updater that says much from keeping the connection between
// the halves, and the uplink, busy.
const progressEvery = time.Second

// refusal is what the supervisor refuses, in its words alone.
type refusal struct{ words string }

// Error implements error.
func (r refusal) Error() string { return r.words }

// Unwrap makes it a collector.ErrNotHere.
func (r refusal) Unwrap() error { return collector.ErrNotHere }

// notHere translates what the supervisor refuses.
func notHere(err error) error {
	if errors.Is(err, halves.ErrRefused) {
		return refusal{strings.TrimPrefix(err.Error(), halves.ErrRefused.Error()+": ")}
	}
	return err
}

// setClock asks the supervisor to set the machine's clock where the cloud's time
// says that it is wrong. What comes of it is only told: the collector goes by the
// cloud's time in any case.
func setClock(ctx context.Context, m halves.Machine, cloud, heard time.Time, log *slog.Logger) {
	// The machine's clock may have been set since: what it is now counts.
	ahead := cloud.Add(time.Since(heard)).Sub(time.Now().Round(0))
	if cloud.IsZero() || ahead.Abs() <= wrongClock {
		return
	}
	c, err := m.SetClock(ctx, ahead)
	if err != nil {
		log.Warn("setting the machine's clock", "ahead", ahead.String(), "error", err)
	} else if !c.Set {
		log.Warn("the machine's clock is wrong and stays so", "ahead", ahead.String(), "reason", c.Text)
	}
}
