package collector

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// uniqueSections fails the test where two sections of a run have one number.
func (r *rig) uniqueSections() {
	r.t.Helper()
	seen := map[string]bool{}
	for _, m := range r.up.sections() {
		k := fmt.Sprint(m.Run, " ", m.Section)
		if seen[k] {
			r.t.Errorf("section %s is there twice", k)
		}
		seen[k] = true
	}
}

// A run that an earlier boot began, and this one goes on with, is not taken for one
// that nobody goes on with when the next window has begun.
func TestAdoptedRunOutlastsItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := time.Date(2026, 6, 3, 2, 0, 0, 0, time.UTC)
		open := wire.OpenRun{Run: wire.RunID(testCollector, "daily", window), Schedule: "daily", Window: window}
		r := boot(t, window.Add(10*time.Minute), open)
		r.up.hold = true
		d := r.desired(1, 3)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		r.apply(d)
		r.sleep(25 * time.Hour) // in the next window
		r.c.Welcomed(wire.Welcome{OpenRuns: []wire.OpenRun{open}})
		r.sleep(2 * time.Minute)
		for _, m := range r.up.sections() {
			if m.Run == open.Run {
				t.Errorf("the run was ended under way: %+v", m)
			}
		}
		r.up.hold = false
		r.up.release()
		r.sleep(2 * time.Hour)
		r.uniqueSections()
		runs := r.up.runs()
		at := slices.IndexFunc(runs, func(m wire.Manifest) bool { return m.Run == open.Run })
		if len(runs) != 2 || at < 0 || len(runs[at].Devices) != 3 || runs[at].Reason != "" {
			t.Errorf("%+v", runs)
		}
	})
}

// The cloud's clock was days ahead and came back: a run that is begun anew goes on
// counting its sections.
func TestRunBegunAnewCountsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		d := r.desired(1, 2)
		d.Schedules = []wire.Schedule{{Start: "12:30", Window: "1h"}}
		r.apply(d)
		r.sleep(90 * time.Minute)
		r.at(noon.AddDate(0, 0, 3).Add(30 * time.Minute))
		r.sleep(90 * time.Minute)
		r.at(noon.Add(35 * time.Minute))
		d = r.desired(2, 3)
		d.Schedules = []wire.Schedule{{Start: "12:30", Window: "1h"}}
		r.apply(d)
		r.sleep(90 * time.Minute)
		r.uniqueSections()
		r.times(2, 2)
		if got := r.site.dialled()["edge-03"]; got != 1 {
			t.Errorf("the new device was dialled %d times", got)
		}
	})
}

// What is known of a device that is taken out of the configuration is kept for as
// long as it may come back to the same window, and no longer.
func TestDeviceTakenOutAndIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		with := func(version uint64, n int) {
			d := r.desired(version, n)
			d.Schedules = []wire.Schedule{{Start: "11:00", Window: "6h"}}
			r.apply(d)
		}
		r.apply(r.desired(1, 2))
		r.collect("edge-01", "edge-02")
		with(2, 1)
		r.sleep(time.Hour)
		with(3, 2)
		r.sleep(5 * time.Hour)
		r.times(2, 1)
		with(4, 1)
		r.sleep(10 * 24 * time.Hour)
		with(5, 1)
		for name, l := range r.c.plan.ledgers {
			if _, there := l.done["edge-02"]; there || len(l.took) > 1 {
				t.Errorf("the ledger %q has %v", name, l.done)
			}
		}
	})
}

// What the cloud has of schedules that are not configured is not kept.
func TestLedgersOfOtherSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		for i := range 5 {
			d := r.desired(uint64(i+1), 1)
			d.Schedules = []wire.Schedule{{Start: "02:00"}}
			d.Done = map[string]map[string]wire.Done{fmt.Sprint("old-", i): done(noon, "edge-01")}
			r.apply(d)
		}
		if n := len(r.c.plan.ledgers); n > 2 {
			t.Errorf("%d ledgers", n)
		}
	})
}

// A job collects a device that is in line for its schedule: once is enough, whether
// the job is done when the device's turn comes or under way.
func TestJobServesWhoIsInLine(t *testing.T) {
	for _, takes := range []time.Duration{time.Second, 8 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := boot(t, noon)
			d := r.desired(1, 2)
			d.Schedules = []wire.Schedule{{Start: "13:00"}}
			first, second := d.Devices[0].ID, d.Devices[1].ID
			slow := func(d time.Duration) behaviour {
				return behaviour{dial: func(int) error { time.Sleep(d); return nil }}
			}
			r.site.behave[first], r.site.behave[second] = slow(5*time.Minute), slow(takes)
			r.apply(d)
			ctx := t.Context()
			run := r.c.newRun(ctx, &run{id: wire.NewID(), schedule: "daily", window: r.c.clock.now(), line: newQueue(1)})
			r.c.enqueue(ctx, run, turn{device: first}, turn{device: second})
			run.seal()
			r.sleep(time.Second)
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID(), Devices: []string{second}})
			r.sleep(20 * time.Minute)
			r.times(2, 1)
			if m := r.up.runs(); len(m) != 2 || len(m[0].Devices)+len(m[1].Devices) != 2 {
				t.Errorf("%+v", m)
			}
		})
	}
}
