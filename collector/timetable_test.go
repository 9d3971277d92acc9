package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// at sets the cloud's clock.
func (r *rig) at(t time.Time) {
	r.c.Welcomed(wire.Welcome{Time: t})
	synctest.Wait()
}

// dialled returns how often each device was dialled.
func (s *site) dialled() map[string]int {
	out := map[string]int{}
	for _, id := range s.dialledDevices() {
		out[id]++
	}
	return out
}

// once fails the test unless each of n devices was dialled that often.
func (r *rig) times(n, want int) {
	r.t.Helper()
	got := r.site.dialled()
	for i := range n {
		if id := fmt.Sprintf("edge-%02d", i+1); got[id] != want {
			r.t.Errorf("%s was dialled %d times, want %d", id, got[id], want)
		}
	}
}

// boot is a rig whose clock says now, in the middle of something.
func boot(t *testing.T, now time.Time, open ...wire.OpenRun) *rig {
	r := newRig(t, nil)
	r.c.Welcomed(wire.Welcome{Time: now, OpenRuns: open})
	synctest.Wait()
	return r
}

func done(at time.Time, devices ...string) map[string]wire.Done {
	out := map[string]wire.Done{}
	for _, id := range devices {
		out[id] = wire.Done{At: at, Seconds: 1}
	}
	return out
}

var noon = time.Date(2026, 6, 3, 12, 0, 0, 0, time.UTC) // a Wednesday

// On days of a clock change each device is collected once, at the hour that the
// clock on the wall shows.
func TestDaysOfClockChange(t *testing.T) {
	for _, c := range []struct {
		from string
		want []string
	}{
		{"2026-03-27T20:00:00Z", []string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"2026-10-23T20:00:00Z", []string{"2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			from, _ := time.Parse(time.RFC3339, c.from)
			r := boot(t, from)
			d := r.desired(1, 10)
			d.Schedules = []wire.Schedule{{Start: "02:30", Window: "1h", Timezone: "Europe/Berlin"}}
			r.apply(d)
			r.sleep(72 * time.Hour)
			runs := r.up.runs()
			if len(runs) != len(c.want) {
				t.Fatalf("%d runs, want %d", len(runs), len(c.want))
			}
			zone, _ := time.LoadLocation("Europe/Berlin")
			for i, m := range runs {
				if got := m.Window.In(zone).Format(time.RFC3339); got != c.want[i] || len(m.Devices) != 10 {
					t.Errorf("run %d: %d devices in the window of %s, want %s", i, len(m.Devices), got, c.want[i])
				}
				if m.Finished.Before(m.Window) || m.Finished.After(m.Window.Add(61*time.Minute)) {
					t.Errorf("run %d ended at %s", i, m.Finished)
				}
			}
			r.times(10, 3)
		})
	}
}

// A second boot in one window collects what is missing, as part of the same run.
func TestSecondBootGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := time.Date(2026, 6, 3, 2, 0, 0, 0, time.UTC)
		run := wire.RunID(testCollector, "nightly", window)
		r := boot(t, window.Add(40*time.Minute), wire.OpenRun{Run: run, Schedule: "nightly", Window: window})
		d := r.desired(1, 20)
		d.Schedules = []wire.Schedule{{Name: "nightly", Start: "02:00", Window: "1h"}}
		var have []string
		for i := range 15 {
			have = append(have, fmt.Sprintf("edge-%02d", i+1))
		}
		d.Done = map[string]map[string]wire.Done{"nightly": done(window.Add(time.Minute), have...)}
		r.apply(d)
		r.sleep(time.Hour)
		m := r.up.runs()
		if len(m) != 1 || m[0].Run != run || len(m[0].Devices) != 5 || m[0].Schedule != "nightly" || !m[0].Window.Equal(window) || m[0].Reason != "" {
			t.Fatalf("runs %+v", m)
		}
		if s := r.up.sections(); s[0].Section != 1 || !s[len(s)-1].Last {
			t.Errorf("sections %+v", s)
		}
		if got := r.site.dialled(); len(got) != 5 || got["edge-01"] != 0 {
			t.Errorf("dialled %v", got)
		}
	})
}

