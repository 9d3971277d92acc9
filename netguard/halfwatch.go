package netguard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// healTime is how long the supervisor has for a violation that this half sees
	// too: to heal it, or to tell that it is meant so. Nothing is dialled
	// meanwhile; after it what is open is closed.
	healTime = 500 * time.Millisecond
	// recheckTime is the pause between verifications during healTime.
	recheckTime = 50 * time.Millisecond
	// deafTime is how long a half goes on without an event: the supervisor makes
	// one every canaryEvery, and may miss one.
	deafTime = 2*canaryEvery + 30*time.Second
)

// lookout is the watch of a half, which reads only: it cannot heal, but it
// closes without its supervisor.
type lookout struct {
	half            *Half
	pollAt, sweepAt time.Time
	since           time.Time // when the present violation was seen first
	lostAt          time.Time // when events were lost last
}

func newLookout(h *Half) *lookout { return &lookout{half: h} }

// run judges the ports at each change until ctx ends.
func (l *lookout) run(ctx context.Context) {
	if l.half.watch == nil {
		l.runUnprotected(ctx)
		return
	}
	l.half.watch.start()
	for {
		s := l.half.watch.next(ctx, l.due())
		if ctx.Err() != nil {
			return
		}
		l.round(ctx, s)
	}
}

// runUnprotected has nothing to look at but what the supervisor says.
func (l *lookout) runUnprotected(ctx context.Context) {
	for {
		l.half.verify(ctx, nil)
		select {
		case <-ctx.Done():
			return
		case <-l.half.changes:
		}
	}
}

func (l *lookout) due() time.Time {
	if l.sweepAt.Before(l.pollAt) {
		return l.sweepAt
	}
	return l.pollAt
}

func (l *lookout) round(ctx context.Context, s signal) {
	now := time.Now()
	trouble := l.listen(ctx, s, now)
	if !s.changed && len(s.lost) == 0 && len(trouble) == 0 && now.Before(l.sweepAt) && !l.changedSilently(ctx, now) {
		return
	}
	l.half.watch.covered()
	found := l.half.verify(ctx, trouble)
	l.half.watch.swept()
	l.punish(found, now)
}

// punish closes what is open: at once for what the supervisor does not undo
// either, otherwise once it had its time.
func (l *lookout) punish(found []*Violation, now time.Time) {
	l.pollAt, l.sweepAt = now.Add(pollEvery), now.Add(sweepEvery)
	if len(found) == 0 {
		l.since = time.Time{}
		return
	}
	if l.since.IsZero() {
		l.since = now
	}
	grave := slices.ContainsFunc(found, (*Violation).grave)
	if left := l.since.Add(healTime).Sub(now); left > 0 && !grave {
		l.sweepAt = now.Add(min(left, recheckTime))
		return
	}
	l.half.hangUp()
	l.sweepAt = now.Add(pollEvery)
}

// listen makes violations of what is wrong with the watch itself.
func (l *lookout) listen(ctx context.Context, s signal, now time.Time) []*Violation {
	var all []*Violation
	add := func(format string, args ...any) {
		all = append(all, &Violation{Kind: KindWatch, Detail: fmt.Sprintf(format, args...), At: now})
	}
	if len(s.dead) > 0 {
		add("events are not read any more: %v", s.dead)
		if err := l.half.watch.reopen(ctx); err != nil {
			add("%v", err)
		}
	}
	if len(s.lost) > 0 {
		if !l.lostAt.IsZero() && now.Sub(l.lostAt) <= lostWindow {
			add("events of %s were lost twice within %v", strings.Join(s.lost, ", "), lostWindow)
		}
		l.lostAt = now
	}
	if quiet := l.half.watch.silentFor(now); quiet > deafTime {
		add("nothing was heard for more than %v: neither the supervisor nor the kernel says anything", deafTime)
	}
	return all
}

// changedSilently reads the settings whose change makes no event.
func (l *lookout) changedSilently(ctx context.Context, now time.Time) bool {
	if now.Before(l.pollAt) {
		return false
	}
	l.pollAt = now.Add(pollEvery)
	l.half.mu.Lock()
	sides := l.half.sides
	l.half.mu.Unlock()
	for _, m := range sides {
		if bad, err := m.ns.wrong(ctx, m.plan.sysctls(m.link.name)); err != nil || len(bad) > 0 {
			return true
		}
	}
	return false
}
