package netguard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// carrierWait is how long ports that are to open wait for their links to find a
// partner again: negotiation of 1000BASE-T takes two to four seconds. Without
// carrier they open all the same, and are probed when it comes.
const carrierWait = 5 * time.Second

// How long nothing may be known of the ports for want of a packet socket: then they are
// blocked. It is asked for again meanwhile.
const (
	probeLimit = 5 * time.Minute
	probeAgain = 15 * time.Second
)

// prober says when the two ports are asked whether they are in one segment.
type prober struct {
	at      time.Time // the next time; zero while a link has no carrier
	came    time.Time // when both links had carrier
	has     bool      // both have
	began   time.Time // when the last probe did
	running bool

	good time.Time // when a probe last found nothing
	lack time.Time // since when none could be made; zero: the last one was
	why  error     // with lack: what was missing
}

// carrier notes whether both links have carrier; true means that it has just
// come back, and that nothing is known of where it leads.
func (q *prober) carrier(has bool, now time.Time) (back bool) {
	back = has && !q.has
	q.has = has
	switch {
	case back:
		q.came, q.at = now, now
	case !has:
		q.at, q.lack = time.Time{}, time.Time{}
	}
	return back
}

// due reports whether a probe is to begin.
func (q *prober) due(now time.Time) bool {
	return !q.running && !q.at.IsZero() && !now.Before(q.at)
}

// restart notes that the ports open now, probed if both links have carrier.
func (q *prober) restart(has bool, now time.Time) {
	q.has, q.came, q.began, q.at = has, now, now, time.Time{}
	q.done(now)
	q.passed(now)
}

// passed notes that the ports are known to be in two segments.
func (q *prober) passed(now time.Time) { q.good, q.lack = now, time.Time{} }

// unmade notes that the probe could not be made, which is tried again soon, and returns
// for how long none could be.
func (q *prober) unmade(why error, now time.Time) time.Duration {
	q.running = false
	if !q.has { // there is nothing to probe
		return 0
	}
	if q.lack.IsZero() || !errors.Is(why, context.DeadlineExceeded) { // that time is up says less than why
		q.why = why
	}
	if q.lack.IsZero() {
		q.lack = q.began
	}
	q.at = earliest(now.Add(probeAgain), q.latest())
	return now.Sub(q.lack)
}