// After a restart, a window that was cut off and is over is caught up, also by
// devices that were never collected: the open run shows that their turn had come.
func TestRestartAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := time.Date(2026, 6, 3, 2, 0, 0, 0, time.UTC)
		run := wire.RunID(testCollector, "daily", window)
		r := boot(t, noon, wire.OpenRun{Run: run, Schedule: "daily", Window: window})
		d := r.desired(1, 4)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		d.Done = map[string]map[string]wire.Done{"daily": done(window, "edge-01", "edge-02")}
		r.apply(d)
		r.sleep(time.Hour)
		if m := r.up.runs(); len(m) != 1 || m[0].Run != run || len(m[0].Devices) != 2 {
			t.Errorf("runs %+v", m)
		}
		r.times(2, 0)
		if got := r.site.dialled(); got["edge-03"] != 1 || got["edge-04"] != 1 {
			t.Errorf("dialled %v", got)
		}
	})
}

// The schedule was moved to later in the day, and the collector restarted: who was
// collected before the move is not collected again, and the run is still that one.
func TestRestartAfterTheScheduleWasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := noon.Add(-time.Hour)
		run := wire.RunID(testCollector, "daily", window)
		r := boot(t, noon, wire.OpenRun{Run: run, Schedule: "daily", Window: window})
		d := r.desired(1, 4)
		d.Schedules = []wire.Schedule{{Start: "11:30", Window: "2h"}}
		d.Done = map[string]map[string]wire.Done{"daily": done(window.Add(time.Minute), "edge-01", "edge-02")}
		r.apply(d)
		r.sleep(3 * time.Hour)
		if m := r.up.runs(); len(m) != 1 || m[0].Run != run || len(m[0].Devices) != 2 {
			t.Errorf("runs %+v", m)
		}
		r.times(2, 0)
	})
}

// Runs of earlier boots of which nothing more comes are ended, each once a boot.
func TestOpenRunsAreEnded(t *testing.T) {
	window := time.Date(2026, 6, 3, 2, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		schedule string
		window   time.Time
		start    string
		reason   string
	}{
		"renamed":   {"old", window, "02:00", "no schedule of this name"},
		"long over": {"daily", window.AddDate(0, 0, -3), "02:00", "was over"},
		"moved":     {"daily", window.Add(-time.Hour), "11:00", "moved"},
		"all there": {"daily", window, "02:00", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			open := wire.OpenRun{Run: wire.RunID(testCollector, c.schedule, c.window), Schedule: c.schedule, Window: c.window}
			r := boot(t, noon, open)
			r.sleep(time.Hour) // nothing is decided without a configuration
			if len(r.up.sections()) != 0 {
				t.Fatalf("%s: %+v", name, r.up.sections())
			}
			if name == "moved" {
				// Another open run of that day is the one that goes on.
				later := wire.OpenRun{Run: wire.RunID(testCollector, "daily", window), Schedule: "daily", Window: window}
				r.c.Welcomed(wire.Welcome{Time: noon.Add(time.Hour), OpenRuns: []wire.OpenRun{later, open}})
			}
			d := r.desired(1, 3)
			d.Schedules = []wire.Schedule{{Start: c.start, Window: "1h"}}
			d.Done = map[string]map[string]wire.Done{"daily": done(window.Add(time.Minute), "edge-01", "edge-02", "edge-03")}
			r.up.manifest = wire.Receipt{Status: wire.Rejected, Code: "no"} // nor is it sent for ever
			r.apply(d)
			r.sleep(time.Minute)
			r.c.Welcomed(wire.Welcome{Time: noon.Add(62 * time.Minute), OpenRuns: []wire.OpenRun{open}})
			r.sleep(time.Hour)
			var of []wire.Manifest
			for _, m := range r.up.sections() {
				if m.Run == open.Run {
					of = append(of, m)
				}
			}
			if len(of) != 1 || !of[0].Last || of[0].Section != 1 || len(of[0].Devices) != 0 || !strings.Contains(of[0].Reason, c.reason) || (c.reason == "") != (of[0].Reason == "") {
				t.Fatalf("%s: %+v", name, of)
			}
			if got := r.site.dialled(); len(got) != 0 {
				t.Errorf("%s: dialled %v", name, got)
			}
		})
	}
}

