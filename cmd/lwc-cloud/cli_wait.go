package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"lwc/cloud/api/apitype"
)

// waiting is how long a command waits for the job that it made.
type waiting struct {
	on    bool
	limit time.Duration // 0: until the job is over
}

func (w *waiting) flags(fs *flag.FlagSet, what string) {
	fs.BoolVar(&w.on, "wait", false, what)
	fs.DurationVar(&w.limit, "timeout", 0, "with --wait: wait no longer than this `TIME`, as in 30m, and end with 1; the job goes on (default: until it is over)")
}

func (w *waiting) check() error {
	if w.limit < 0 || w.limit > 0 && !w.on {
		return usageErrorf("--timeout is how long --wait waits, as in --wait --timeout 30m")
	}
	return nil
}

// context ends when the command has waited for long enough.
func (w *waiting) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, w.limit)
}

// stopped is the end by Ctrl-C or --timeout, or err when that is not why.
func stopped(ctx context.Context, job apitype.Job, err error) error {
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the time of --timeout is over; job %s goes on", job.ID)
	}
	return fmt.Errorf("interrupted; job %s goes on", job.ID)
}
