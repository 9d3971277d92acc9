package netguard

import (
	"slices"
	"time"
)

// How long ports stay blocked, and when they stay so for good.
const (
	// cleanSweeps over cleanSpan must find nothing before blocked ports open: one
	// clean look may fall between two blows of whoever changes the kernel.
	cleanSweeps = 3
	cleanSpan   = 5 * time.Second
	// holdLimit ends the doubling of the hold: a cause that is gone costs the
	// customer at most five minutes more.
	holdLimit = 5 * time.Minute
	// latchWindow is what the numbers below are counted in.
	latchWindow = 10 * time.Minute
	// latchBlocks in one window latch: the holds before the sixth block add up to
	// 155 s, so that chance alone does not come so far.
	latchBlocks = 6
	// latchReverts in one window latch: at 20 ms each somebody's settings then were
	// in force for 2 s, and whoever sets them every 6 s will not stop by itself.
	latchReverts = 100
	// lostWindow is the time within which a second loss of events blocks: one is
	// made good by reading everything, two mean that reading cannot keep up.
	lostWindow = 10 * time.Second
)

// hold decides when blocked ports may open. It knows nothing of the kernel.
type hold struct {
	blocks  []time.Time // that count, of the window
	reverts []time.Time // of the window
	last    time.Time   // the last block, whether it counts or not
	lost    time.Time   // when events were lost
	rounds  int         // blocks in a row without a quiet window between them
	opens   time.Time   // the hold ends
	first   time.Time   // the first clean sweep of the present row
	clean   int         // sweeps in that row
	latched bool
}

// block begins a hold, twice as long as the one before. One that does not count
// never latches: its cause lies in the cables or the configuration, where nobody
// changes it by the minute.
func (h *hold) block(now time.Time, counts bool) {
	if now.Sub(h.last) > latchWindow {
		h.rounds = 0
	}
	h.last, h.clean = now, 0
	wait := holdLimit
	if h.rounds < 6 { // cleanSpan << 6 is beyond the limit
		wait = min(cleanSpan<<h.rounds, holdLimit)
	}
	h.rounds++
	h.opens = now.Add(wait)
	if counts {
		h.blocks = append(recent(h.blocks, now), now)
		h.latched = h.latched || len(h.blocks) >= latchBlocks
	}
}

// revert counts a sweep that undid something; true means that it was one too many.
func (h *hold) revert(now time.Time) bool {
	h.reverts = append(recent(h.reverts, now), now)
	h.latched = h.latched || len(h.reverts) >= latchReverts
	return h.latched
}

// loss counts a loss of events; true means that it was the second in short time.
func (h *hold) loss(now time.Time) bool {
	again := !h.lost.IsZero() && now.Sub(h.lost) <= lostWindow
	h.lost = now
	return again
}

// sweep takes the result of a sweep of blocked ports; true means that they may open.
func (h *hold) sweep(now time.Time, clean bool) bool {
	if !clean {
		h.clean = 0
		return false
	}
	if h.clean == 0 {
		h.first = now
	}
	h.clean++
	return !h.latched && h.clean >= cleanSweeps && now.Sub(h.first) >= cleanSpan && !now.Before(h.opens)
}

// next is when blocked ports are to be swept again after a sweep at now.
func (h *hold) next(now time.Time) time.Time {
	return now.Add(cleanSpan / (cleanSweeps - 1))
}

// recent returns those of the times that lie in the window before now.
func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) > latchWindow })
}
