package collector

import (
	"math"
	"time"
)

const (
	// guessTook is how long a device may take of which nothing is known, where
	// nothing is known of any other.
	guessTook = time.Minute
	// maxTook bounds what one device weighs: the rest of its time it stood still,
	// and had lent its place.
	maxTook = DefaultDeviceTimeout
	// margin is the part of the time that is left which a fleet is to be done in:
	// devices come unevenly, and some take longer than the last time.
	margin = 0.75
	// sizeEvery is how often the number of sessions is worked out.
	sizeEvery = 10 * time.Second
)

// sessions returns how many sessions it takes to collect what a schedule still owes
// by a moment: the devices of the window that are to come, those that wait in line,
// and what is left of those that are visited. The last ones may begin just before
// that moment.
func (p *plan) sessions(name string, waiting, visited []string, now, by time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.ledger(name)
	usual, slower := l.usual(), l.slower()
	weigh := func(id string) time.Duration {
		if took := l.took[id]; took > 0 {
			return time.Duration(float64(took) * slower)
		}
		return usual
	}
	var work time.Duration
	for _, id := range visited {
		work += weigh(id) / 2
	}
	for _, id := range waiting {
		work += weigh(id)
	}
	if a := p.agendas[name]; a != nil {
		for _, t := range a.turns {
			work += weigh(t.device)
		}
		for _, id := range a.waiting {
			work += weigh(id)
		}
	}
	left := by.Sub(now).Seconds()*margin + usual.Seconds()
	if left <= 0 {
		return math.MaxInt32
	}
	return int(min(math.Ceil(work.Seconds()/left), math.MaxInt32))
}

// usual is how long a device takes on average.
func (l *ledger) usual() time.Duration {
	if len(l.took) == 0 {
		return guessTook
	}
	var sum time.Duration
	for _, took := range l.took {
		sum += took
	}
	return sum / time.Duration(len(l.took))
}

// measured notes how long a visit took, and what it took the time before.
func (l *ledger) measured(id string, took time.Duration) {
	if before := l.took[id]; before > 0 {
		l.was, l.is = l.was-l.was/remembered+before, l.is-l.is/remembered+took
	}
	l.took[id] = took
}

// remembered is of how many visits slower goes by.
const remembered = 50

// slower is by how much visits take longer now than the time before: a slow line
// slows all devices. That they take less is not relied on.
func (l *ledger) slower() float64 {
	if l.was == 0 {
		return 1
	}
	return max(1, min(float64(l.is)/float64(l.was), 20))
}
