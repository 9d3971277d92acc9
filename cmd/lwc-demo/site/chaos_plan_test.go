package site

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// act is one thing that is done to the site, at a time from the beginning.
type act struct {
	at    time.Duration
	what  string        // of acts
	lasts time.Duration // how long it lasts; 0: it is over at once
	value string
}

// String is a line of the log, by which a failure is replayed.
func (a act) String() string {
	s := fmt.Sprintf("%8.2fs  %s", a.at.Seconds(), a.what)
	if a.value != "" {
		s += " " + a.value
	}
	if a.lasts > 0 {
		s += " for " + a.lasts.String()
	}
	return s
}

// The acts.
const (
	actLine     = "line"           // a fault or a condition of the line to the cloud
	actLwcd     = "kill lwcd"      // both halves
	actHalf     = "kill the half"  // the collector's alone
	actRestart  = "stop lwcd"      // politely
	actCloud    = "kill lwc-cloud" // and its broker with it
	actBroker   = "kill mosquitto" // where it is the broker
	actLater    = "later"          // it is, at both ends
	actClock    = "clock"          // of lwcd, that much ahead of the cloud's
	actDisk     = "fill the disk"  // of the cloud
	actCollect  = "collect"        // by a job
	calmPart    = 0.55             // of the time, after which lwcd is left alive
	meanPause   = 2 * time.Second  // between acts
	longestDown = 12 * time.Second // of a program, a line or a disk
	longestHole = 40 * time.Second // of a line that swallows all
)

// weighted is an act and how often it comes.
type weighted struct {
	weight int
	make   func(*rand.Rand) act
}

func some(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most))).Round(10 * time.Millisecond)
}

// kinds are all acts. What ends the life of lwcd is only in the first part: what the
// last life was told has to be accounted for to the last document.
func kinds(calm, mosquitto bool, devices []string) []weighted {
	plain := func(what, value string) func(*rand.Rand) act {
		return func(*rand.Rand) act { return act{what: what, value: value} }
	}
	lasting := func(what, value string, most time.Duration) func(*rand.Rand) act {
		return func(r *rand.Rand) act { return act{what: what, value: value, lasts: time.Second + some(r, most)} }
	}
	all := []weighted{
		{4, plain(actLine, "cut")}, {4, plain(actLine, "reset")}, {3, plain(actLine, "half-open")}, {3, plain(actLine, "half-open-far")},
		{3, lasting(actLine, "refuse", longestDown)}, {3, lasting(actLine, "black-hole", longestHole)},
		{3, func(r *rand.Rand) act {
			return act{what: actLine, value: "delay " + some(r, 900*time.Millisecond).String(), lasts: time.Second + some(r, longestHole)}
		}},
		{3, func(r *rand.Rand) act {
			return act{what: actLine, value: fmt.Sprint("rate ", 20_000+r.IntN(2_000_000)), lasts: time.Second + some(r, longestHole)}
		}},
		{4, lasting(actCloud, "", longestDown)}, {2, lasting(actDisk, "", longestHole)},
		{4, func(r *rand.Rand) act { return act{what: actClock, value: clocks()[r.IntN(len(clocks()))].String()} }},
		{3, func(r *rand.Rand) act { return act{what: actCollect, value: chosen(r, devices)} }},
	}
	if !calm {
		all = append(all, weighted{3, lasting(actLwcd, "", longestDown)}, weighted{2, plain(actHalf, "")}, weighted{1, lasting(actRestart, "", time.Second)})
	}
	if mosquitto {
		return append(all, weighted{3, lasting(actBroker, "", longestDown)})
	}
	// mosquitto goes by the clock of the machine: to it certificates of a cloud whose
	// time leaps are not valid yet.
	return append(all, weighted{1, func(r *rand.Rand) act { return act{what: actLater, value: leaps()[r.IntN(len(leaps()))].String()} }})
}

// clocks are how far ahead of the cloud's lwcd's clock is put.
func clocks() []time.Duration {
	return []time.Duration{0, 0, 7 * time.Second, -45 * time.Second, 11 * time.Minute, -20 * time.Minute, 95 * time.Minute, -2 * time.Hour, 25 * time.Hour, -26 * time.Hour}
}

// leaps are by how much later it can be: another window is open, or was missed.
func leaps() []time.Duration {
	return []time.Duration{4 * time.Minute, 95 * time.Minute, 22 * time.Hour, 25 * time.Hour}
}

// chosen names a few devices, or all by no name.
func chosen(r *rand.Rand, devices []string) string {
	if r.IntN(4) == 0 {
		return ""
	}
	names := ""
	for range 1 + r.IntN(12) {
		names += " " + devices[r.IntN(len(devices))]
	}
	return names[1:]
}

// plan is what is done to a site in that time: the same seed makes the same plan.
func plan(seed uint64, length time.Duration, mosquitto bool, devices []string) []act {
	r := rand.New(rand.NewPCG(seed, 5))
	out := []act{{at: time.Second, what: actCollect}} // there is something to lose from the start
	for at := 2 * time.Second; ; {
		at += some(r, 2*meanPause)
		if at >= length {
			return out
		}
		ks := kinds(at > time.Duration(calmPart*float64(length)), mosquitto, devices)
		total := 0
		for _, k := range ks {
			total += k.weight
		}
		n := r.IntN(total)
		i := slices.IndexFunc(ks, func(k weighted) bool { n -= k.weight; return n < 0 })
		a := ks[i].make(r)
		a.at = at
		out = append(out, a)
	}
}

func TestPlanIsTheSeeds(t *testing.T) {
	devices := []string{"a", "b", "c"}
	one, two := plan(7, 10*time.Minute, true, devices), plan(7, 10*time.Minute, true, devices)
	if !slices.Equal(one, two) || slices.Equal(one, plan(8, 10*time.Minute, true, devices)) {
		t.Error("the plan does not follow from its seed alone")
	}
	have, last := map[string]int{}, time.Duration(0)
	for _, a := range slices.Concat(one, plan(7, 10*time.Minute, false, devices)) {
		have[a.what]++
		if a.at == time.Second { // it begins anew
			last = 0
		}
		if ends := a.what == actLwcd || a.what == actHalf || a.what == actRestart; ends && a.at > 6*time.Minute {
			t.Errorf("%s: the last life of lwcd is too short", a)
		}
		if a.at < last {
			t.Errorf("%s comes after %s", a, last)
		}
		last = a.at
	}
	for _, what := range []string{actLine, actLwcd, actHalf, actRestart, actCloud, actBroker, actClock, actLater, actDisk, actCollect} {
		if have[what] < 2 {
			t.Errorf("%d times in ten minutes: %s", have[what], what)
		}
	}
}

// The short chaos has what it is for, and nothing that makes it long.
func TestPlanOfTheShortChaos(t *testing.T) {
	have := map[string]int{}
	for _, a := range plan(shortSeed, shortLength, false, make([]string, fewVictims)) {
		have[a.what]++
	}
	for _, what := range []string{actLine, actLwcd, actHalf, actCloud, actClock, actDisk, actCollect} {
		if have[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
	if have[actLater] > 0 {
		t.Errorf("%d leaps of hours", have[actLater])
	}
}
