package uplink

import (
	"errors"
	"time"

	"lwc/transport/wire"
)

const (
	// maxSilence bounds how long a slow line may be silent.
	maxSilence = time.Minute
	// shortLived is a session that was silent so soon that it is not the first sign
	// of a dead line, but perhaps of a slow one.
	shortLived = 2 * time.Minute
)

// ladder is the ways to the broker, best first, and what is remembered of them. It
// is used by the supervising goroutine only.
//
// A round tries every way once: those that are well in their order, then those that
// failed lately. A way that failed is ill for a minute, for two when it fails again,
// and so on up to an hour; once it is well it has its place back, and is used when
// the next session is made.
type ladder struct {
	least, most time.Duration // of an illness
	rungs       []rung
}

// rung is one way.
type rung struct {
	ep       wire.Endpoint
	fails    int       // in a row
	ill      time.Time // until then
	silences int       // short sessions in a row that ended in silence
	tried    bool      // in this round
}

func newLadder(eps []wire.Endpoint, least, most time.Duration) *ladder {
	l := &ladder{least: least, most: most}
	for _, ep := range eps {
		l.rungs = append(l.rungs, rung{ep: ep})
	}
	return l
}

// next returns the way to try now, nil when all of this round have been tried. Of
// those that are ill the one that failed least often comes first.
func (l *ladder) next(now time.Time) *rung {
	var best *rung
	for i := range l.rungs {
		r := &l.rungs[i]
		if r.tried {
			continue
		}
		if !r.ill.After(now) {
			return r
		}
		if best == nil || r.fails < best.fails {
			best = r
		}
	}
	return best
}

// round begins anew.
func (l *ladder) round() {
	for i := range l.rungs {
		l.rungs[i].tried = false
	}
}

// forget makes all ways well: the network is another one now, perhaps.
func (l *ladder) forget() {
	for i := range l.rungs {
		l.rungs[i] = rung{ep: l.rungs[i].ep}
	}
}

// failed notes that no session could be made, or that one ended too soon.
func (l *ladder) failed(r *rung, now time.Time) {
	r.tried = true
	r.ill = now.Add(double(l.least, r.fails, l.most))
	r.fails++
}

// served notes how a session went that was there. One that was steady makes the way
// well; one that was not counts as a failure.
func (l *ladder) served(r *rung, now time.Time, lived, steady time.Duration, err error) {
	if errors.Is(err, errSilent) && lived < shortLived {
		r.silences++
	} else {
		r.silences = 0
	}
	if lived < steady {
		l.failed(r, now)
		return
	}
	r.fails, r.ill = 0, time.Time{}
}

// patience is how long the broker may owe an answer. A line that was given up twice
// in a row may be so slow that a frame takes longer to cross, and gets longer.
func (r *rung) patience(least time.Duration) time.Duration {
	return max(least, double(least, max(r.silences-1, 0), maxSilence))
}
