package netguard

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// carrierWait is how long ports that are to open wait for their links to find a
// partner again: negotiation of 1000BASE-T takes two to four seconds. Without
// carrier they open all the same, and are probed when it comes.
const carrierWait = 5 * time.Second

// prober says when the two ports are asked whether they are in one segment.
type prober struct {
	at      time.Time // the next time; zero while a link has no carrier
	came    time.Time // when both links had carrier
	has     bool      // both have
	began   time.Time // when the last probe did
	running bool
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
		q.at = time.Time{}
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
	ctx, p.cancel = context.WithCancel(ctx)
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

// raiseAgain sets the External Port up with all that belongs to it.
func (g *Guard) raiseAgain(ctx context.Context) error {
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
	p.probe.done(now)
	if p.phase == blocked || ctx.Err() != nil {
		return // something was found meanwhile
	}
	if r.err != nil {
		r.shared = &Violation{Kind: KindLink, Detail: r.err.Error(), At: now}
	}
	if r.shared != nil {
		p.guard.verifying.Lock()
		defer p.guard.verifying.Unlock()
		p.block(ctx, []*Violation{r.shared})
		return
	}
	if r.reopening || !p.probe.due(now) {
		p.guard.pauseDials("")
	}
	if p.phase == proving && r.reopening {
		p.probe.restart(r.carrier, now)
		p.open(ctx)
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