// A device that is added after the run of the window has ended belongs to it all
// the same: the run goes on and ends again.
func TestRunGoesOnAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		d := r.desired(1, 2)
		d.Schedules = []wire.Schedule{{Start: "13:00", Window: "2h"}}
		r.apply(d)
		r.sleep(150 * time.Minute)
		if m := r.up.runs(); len(m) != 1 || len(m[0].Devices) != 2 {
			t.Fatalf("runs %+v", m)
		}
		before := len(r.up.sections())
		d = r.desired(2, 3)
		d.Schedules = []wire.Schedule{{Start: "13:00", Window: "2h"}}
		r.apply(d)
		r.sleep(40 * time.Minute)
		s := r.up.sections()
		if len(s) != before+1 || s[before].Run != s[0].Run || s[before].Section != s[before-1].Section+1 || !s[before].Last ||
			len(s[before].Devices) != 1 || s[before].Devices[0].Device != "edge-03" {
			t.Errorf("sections %+v", s)
		}
		r.times(3, 1)
	})
}

// A schedule that is moved within its day collects nobody twice and forgets nobody.
func TestScheduleMovedInTheWindow(t *testing.T) {
	for _, start := range []string{"12:30", "11:00", "13:30", "16:00", "10:00"} {
		synctest.Test(t, func(t *testing.T) {
			r := boot(t, noon)
			d := r.desired(1, 20)
			d.Schedules = []wire.Schedule{{Start: "13:00", Window: "2h"}}
			r.apply(d)
			r.sleep(2 * time.Hour)
			if n := len(r.site.log()); n < 5 || n > 15 {
				t.Fatalf("%d devices in half of the window", n)
			}
			d.Version, d.Schedules = 2, []wire.Schedule{{Start: start, Window: "2h"}}
			r.apply(d)
			r.sleep(5 * time.Hour)
			r.times(20, 1)
			ids := map[string]bool{}
			for _, m := range r.up.sections() {
				ids[m.Run] = true
			}
			if s := r.up.sections(); len(ids) != 1 || !s[len(s)-1].Last {
				t.Errorf("%s: %d runs, %+v", start, len(ids), s)
			}
		})
	}
}

// A device that is taken out before its turn is not in the run, one whose visit is
// under way is visited to the end.
func TestDeviceRemovedInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		r.site.latency = 20 * time.Second // 80 s for a device
		d := r.desired(1, 4)
		d.Limits.Concurrency = 1
		d.Schedules = []wire.Schedule{{Start: "11:30", Window: "20m"}} // over: all at once
		d.Done = map[string]map[string]wire.Done{"daily": done(noon.AddDate(0, 0, -1), "edge-01", "edge-02", "edge-03", "edge-04")}
		r.apply(d)
		r.sleep(2 * time.Second)
		first := r.site.dialledDevices()
		if len(first) != 1 {
			t.Fatalf("dialled %v", first)
		}
		d.Version, d.Devices = 2, slices.DeleteFunc(slices.Clone(d.Devices), func(d wire.Device) bool { return d.ID == first[0] || d.ID == "edge-04" })
		r.apply(d)
		r.sleep(time.Hour)
		m := r.up.runs()
		if len(m) != 1 || len(m[0].Devices) != 3 && first[0] != "edge-04" {
			t.Fatalf("runs %+v", m)
		}
		for _, res := range m[0].Devices {
			if !res.OK {
				t.Errorf("%+v", res)
			}
		}
	})
}

// The clock steps over the rest of a window: what is missing is caught up at once.
// It steps back before the window: nobody is collected again.
func TestClockStepsInTheWindow(t *testing.T) {
	for _, step := range []time.Duration{3 * time.Hour, -90 * time.Minute, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := boot(t, noon)
			d := r.desired(1, 20)
			d.Schedules = []wire.Schedule{{Start: "13:00", Window: "1h"}}
			r.apply(d)
			r.sleep(90 * time.Minute)
			if n := len(r.site.log()); n < 5 || n > 15 {
				t.Fatalf("%d devices in half of the window", n)
			}
			r.at(r.c.clock.now().Add(step))
			r.sleep(2*time.Minute + max(-step, 0) + time.Hour)
			r.times(20, 1)
		})
	}
}

// The first time of a boot is far ahead, the true one comes with the next welcome:
// the schedule does not wait until then.
func TestClockWasYearsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon.AddDate(4, 0, 0))
		d := r.desired(1, 5)
		d.Schedules = []wire.Schedule{{Start: "13:00", Window: "1h"}}
		r.apply(d)
		r.sleep(3 * time.Hour)
		r.at(noon)
		r.sleep(3 * time.Hour)
		r.times(5, 2)
		r.sleep(24 * time.Hour)
		r.times(5, 3)
	})
}
