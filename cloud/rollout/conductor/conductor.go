// Package conductor carries out what rollout decides: it looks at all boxes now and
// then, and makes the jobs that bring a release to those whose turn it is. What it has
// to know stands in the store, so that it goes on after a restart as if there was none.
package conductor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// By stands in the jobs that no person asked for.
const By = edp.ByPolicy

// lookEvery is how often the boxes are looked at. Windows have minutes.
const lookEvery = 30 * time.Second

// Store is what a Conductor reads and writes; edp.Store is one.
type Store interface {
	// Boxes returns all boxes, and the releases that they may have.
	Boxes(ctx context.Context) ([]edp.BoxRow, []rollout.Release, error)
	// CreateJob makes a job; edp.ErrConflict when the box is at another update.
	CreateJob(ctx context.Context, n edp.NewJob) (edp.Job, error)
}

// Hub is told of new jobs.
type Hub interface {
	// JobCreated is called when a collector has a new job. It does not block.
	JobCreated(collector string)
}

// Conductor makes the jobs of updates. Make one with New.
type Conductor struct {
	store Store
	hub   Hub
	log   *slog.Logger
	poke  chan struct{}
}

// New makes a Conductor. It starts nothing.
func New(store Store, hub Hub, log *slog.Logger) *Conductor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Conductor{store: store, hub: hub, log: log, poke: make(chan struct{}, 1)}
}

// Look makes Run look at the boxes now: a release was published, approved or
// withdrawn, or a policy was changed. It does not block.
func (c *Conductor) Look() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Run works until ctx is cancelled. What cannot be done now is tried again.
func (c *Conductor) Run(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		if err := c.Step(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("planning updates", "error", err)
		}
		select {
		case <-t.C:
		case <-c.poke:
		case <-ctx.Done():
			return nil
		}
	}
}

// Step looks at all boxes once, and makes the jobs that are due.
func (c *Conductor) Step(ctx context.Context) error {
	now := time.Now()
	plans, err := Plan(ctx, c.store, now)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range plans {
		if p.Send && p.State == edp.CollectorActive {
			errs = append(errs, c.order(ctx, p, now))
		}
	}
	return errors.Join(errs...)
}

func (c *Conductor) order(ctx context.Context, p Planned, now time.Time) error {
	j, err := c.store.CreateJob(ctx, edp.NewJob{Collector: p.Collector, Kind: wire.JobUpdate, By: By,
		Release: p.Wanted, RebootAt: p.RebootAt, TTL: p.Expires.Sub(now)})
	switch {
	case errors.Is(err, edp.ErrConflict), errors.Is(err, edp.ErrNotFound):
		return nil // somebody came between: the next look sees why
	case err != nil:
		return fmt.Errorf("sending an update: %w", err)
	}
	c.log.Info("update sent", "collector", p.Collector, "release", p.Wanted, "from", p.Running, "job", j.ID, "reboot", p.RebootAt)
	c.hub.JobCreated(p.Collector)
	return nil
}

// Planned is a box with what becomes of it.
type Planned struct {
	edp.BoxRow
	rollout.Verdict
}

// Plan says what becomes of each box.
func Plan(ctx context.Context, store Store, now time.Time) ([]Planned, error) {
	rows, published, err := store.Boxes(ctx)
	if err != nil {
		return nil, err
	}
	boxes := make([]rollout.Box, len(rows))
	for i, r := range rows {
		boxes[i] = r.Box
	}
	out := make([]Planned, len(rows))
	for i, v := range rollout.Orders(now, boxes, published) {
		out[i] = Planned{rows[i], v}
	}
	return out, nil
}
