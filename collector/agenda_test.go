package collector

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lwc/transport/wire"
)

// life is a plan over some days, in which things happen by chance.
type life struct {
	t       *testing.T
	rand    *rand.Rand
	p       *plan
	now     time.Time
	start   string
	present map[string]time.Time            // since when a device is configured
	cloud   map[string]map[string]wire.Done // what the cloud has
	open    wire.OpenRun
	due     map[string]int // by day and device
	whole   map[string]bool
}

func (l *life) fleet() *fleet {
	f := &fleet{devices: map[string]*device{}, profiles: map[string]profile{wire.DefaultProfile: {}}}
	for id := range l.present {
		f.devices[id], f.order = &device{Device: wire.Device{ID: id}}, append(f.order, id)
	}
	s, err := parseSchedule(wire.Schedule{Start: l.start, Window: "3h"})
	if err != nil {
		l.t.Fatal(err)
	}
	f.schedules = []*schedule{s}
	return f
}

// look collects what is due, as a fast site would of which a part fails.
func (l *life) look() {
	st := l.p.steps(l.now)[0]
	for _, d := range st.due {
		what := fmt.Sprint(st.window.day, " ", d.device)
		if l.whole[what] {
			l.t.Errorf("day and device %s, which were collected, are due again", what)
		}
		l.due[what]++
		l.open = wire.OpenRun{Run: wire.RunID("site", "daily", st.window.id), Schedule: "daily", Window: st.window.id}
		ok := l.rand.IntN(4) > 0
		l.p.visited("daily", wire.DeviceResult{Device: d.device, OK: ok, Seconds: 1}, l.now)
		l.p.passed("daily", d.device)
		if ok {
			l.whole[what] = true
			l.cloud["daily"][d.device] = wire.Done{At: l.now, Seconds: 1}
		}
	}
}

// change is one thing that happens to the configuration or the collector.
func (l *life) change(restarts bool) {
	id := fmt.Sprintf("edge-%d", l.rand.IntN(40))
	switch n := l.rand.IntN(3); {
	case n == 0 && restarts: // off for a while
		if off := l.now.Add(time.Duration(l.rand.IntN(300)) * time.Minute); off.Day() == l.now.Day() {
			l.now = off
		}
		l.p = newPlan("site")
		l.p.configure(l.fleet(), l.cloud, l.now)
		l.p.adopt([]wire.OpenRun{l.open}, l.now)
		return
	case n == 0:
		l.start = fmt.Sprintf("%02d:00", 1+l.rand.IntN(19))
	case n == 1 && l.present[id].IsZero():
		l.present[id] = l.now
	case n == 2:
		delete(l.present, id)
	}
	l.p.configure(l.fleet(), l.cloud, l.now)
}

// Whatever happens in a window (devices come and go, the schedule moves within its
// day, the collector restarts): nobody is collected twice for one day, and nobody who
// was there before is forgotten.
func TestNobodyTwiceNobodyForgotten(t *testing.T) {
	for seed := range uint64(100) {
		day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		l := &life{t: t, rand: rand.New(rand.NewPCG(seed, 5)), p: newPlan("site"), now: day, start: "02:00",
			present: map[string]time.Time{}, cloud: map[string]map[string]wire.Done{"daily": {}}, due: map[string]int{}, whole: map[string]bool{}}
		for i := range 30 {
			l.present[fmt.Sprintf("edge-%d", i)] = day
		}
		l.p.configure(l.fleet(), nil, day)
		for range 6 {
			for end := day.Add(24*time.Hour - time.Minute); l.now.Before(end); l.now = l.now.Add(7 * time.Minute) {
				if l.rand.IntN(25) == 0 {
					l.change(seed%2 == 0)
				}
				l.look()
			}
			number := dayNumber(day)
			for id, since := range l.present {
				// A device that was never collected waits for its window where that was
				// missed by a restart.
				last, known := l.cloud["daily"][id]
				if n := l.due[fmt.Sprint(number, " ", id)]; n == 0 && last.At.Before(day) && !since.After(day) && known {
					t.Errorf("seed %d: %s was forgotten on %s", seed, id, day.Format(time.DateOnly))
				}
			}
			day = day.Add(24 * time.Hour)
			l.now = day
		}
		for what, n := range l.due {
			if n > 1 && seed%2 == 1 { // a restart does not know of failures
				t.Errorf("seed %d: %d collections of day and device %s", seed, n, what)
			}
		}
	}
}
