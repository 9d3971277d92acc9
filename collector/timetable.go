package collector

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"lwc/transport/wire"
)

// timetable is the state of the schedules in the main loop.
type timetable struct {
	runs  map[string]*run          // the newest of each schedule, ended or not
	sized time.Time                // when the number of sessions was last worked out
	open  []wire.OpenRun           // of earlier boots, that no manifest has ended
	begun map[string]*atomic.Int64 // sections of the runs that this boot has begun or ended, by id
}

// sections counts those of a run, which may be begun anew in one boot.
func (t *timetable) sections(id string) *atomic.Int64 {
	n := t.begun[id]
	if n == nil {
		n = new(atomic.Int64)
		t.begun[id] = n
	}
	return n
}

// schedule starts the devices whose time has come, and returns when the next
// one's comes.
func (c *Collector) schedule(ctx context.Context, now time.Time) time.Time {
	f := c.current()
	if f == nil {
		return time.Time{}
	}
	t := &c.main.timetable
	c.plan.adopt(t.unclaimed(), now)
	steps := c.plan.steps(now)
	var next time.Time
	for _, s := range steps {
		c.stepRun(ctx, s)
		if next.IsZero() || s.next.Before(next) {
			next = s.next
		}
	}
	c.retire(f, steps)
	c.endOpenRuns(ctx, steps, now)
	c.size(ctx, f, steps, now)
	c.counters.nextRun.Store(unixOrZero(next))
	return next
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// stepRun has the run of a schedule go on: with the devices that are due now, or to
// its end.
func (c *Collector) stepRun(ctx context.Context, s step) {
	t := &c.main.timetable
	id := wire.RunID(c.conf.Collector, s.s.name, s.window.id)
	r := t.runs[s.s.name]
	if r != nil && r.id != id && s.window.day > 0 {
		c.overrun(r)
		r.seal()
		r = nil
	}
	if len(s.due) > 0 {
		if r == nil || !c.enqueue(ctx, r, s.due...) {
			r = c.scheduledRun(ctx, s, id)
			c.enqueue(ctx, r, s.due...)
		}
		t.runs[s.s.name] = r
	}
	if r != nil && !s.pending {
		r.seal()
	}
}

// scheduledRun begins the run of a window, or goes on with it where it has ended
// before: a device was added, or the schedule was moved.
func (c *Collector) scheduledRun(ctx context.Context, s step, id string) *run {
	r := &run{id: id, schedule: s.s.name, collect: s.s.collect, window: s.window.id,
		sections: c.main.timetable.sections(id), line: newQueue(1)} // until size has worked it out
	c.main.timetable.sized = time.Time{}
	return c.newRun(ctx, r)
}

// retire ends the runs of schedules that are configured no more, and takes devices
// out of line that are not. Those that are visited are visited to the end.
func (c *Collector) retire(f *fleet, steps []step) {
	for name, r := range c.main.timetable.runs {
		on := slices.ContainsFunc(steps, func(s step) bool { return s.s.name == name })
		c.withdraw(r, func(id string) bool { return !on || f.devices[id] == nil })
		if !on {
			r.seal()
		}
	}
}

// size bounds the sessions of each run, so that its devices are done in its window,
// with a margin and with no more sessions than that takes.
func (c *Collector) size(ctx context.Context, f *fleet, steps []step, now time.Time) {
	t := &c.main.timetable
	if since := now.Sub(t.sized); since >= 0 && since < sizeEvery {
		return
	}
	t.sized = now
	most := orDefault(f.limits.Concurrency, DefaultConcurrency)
	for _, s := range steps {
		r := t.runs[s.s.name]
		if r == nil {
			continue
		}
		by := s.window.end
		if !now.Before(by) { // caught up: as fast as in a window
			by = r.started.Add(s.s.window)
		}
		if next := s.s.next(now).start; next.Before(by) {
			by = next
		}
		waiting, visited := r.inLine()
		c.setLimit(ctx, r, min(max(c.plan.sessions(s.s.name, waiting, visited, now, by), 1), most))
	}
}

// unclaimed lists the open runs of earlier boots that this one has not gone on with.
func (t *timetable) unclaimed() []wire.OpenRun {
	t.open = slices.DeleteFunc(t.open, func(o wire.OpenRun) bool {
		return t.begun[o.Run] != nil
	})
	return t.open
}

// endOpenRuns ends the runs of earlier boots that nothing more comes of.
func (c *Collector) endOpenRuns(ctx context.Context, steps []step, now time.Time) {
	t := &c.main.timetable
	for _, o := range t.unclaimed() {
		i := slices.IndexFunc(steps, func(s step) bool { return s.s.name == o.Schedule })
		reason := "the collector restarted, and its configuration has no schedule of this name any more"
		if i >= 0 {
			s := steps[i]
			switch ours := o.Run == wire.RunID(c.conf.Collector, o.Schedule, s.window.id); {
			case ours && s.pending:
				continue
			case ours:
				reason = "" // all was collected; only the last word was missing
			case s.s.dayOf(o.Window) == s.window.day:
				reason = "the collector restarted, and the schedule was moved"
			default:
				reason = "the collector restarted, and the window of the run was over"
			}
		}
		r := c.newRun(ctx, &run{id: o.Run, schedule: o.Schedule, window: o.Window, reason: reason, sections: t.sections(o.Run)})
		r.seal()
	}
}
