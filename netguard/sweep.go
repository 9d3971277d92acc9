package netguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// pollEvery is how often the settings are read whose change makes no event.
	pollEvery = time.Second
	// sweepEvery is how often everything is compared without an event: should there
	// be a change that makes none, it lasts no longer.
	sweepEvery = 30 * time.Second
	// revertTries is how often a sweep undoes what it finds before it blocks: while
	// one thing is put right the next may be changed.
	revertTries = 3
)

// phase is how far the ports may be used.
type phase int

const (
	opened  phase = iota
	blocked       // the External Port is down; waiting for clean sweeps
	proving       // both are up, dials are refused: the last look before opening
)

// patrol sweeps the kernel on each event of the watch, reverts or blocks, and
// opens again. One goroutine runs it, which alone uses what it holds.
type patrol struct {
	guard *Guard
	hold  hold
	phase phase
	known []*Violation // what is wrong now and was told

	pollAt, sweepAt, singAt time.Time
	hearBy                  time.Time // the canary must have been heard; zero: none sings
	dead                    []*Violation

	probe   prober
	results chan proof
	running sync.WaitGroup // the proofs
	cancel  context.CancelFunc
	unready error // why blocked ports could not be probed when they were to open
}

// start opens the watch, verifies, looks whether the ports are in one segment and,
// when nothing is wrong, lets the ports be used and patrolled. The watch comes
// first, so that what changes after the verification is seen.
func (g *Guard) start(ctx context.Context) error {
	w, err := openWatch(ctx, g.home, g.members())
	if err != nil {
		return err
	}
	g.watch = w
	w.start()
	if err := g.confirm(ctx); err != nil {
		return err
	}
	r, err := g.probeSegment(ctx)
	if err == nil && r.shared != nil {
		err = r.shared
	}
	if err == nil {
		err = g.confirm(ctx)
	}
	if err != nil {
		return err
	}
	g.become(Open, "")
	p := newPatrol(g, time.Now())
	g.patrol = p
	p.probe.restart(r.carrier, time.Now())
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	g.tasks.Go(func() { p.run(running) })
	g.tasks.Go(func() { g.keepLeases(running) })
	return nil
}

// confirm verifies and returns what is wrong as an error.
func (g *Guard) confirm(ctx context.Context) error {
	report, err := g.Verify(ctx)
	if err != nil {
		return err
	}
	return report.Err()
}

func newPatrol(g *Guard, now time.Time) *patrol {
	return &patrol{guard: g, pollAt: now, sweepAt: now, singAt: now.Add(canaryEvery),
		results: make(chan proof, 1), cancel: func() {}}
}

// run patrols until ctx ends.
func (p *patrol) run(ctx context.Context) {
	defer p.running.Wait()
	defer func() { p.cancel() }()
	defer p.guard.failClosed()
	for {
		s := p.guard.watch.next(ctx, p.due())
		if ctx.Err() != nil {
			return
		}
		p.round(ctx, s)
	}
}

