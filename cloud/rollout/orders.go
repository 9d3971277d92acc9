package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/image/release"
)

const (
	// maxAtOnce is how many boxes load one release at the same time at most.
	maxAtOnce = 50
	// haltAfter is on how many boxes a release fails before it is held back.
	haltAfter = 3
)

// Wave is how far a release has come.
type Wave struct {
	Have   int // boxes that run it, or a newer one, and have proved it
	Busy   int // boxes that are at it
	Failed int // boxes that it failed on, and that do not run it
	Lost   int // boxes that began it, and are not heard any more
	// Excused are the boxes that it failed on, or that were lost, before an admin let it
	// go on.
	Excused int
}

// Halted tells whether the release is held back: it failed on several boxes, and on
// more than a tenth of those that tried it; or a box is lost over it, and none has
// proved it. A box that is lost counts as one that it failed on.
func (w Wave) Halted() bool {
	bad := w.Failed + w.Lost
	return bad >= haltAfter && 10*bad > w.Have+bad || w.Lost > 0 && w.Have == 0
}

// Reason says in words what a release that is held back is held back for.
func (w Wave) Reason() string {
	switch {
	case w.Lost == 0:
		return "it failed on " + boxesAre(w.Failed)
	case w.Failed == 0:
		return boxesAre(w.Lost) + " began it, and fell silent"
	}
	return fmt.Sprintf("it failed on %s, and %s began it, and fell silent", boxesAre(w.Failed), boxesAre(w.Lost))
}

// HoldOf names what a release is held back for: which boxes it failed on, or were lost over
// it, since an admin last let it go on. Another box is another hold. Empty: it is not held
// back.
func HoldOf(now time.Time, r Release, boxes []Box) string {
	if !WaveOf(now, r, boxes).Halted() {
		return ""
	}
	about := []string{fmt.Sprint(r.Version, " ", r.Resumed.UnixMicro())}
	for _, b := range boxes {
		if one := WaveOf(now, r, []Box{b}); one.Failed+one.Lost > 0 {
			about = append(about, fmt.Sprint(b.Collector, " ", one.Lost))
		}
	}
	slices.Sort(about)
	sum := sha256.Sum256([]byte(strings.Join(about, "\n")))
	return hex.EncodeToString(sum[:holdBytes])
}

// holdBytes make a name that a person copies: two holds of one release that follow each
// other have the same one in 1 of 4 billion cases.
const holdBytes = 4

// room is how many boxes may be at it: one at first, then twice as many as have it.
func (w Wave) room() int { return min(max(1, 2*w.Have), maxAtOnce) }

// WaveOf counts how far a release has come.
func WaveOf(now time.Time, r Release, boxes []Box) (w Wave) {
	for _, b := range boxes {
		switch {
		case b.Busy == r.Version && b.silent(now): // it takes nobody's turn
			if b.Begun {
				w.blame(r, Failure{Version: r.Version, Silent: b.Heard.Add(b.Deaf)})
			}
		case b.Busy == r.Version:
			w.Busy++
		case release.CheckVersion(b.Running) == nil && !b.Trial && release.Compare(b.Running, r.Version) >= 0:
			w.Have++
		default:
			w.blame(r, b.Failures...)
		}
	}
	return w
}

// blame counts a box by the worst of what went wrong with the release there since an
// admin last let it go on.
func (w *Wave) blame(r Release, list ...Failure) {
	var lost, failed, excused bool
	for _, f := range list {
		if f.Version != r.Version {
			continue
		}
		told, at := f.Silent.IsZero(), f.At
		if !told { // this is when it was seen
			at = f.Silent.Add(silence)
		}
		counts := r.Resumed.IsZero() || at.After(r.Resumed)
		lost, failed, excused = lost || counts && !told, failed || counts && told, true
	}
	switch {
	case lost:
		w.Lost++
	case failed:
		w.Failed++
	case excused:
		w.Excused++
	}
}

// Orders says what becomes of all boxes, in their order: each is judged, and those
// that come into question take turns.
func Orders(now time.Time, boxes []Box, list []Release) []Verdict {
	waves := map[string]Wave{}
	for _, r := range list {
		waves[r.Version] = WaveOf(now, r, boxes)
	}
	free := going(list, waves)
	out := make([]Verdict, len(boxes))
	for _, i := range turns(boxes) {
		out[i] = Judge(now, boxes[i], free)
		held(&out[i], boxes[i], list, waves)
		if !out[i].Send {
			continue
		}
		w := waves[out[i].Wanted]
		if w.Busy >= w.room() {
			out[i] = Verdict{Wanted: out[i].Wanted, Why: fmt.Sprintf("%s waits for its turn: on %s so far, %s at it", out[i].Wanted, boxesAre(w.Have), atIt(w.Busy))}
			continue
		}
		w.Busy++
		waves[out[i].Wanted] = w
	}
	return out
}

// turns is the order in which boxes are served: by name, those without a failure
// first, so that one bad box does not keep a release from all others.
func turns(boxes []Box) []int {
	out := make([]int, len(boxes))
	for i := range out {
		out[i] = i
	}
	slices.SortStableFunc(out, func(i, j int) int {
		if c := min(len(boxes[i].Failures), 1) - min(len(boxes[j].Failures), 1); c != 0 {
			return c
		}
		return strings.Compare(boxes[i].Collector, boxes[j].Collector)
	})
	return out
}

// going are the releases that are not held back.
func going(list []Release, waves map[string]Wave) []Release {
	return slices.DeleteFunc(slices.Clone(list), func(r Release) bool { return waves[r.Version].Halted() })
}

// held says that a newer release than the one of the verdict is held back.
func held(v *Verdict, b Box, list []Release, waves map[string]Wave) {
	if v.Send || b.Busy != "" || b.Trial || release.CheckVersion(b.Running) != nil {
		return
	}
	for _, r := range b.steps(list) {
		if w := waves[r.Version]; w.Halted() && release.Compare(r.Version, v.Wanted) > 0 {
			why := r.Version + " is held back: " + w.Reason()
			if v.Wanted != "" { // what else there is
				why += "; " + v.Why
			}
			v.Ask, v.Why = true, why
			return
		}
	}
}

func boxesAre(n int) string {
	switch n {
	case 0:
		return "no box"
	case 1:
		return "1 box"
	}
	return fmt.Sprintf("%d boxes", n)
}

func atIt(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}