// latest is when a probe that begins now must have been made.
func (q *prober) latest() time.Time {
	if q.lack.IsZero() {
		return q.began.Add(probeLimit)
	}
	return q.lack.Add(probeLimit)
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// begin notes that a probe runs.
func (q *prober) begin(now time.Time) { q.began, q.running = now, true }

// done notes the end of a probe and says when the next one is due: at once when a
// carrier came while it ran, of which it may have seen nothing.
func (q *prober) done(now time.Time) {
	q.running = false
	if !q.has {
		return
	}
	if q.came.After(q.began) {
		q.at = now
		return
	}
	q.at = now.Add(probeEvery)
	for _, after := range []time.Duration{probeLater, probeSoon} {
		if t := q.came.Add(after); now.Before(t) {
			q.at = t
		}
	}
}

// proof is the result of a probe.
type proof struct {
	reopening bool
	carrier   bool // without it nothing was sent
	shared    *Violation
	err       error
}

// prove begins to look whether the ports are in one segment. Reopening, it sets
// the External Port up for that. The answer comes as a result.
func (p *patrol) prove(ctx context.Context, reopening bool) {
	if p.probe.running {
		return
	}
	p.probe.begin(time.Now())
	if reopening {
		p.phase = proving
	}
	ctx, p.cancel = context.WithDeadline(ctx, p.probe.latest())
	p.running.Go(func() {
		defer p.guard.failClosed()
		var r proof
		var err error
		if reopening {
			err = p.guard.raiseAgain(ctx)
		}
		if err == nil {
			r, err = p.guard.probeSegment(ctx)
		}
		r.reopening, r.err = reopening, err
		p.results <- r
		p.guard.watch.poke()
	})
}

// raiseAgain sets the External Port up with all that belongs to it, once it can be probed.
func (g *Guard) raiseAgain(ctx context.Context) error {
	if err := g.stock(ctx); err != nil {
		return err
	}
	g.verifying.Lock()
	defer g.verifying.Unlock()
	for _, m := range g.sides {
		if m.shut && m.plan.has6 {
			// Behind that wall no address could be probed: they come anew with the link.
			if err := m.ns.silence(); err != nil {
				return err
			}
		}
		g.hush(m, false, false)
		if err := m.apply(ctx); err != nil {
			return err
		}
	}
	return nil
}

// probeSegment waits for what the links need to be used, and looks whether they
// are in one segment. Links without carrier are in none.
func (g *Guard) probeSegment(ctx context.Context) (r proof, err error) {
	_, sides := g.effective()
	for _, m := range sides {
		if err := m.awaitAddresses(ctx); err != nil {
			return r, err
		}
	}
	if r.carrier, err = awaitCarrier(ctx, sides); err == nil && r.carrier {
		r.shared, err = sameSegment(ctx, sides)
	}
	return r, err
}

// awaitCarrier waits until both links have carrier, and reports whether they have.
func awaitCarrier(ctx context.Context, sides [2]*member) (bool, error) {
	until := time.Now().Add(carrierWait)
	for {
		missing := false
		for _, m := range sides {
			l, err := m.ns.nl.LinkByIndex(m.link.index)
			if err != nil {
				return false, fmt.Errorf("reading link %s: %w", m.link.name, err)
			}
			missing = missing || l.Attrs().RawFlags&unix.IFF_LOWER_UP == 0
		}
		if !missing {
			return true, nil
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return false, ctx.Err()
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// proved takes the result of a probe: the ports open, stay open, or are blocked.
func (p *patrol) proved(ctx context.Context, r proof) {
	p.cancel()
	now := time.Now()
	if p.phase == blocked || ctx.Err() != nil {
		p.probe.done(now)
		return // something was found meanwhile
	}
	// The time of one that follows others without a socket may be up before it asks for one.
	if errors.Is(r.err, errNoPacket) || !p.probe.lack.IsZero() && errors.Is(r.err, context.DeadlineExceeded) {
		p.unproved(ctx, r, now)
		return
	}
	p.probe.done(now)
	if r.err != nil {
		r.shared = &Violation{Kind: KindLink, Detail: r.err.Error(), At: now}
	}
	if r.shared != nil {
		p.guard.verifying.Lock()
		defer p.guard.verifying.Unlock()
		p.block(ctx, []*Violation{r.shared})
		return
	}
	p.unready = nil
	p.probe.passed(now)
	p.guard.doubt("", "it is known again that the ports are in two network segments")
	if r.reopening || !p.probe.due(now) {
		p.guard.pauseDials("")
	}
	if p.phase == proving && r.reopening {
		p.probe.restart(r.carrier, now)
		p.open(ctx)
	}
}

// unproved takes a probe that could not be made for want of a packet socket. Open ports
// stay as they are for probeLimit: a scheduled probe leaves them to be used, one that
// follows a carrier keeps dials refused. Blocked ones stay blocked.
func (p *patrol) unproved(ctx context.Context, r proof, now time.Time) {
	g := p.guard
	g.verifying.Lock()
	defer g.verifying.Unlock()
	if r.reopening {
		p.probe.done(now)
		p.phase, p.sweepAt, p.unready = blocked, p.hold.next(now), r.err
		p.describe(errors.Join(r.err, g.silence(ctx, nil)))
		return
	}
	lacking := p.probe.unmade(r.err, now)
	switch {
	case lacking >= probeLimit:
		p.block(ctx, []*Violation{{Kind: KindLink, Detail: p.probe.why.Error(), At: now}})
	case p.probe.has:
		why := fmt.Sprintf("whether both ports are in one network segment is not known yet, last known good %v ago: %v",
			now.Sub(p.probe.good).Round(time.Second), p.probe.why)
		g.doubt(why, why)
	}
}

// doubt notes why it is not known whether the ports are in one segment; empty: it is, or
// they are blocked. The text, if any, is told when that begins or ends.
func (g *Guard) doubt(why, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (g.doubtful == "") != (why == "") && text != "" {
		g.tell(Event{Text: text})
	}
	if g.doubtful != why {
		g.doubtful = why
		g.changed()
	}
}

// open sweeps once more and, when that finds nothing, lets the ports be used.
func (p *patrol) open(ctx context.Context) {
	p.sweep(ctx, nil)
	if p.phase != proving || ctx.Err() != nil {
		return
	}
	p.phase, p.known = opened, nil
	if p.guard.become(Open, "") {
		p.guard.tellStatus()
	}
}