// due is when the next round must begin without an event.
func (p *patrol) due() time.Time {
	first := p.pollAt
	probeAt := p.probe.at
	if p.probe.running || p.phase != opened {
		probeAt = time.Time{} // the end of the probe, or the opening, says when
	}
	for _, t := range []time.Time{p.sweepAt, p.singAt, p.hearBy, probeAt} {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// round does what is due now.
func (p *patrol) round(ctx context.Context, s signal) {
	now := time.Now()
	trouble := p.listen(s, now)
	select {
	case r := <-p.results:
		p.proved(ctx, r)
	default:
	}
	if s.changed || len(s.lost) > 0 || len(trouble) > 0 || !now.Before(p.sweepAt) || p.changedSilently(ctx, now) {
		p.sweep(ctx, trouble)
		p.guard.watch.swept()
	}
	if len(p.dead) > 0 {
		p.revive(ctx)
	}
	if p.phase == opened && p.probe.due(now) {
		p.prove(ctx, false)
	}
	p.sing(now)
}

// listen returns what is wrong with the watch itself.
func (p *patrol) listen(s signal, now time.Time) (trouble []*Violation) {
	add := func(format string, args ...any) {
		trouble = append(trouble, &Violation{Kind: KindWatch, Detail: fmt.Sprintf(format, args...), At: now})
	}
	for where, err := range s.dead {
		add("the watch of %s ended: %v", where, err)
		p.dead = slices.Clone(trouble)
	}
	if len(s.lost) > 0 && p.hold.loss(now) {
		add("events of %s were lost twice within %v", strings.Join(s.lost, ", "), lostWindow)
	}
	if !p.hearBy.IsZero() {
		unheard := p.guard.watch.unheard()
		switch {
		case len(unheard) == 0:
			p.hearBy = time.Time{}
		case !now.Before(p.hearBy):
			add("a change made to try it was not heard of: %s", strings.Join(unheard, ", "))
			p.hearBy, p.singAt, p.dead = time.Time{}, now, slices.Clone(trouble)
		}
	}
	return trouble
}

// revive opens the watch anew.
func (p *patrol) revive(ctx context.Context) {
	if err := p.guard.watch.reopen(ctx); err != nil {
		p.pollAt = time.Now().Add(pollEvery) // and again, still dead
		return
	}
	p.dead = nil
	p.singAt = time.Now() // it must prove itself
}

// sing starts a canary when it is time for one.
func (p *patrol) sing(now time.Time) {
	if now.Before(p.singAt) || len(p.dead) > 0 {
		return
	}
	p.singAt, p.hearBy = now.Add(canaryEvery), time.Now().Add(canaryPatience)
	p.guard.verifying.Lock()
	defer p.guard.verifying.Unlock()
	// One that cannot be sung is not heard either, and blocks by that.
	_ = p.guard.watch.sing()
}

// changedSilently reads the settings that make no event when they change.
func (p *patrol) changedSilently(ctx context.Context, now time.Time) bool {
	if now.Before(p.pollAt) {
		return false
	}
	p.pollAt = now.Add(pollEvery)
	g := p.guard
	g.verifying.Lock()
	defer g.verifying.Unlock()
	for _, m := range g.members() {
		if bad, err := m.ns.wrong(ctx, m.plan.sysctls(m.link.name)); err != nil || len(bad) > 0 {
			return true
		}
		if links, err := m.ns.withPrograms(ctx, loIndex, m.link.index); err != nil || len(links) > 0 {
			return true
		}
	}
	return false
}

// look verifies and makes a violation of what cannot be read.
func (p *patrol) look(ctx context.Context) (Report, []*Violation) {
	p.guard.watch.covered()
	report, err := p.guard.scope().verify(ctx)
	if err != nil { // once more: a link may have gone while it was read
		report, err = p.guard.scope().verify(ctx)
	}
	found := merge(report.Violations, p.guard.unfit())
	if err != nil {
		found = append(found, &Violation{Kind: KindNamespace, Detail: err.Error(), At: time.Now()})
	}
	return report, found
}

// sweep compares everything and does what follows from it.
func (p *patrol) sweep(ctx context.Context, trouble []*Violation) {
	g := p.guard
	g.verifying.Lock()
	defer g.verifying.Unlock()
	report, found := p.look(ctx)
	found = merge(merge(found, trouble), p.dead)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	p.sweepAt, p.pollAt = now.Add(sweepEvery), now.Add(pollEvery)
	if p.phase == blocked {
		p.wait(ctx, found, now)
		return
	}
	if left := p.revert(ctx, found); len(left) > 0 {
		p.block(ctx, left)
		return
	}
	if p.phase == opened && p.probe.carrier(report.Internal.Carrier && report.External.Carrier, now) {
		g.pauseDials("looking whether both ports are in one network segment")
	}
	if p.phase == opened && !p.probe.has {
		g.doubt("", "") // without carrier they are in none
	}
}

// revert undoes what was found on the spot and returns what blocks: what is
// grave, what does not stay undone, and what is changed all too often.
func (p *patrol) revert(ctx context.Context, found []*Violation) []*Violation {
	var undone []*Violation
	var problem error
	for range revertTries {
		if len(found) == 0 || slices.ContainsFunc(found, (*Violation).grave) {
			break
		}
		undone = merge(undone, found)
		problem = p.guard.heal(ctx, found)
		_, found = p.look(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	for _, v := range undone {
		if !slices.ContainsFunc(found, v.same) {
			p.guard.count(1, 1)
			p.guard.report(v, true)
		}
	}
	if len(undone) > 0 && p.hold.revert(time.Now()) && len(found) == 0 {
		found = []*Violation{{Kind: undone[0].Kind, Port: undone[0].Port, At: time.Now(),
			Detail: fmt.Sprintf("changed %d times within %v, last: %s", latchReverts, latchWindow, undone[0].Detail)}}
	}
	if problem != nil {
		for _, v := range found {
			v.Detail += " (" + problem.Error() + ")"
		}
	}
	return found
}

// merge returns a with those of b that it has not.
func merge(a, b []*Violation) []*Violation {
	for _, v := range b {
		if !slices.ContainsFunc(a, v.same) {
			a = append(a, v)
		}
	}
	return a
}

// block closes the ports and begins a hold.
func (p *patrol) block(ctx context.Context, found []*Violation) {
	g := p.guard
	p.cancel()
	p.phase, p.known, p.unready = blocked, found, nil
	p.probe.lack = time.Time{} // blocked ports are probed before they open, whenever that is
	now := time.Now()
	p.hold.block(now, slices.ContainsFunc(found, (*Violation).counts))
	g.pauseDials("")
	g.doubt("", "")
	err := g.block(ctx, found)
	err = errors.Join(err, g.heal(ctx, found))
	p.sweepAt = now // the first that counts
	p.describe(err)
}

// counts reports whether v may latch the ports: not what lies in cables or in the
// configuration, which is as it is until somebody comes, nor an address that
// another host has: nobody changed the kernel.
func (v *Violation) counts() bool {
	return v.Kind != KindSegment && v.Kind != KindOverlap && !(v.Kind == KindAddress && v.grave())
}

// describe tells in words why the ports are blocked, and until when.
func (p *patrol) describe(problem error) {
	var text []string
	switch {
	case p.hold.latched:
		text = append(text, "blocked for good, because the kernel was changed too often")
	case len(p.known) == 0:
		text = append(text, "healed, opening at "+p.hold.opens.Format(time.TimeOnly)+" at the earliest")
	}
	if len(p.known) > 0 {
		text = append(text, summary(p.known))
	}
	if problem != nil {
		text = append(text, problem.Error())
	}
	p.guard.mu.Lock()
	p.guard.latched = p.hold.latched
	p.guard.mu.Unlock()
	p.guard.become(Blocked, strings.Join(text, ": "))
}

// wait takes a sweep of blocked ports: it tells what is new and what is gone,
// heals, and opens when nothing was found for long enough.
func (p *patrol) wait(ctx context.Context, found []*Violation, now time.Time) {
	g := p.guard
	p.sweepAt = p.hold.next(now)
	var known []*Violation
	for _, v := range p.known {
		if slices.ContainsFunc(found, v.same) {
			known = append(known, v)
			continue
		}
		g.count(0, 1)
		g.report(v, true)
	}
	for _, v := range found {
		if !slices.ContainsFunc(known, v.same) {
			known = append(known, v)
			g.count(1, 0)
			g.report(v, false)
		}
	}
	p.known = known
	err := p.unready
	if len(found) > 0 {
		err = errors.Join(g.silence(ctx, found), g.heal(ctx, found))
	}
	p.describe(err)
	if p.hold.sweep(now, len(found) == 0) {
		p.prove(ctx, true)
	}
}
