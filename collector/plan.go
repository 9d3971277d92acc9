package collector

import "time"

// plan knows which devices the schedule owes a collection. It is used by the
// main loop only.
type plan struct {
	since     time.Time // when a schedule was first held
	attempted map[string]time.Time
	complete  map[string]time.Time
}

func newPlan() *plan {
	return &plan{attempted: map[string]time.Time{}, complete: map[string]time.Time{}}
}

// completed notes a time at which a device's complete collection was under way,
// or had just ended.
func (p *plan) completed(device string, at time.Time) {
	if p.complete[device].Before(at) {
		p.complete[device] = at
	}
}

// step is what the schedule wants now and when to ask it again.
type step struct {
	window  window
	due     []string  // devices to start now; they count as attempted
	pending bool      // others of this window follow
	next    time.Time // zero: never
}

// step returns the devices whose turn has come at now. Each device is returned
// once for each window, and not at all when it was completely collected since
// the window began.
func (p *plan) step(f *fleet, now time.Time) step {
	if !f.schedule.on {
		p.since = time.Time{}
		return step{}
	}
	if p.since.IsZero() {
		p.since = now
	}
	s := step{window: f.schedule.current(now), next: f.schedule.next(now).start}
	for _, id := range f.order {
		d := f.devices[id]
		if d == nil || !p.owed(id, s.window, now) {
			continue
		}
		at := s.window.start.Add(d.offset)
		if at.After(now) {
			s.pending = true
			if at.Before(s.next) {
				s.next = at
			}
			continue
		}
		p.attempted[id] = s.window.start
		s.due = append(s.due, id)
	}
	return s
}

// owed tells whether a device has still to be collected for a window. After its
// end, a window is caught up by devices that have missed it: those collected
// before, and those that this collector has held a schedule for since before it.
// A device that was only just configured waits for the next window.
func (p *plan) owed(id string, w window, now time.Time) bool {
	if !p.attempted[id].Before(w.start) || !p.complete[id].Before(w.start) {
		return false
	}
	return now.Before(w.end) || !p.since.After(w.start) || !p.complete[id].IsZero()
}

// forget drops what is known of devices that are no longer configured.
func (p *plan) forget(f *fleet) {
	for id := range p.attempted {
		if f.devices[id] == nil {
			delete(p.attempted, id)
		}
	}
	for id := range p.complete {
		if f.devices[id] == nil {
			delete(p.complete, id)
		}
	}
}
