package collector

import (
	"maps"
	"slices"
	"sync"
	"time"

	"lwc/transport/wire"
)

// onDemand is the name under which collections count that a job asked for.
const onDemand = ""

// plan knows what the schedules owe, and what was collected for them. A device
// that two schedules want is collected by both, one after the other; but where one
// wants all that the other does, and comes in time, it stands for both.
type plan struct {
	collector string

	mu      sync.Mutex // guards what follows
	fleet   *fleet     // nil before the first configuration
	agendas map[string]*agenda
	ledgers map[string]*ledger // by name of the schedule
	wider   map[[2]string]bool // profiles that have all items of another, and that one
}

// ledger is what is known of the collections by one schedule.
type ledger struct {
	done  map[string]time.Time     // start of the run of the last whole collection
	took  map[string]time.Duration // how long a device took
	under map[string]int           // visits that are to come or under way, by device
	was   time.Duration            // what the newest visits took the time before
	is    time.Duration            // what they took
}

func newPlan(collector string) *plan {
	return &plan{collector: collector, agendas: map[string]*agenda{}, ledgers: map[string]*ledger{}}
}

// ledger returns that of a name. The caller holds mu.
func (p *plan) ledger(name string) *ledger {
	l := p.ledgers[name]
	if l == nil {
		l = &ledger{done: map[string]time.Time{}, took: map[string]time.Duration{}, under: map[string]int{}}
		p.ledgers[name] = l
	}
	return l
}

// configure takes over a configuration and what the cloud has.
func (p *plan) configure(f *fleet, done map[string]map[string]wire.Done, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, devices := range done {
		p.ledger(name).merge(f, devices, now)
	}
	first := p.fleet == nil
	p.fleet, p.wider = f, f.wider()
	for name, a := range p.agendas {
		if a.s = f.scheduleNamed(name); a.s == nil && a.begun.day < dayNumber(now)-maxAway {
			delete(p.agendas, name)
		}
	}
	for _, s := range f.schedules {
		a := p.agendas[s.name]
		if a == nil {
			a = newAgenda(p)
			p.agendas[s.name] = a
		}
		a.configure(s, first, now)
	}
	maps.DeleteFunc(p.ledgers, func(name string, _ *ledger) bool { return name != onDemand && p.agendas[name] == nil })
	for _, l := range p.ledgers {
		l.prune(f, now)
	}
}

// maxAway is for how many days a schedule that is not configured any more is
// remembered: one that comes back shall not collect again what it has collected.
const maxAway = 8

// merge takes over what the cloud has. What is newer here stays: the cloud may not
// have heard of it when it wrote that.
func (l *ledger) merge(f *fleet, done map[string]wire.Done, now time.Time) {
	for id, d := range done {
		if f.devices[id] == nil {
			continue
		}
		if d.At.After(now) {
			d.At = now // by a clock that was ahead: it would stand for windows to come
		}
		if d.At.After(l.done[id]) {
			l.done[id] = d.At
		}
		if _, known := l.took[id]; !known && d.Seconds > 0 {
			l.took[id] = time.Duration(min(d.Seconds, maxTook.Seconds()) * float64(time.Second))
		}
	}
}

// expect notes that a job is about to visit a device.
func (p *plan) expect(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger(onDemand).under[device]++
}

// passed notes that a visit is over, or will not be.
func (p *plan) passed(name, device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.ledger(name)
	if l.under[device]--; l.under[device] <= 0 {
		delete(l.under, device)
	}
}

// visited notes how a visit ended. A whole one counts by the start of its run, and
// not by its end: receipts may come long after, in the next window even.
func (p *plan) visited(name string, res wire.DeviceResult, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fleet == nil || p.fleet.devices[res.Device] == nil {
		return
	}
	l := p.ledger(name)
	if res.Seconds > 0 {
		l.measured(res.Device, time.Duration(min(res.Seconds, maxTook.Seconds())*float64(time.Second)))
	}
	if res.OK && began.After(l.done[res.Device]) {
		l.done[res.Device] = began
	}
}

// retract takes back what visited noted, since the cloud did not take it all.
func (p *plan) retract(name, device string, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.ledger(name); l.done[device].Equal(began) {
		delete(l.done, device)
	}
}

// has tells whether a device was wholly collected for a schedule at or after a
// moment, by the schedule itself or by what covers it.
func (p *plan) has(name, device string, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.agendas[name]
	if a == nil || a.s == nil {
		return false
	}
	return !a.last(device).Before(since)
}

// covering yields the names by which a collection of a device has all items that
// s wants of it. The caller holds mu.
func (p *plan) covering(s *schedule, d *device) []string {
	out := []string{s.name}
	if p.covers(d.profile(), s.profileOf(d)) {
		out = append(out, onDemand)
	}
	for _, o := range p.fleet.schedules {
		if o != s && p.covers(o.profileOf(d), s.profileOf(d)) {
			out = append(out, o.name)
		}
	}
	return out
}

// covers tells whether a collection of one profile has all items of another.
func (p *plan) covers(one, other string) bool { return one == other || p.wider[[2]string{one, other}] }

// rewind takes note of a clock that was ahead: what was done by it is not of times
// to come. The caller holds mu.
func (p *plan) rewind(now time.Time) {
	for _, l := range p.ledgers {
		for id, at := range l.done {
			if at.After(now) {
				l.done[id] = now
			}
		}
	}
}

// step is what one schedule wants now.
type step struct {
	s       *schedule
	window  window // the newest that has begun; day 0: none
	due     []turn // devices to start now; at is when each was last collected
	pending bool   // others of this window follow
	next    time.Time
}

// steps returns what the schedules want, in the order of the configuration.
func (p *plan) steps(now time.Time) []step {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fleet == nil {
		return nil
	}
	var out []step
	for _, s := range p.fleet.schedules {
		p.agendas[s.name].refresh(now)
	}
	for _, s := range p.fleet.schedules {
		a := p.agendas[s.name]
		due := a.due(now)
		out = append(out, step{s: s, window: a.begun, due: due, pending: a.pending(), next: a.next(now)})
	}
	return out
}

// adopt takes note of the runs of earlier boots that no manifest has ended.
func (p *plan) adopt(runs []wire.OpenRun, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range runs {
		a := p.agendas[o.Schedule]
		if a != nil && a.s != nil && o.Run == wire.RunID(p.collector, o.Schedule, o.Window) {
			a.adopt(o.Window, now)
		}
	}
}

// prune forgets devices that have not been configured for long: one that comes back
// before that is not collected again for a window that has what it wants.
func (l *ledger) prune(f *fleet, now time.Time) {
	gone := func(id string) bool {
		return f.devices[id] == nil && l.done[id].Before(now.AddDate(0, 0, -maxAway))
	}
	maps.DeleteFunc(l.took, func(id string, _ time.Duration) bool { return gone(id) })
	maps.DeleteFunc(l.done, func(id string, _ time.Time) bool { return gone(id) })
}

// scheduleNamed returns nil where there is none.
func (f *fleet) scheduleNamed(name string) *schedule {
	i := slices.IndexFunc(f.schedules, func(s *schedule) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return f.schedules[i]
}
