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
// by a moment: the devices of the window that are to come, and those in line.
func (p *plan) sessions(name string, inLine []string, now, by time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.ledger(name)
	var work time.Duration
	var unknown int
	weigh := func(id string) {
		if took := l.took[id]; took > 0 {
			work += took
		} else {
			unknown++
		}
	}
	for _, id := range inLine {
		weigh(id)
	}
	if a := p.agendas[name]; a != nil {
		for _, t := range a.turns {
			weigh(t.device)
		}
		for _, id := range a.waiting {
			weigh(id)
		}
	}
	work += time.Duration(unknown) * l.usual()
	left := by.Sub(now).Seconds() * margin
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
