package collector

import (
	"maps"
	"slices"
	"time"
)

// agenda is what one schedule owes, day by day. A plan guards it.
type agenda struct {
	p         *plan
	s         *schedule            // nil while it is not configured
	begun     window               // the newest one that has begun while it was held
	turns     []turn               // the devices to come in that window, in the order of their moments
	waiting   []string             // those whose moment has come, and that another collection may serve
	stale     bool                 // turns are of another configuration
	since     map[string]time.Time // when a device was first within reach; zero: before this boot
	attempted map[string]int       // the newest day for which it was started
	started   int                  // the newest of these
	adopted   int                  // day of the newest run of an earlier boot that goes on
}

// turn is when a device starts.
type turn struct {
	at     time.Time
	device string
}

func newAgenda(p *plan) *agenda {
	return &agenda{p: p, since: map[string]time.Time{}, attempted: map[string]int{}}
}

// configure takes over a configuration of the schedule. With the first one of a
// boot, devices that the cloud knows collections of are no news.
func (a *agenda) configure(s *schedule, first bool, now time.Time) {
	a.s, a.stale = s, true
	f, l := a.p.fleet, a.p.ledger(s.name)
	for id, d := range f.devices {
		if _, known := a.since[id]; known || !s.reaches(d) {
			continue
		}
		a.since[id] = now
		if first && !l.done[id].IsZero() {
			a.since[id] = time.Time{}
		}
	}
	today := s.dayOf(now)
	maps.DeleteFunc(a.since, func(id string, _ time.Time) bool { return f.devices[id] == nil })
	maps.DeleteFunc(a.attempted, func(id string, day int) bool { return f.devices[id] == nil && day < today-maxAway })
}

// adopt takes note of a run of an earlier boot that is not ended. If it is of the
// newest window, that is the one that goes on, also where the schedule was moved
// since; and what was within reach of the schedule then is no news.
func (a *agenda) adopt(began time.Time, now time.Time) {
	w := a.s.current(now)
	if a.s.dayOf(began) != w.day || a.begun.day > w.day || a.started >= w.day || a.adopted >= w.day {
		return
	}
	w.id = began
	a.begun, a.stale, a.adopted = w, true, w.day
	for id := range a.since {
		a.since[id] = time.Time{}
	}
}

// last is the start of the newest whole collection that serves the schedule.
func (a *agenda) last(id string) time.Time {
	d := a.p.fleet.devices[id]
	if d == nil {
		return time.Time{}
	}
	var last time.Time
	for _, name := range a.p.covering(a.s, d) {
		if l := a.p.ledgers[name]; l != nil && l.done[id].After(last) {
			last = l.done[id]
		}
	}
	return last
}

// refresh looks which window it is, and lists its devices where that is news. It
// reports false while there is none: a schedule was moved to later the same day.
func (a *agenda) refresh(now time.Time) bool {
	w := a.s.current(now)
	if a.begun.day > a.s.next(now).day { // the clock was ahead
		a.begun, a.started, a.adopted = window{}, min(a.started, w.day), min(a.adopted, w.day)
		for id, day := range a.attempted {
			a.attempted[id] = min(day, w.day)
		}
		a.p.rewind(now)
	}
	if w.day < a.begun.day {
		a.turns, a.waiting, a.stale = nil, nil, true
		return false
	}
	if w.day == a.begun.day {
		w.id = a.begun.id
	}
	if w == a.begun && !a.stale {
		return true
	}
	a.begun, a.stale, a.turns, a.waiting = w, false, nil, nil
	for _, id := range a.p.fleet.order {
		if a.owes(id, w, now) {
			at := w.start.Add(offset(a.p.collector, id, a.s.window))
			a.turns = append(a.turns, turn{at, id})
		}
	}
	slices.SortStableFunc(a.turns, func(x, y turn) int { return x.at.Compare(y.at) })
	return true
}

// owes tells whether a device has still to be collected for a window. A window
// that is over is caught up by the devices that were within reach of the schedule
// when it began: a device that is new waits for its own.
func (a *agenda) owes(id string, w window, now time.Time) bool {
	d := a.p.fleet.devices[id]
	if d == nil || !a.s.reaches(d) || a.served(id, w) {
		return false
	}
	begin := w.start
	if w.id.After(begin) {
		begin = w.id // the schedule was moved to earlier the same day
	}
	return now.Before(w.end) || !a.since[id].After(begin)
}

// served tells whether a device was started for a window, or collected since it
// began.
func (a *agenda) served(id string, w window) bool {
	begin := w.start
	if w.id.Before(begin) {
		begin = w.id
	}
	day, started := a.attempted[id]
	return started && day >= w.day || !a.last(id).Before(begin)
}

// due returns the devices whose turn has come, and when each was last collected;
// they count as attempted. Those that another collection will serve in time wait for it.
func (a *agenda) due(now time.Time) []turn {
	n := 0
	for n < len(a.turns) && !a.turns[n].at.After(now) {
		a.waiting = append(a.waiting, a.turns[n].device)
		n++
	}
	a.turns = a.turns[n:]
	var out []turn
	a.waiting = slices.DeleteFunc(a.waiting, func(id string) bool {
		switch {
		case a.served(id, a.begun):
			return true
		case a.yields(id, now):
			return false
		}
		a.attempted[id], a.started = a.begun.day, a.begun.day
		a.p.ledger(a.s.name).under[id]++
		out = append(out, turn{a.last(id), id})
		return true
	})
	return out
}

// yields tells whether another collection, that is to come before the window ends,
// will have all that this one would have.
func (a *agenda) yields(id string, now time.Time) bool {
	d, f := a.p.fleet.devices[id], a.p.fleet
	for _, name := range a.p.covering(a.s, d) {
		if l := a.p.ledgers[name]; l != nil && l.under[id] > 0 {
			return true
		}
	}
	own := slices.Index(f.schedules, a.s)
	for i, o := range f.schedules {
		if o == a.s || !o.reaches(d) || !a.p.covers(o.profileOf(d), a.s.profileOf(d)) ||
			i > own && a.p.covers(a.s.profileOf(d), o.profileOf(d)) { // of two that are equal, the first stands for both
			continue
		}
		if a.p.agendas[o.name].comes(id, now, a.begun.end) {
			return true
		}
	}
	return false
}

// comes tells whether the schedule will collect a device at now or before end.
func (a *agenda) comes(id string, now, end time.Time) bool {
	for _, w := range []window{a.s.current(now), a.s.next(now)} {
		at := w.start.Add(offset(a.p.collector, id, a.s.window))
		if w.day >= a.begun.day && (at.Before(end) || !at.After(now)) && a.owes(id, w, now) {
			return true
		}
	}
	return false
}

// next is when to look again: at the next turn or the next window.
func (a *agenda) next(now time.Time) time.Time {
	at := a.s.next(now).start
	if len(a.turns) > 0 && a.turns[0].at.Before(at) {
		at = a.turns[0].at
	}
	return at
}

// pending tells whether devices of the window are still to come.
func (a *agenda) pending() bool { return len(a.turns)+len(a.waiting) > 0 }
