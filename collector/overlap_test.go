package collector

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// itemsOf counts the documents that came of a device, by item.
func (r *recorder) itemsOf(device string) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, h := range r.docs {
		if h.Device == device {
			out[h.Item]++
		}
	}
	return out
}

// overlapping has a schedule for the devices' own profile, and one for a wider one.
func overlapping(r *rig, n int, daily, wide wire.Schedule) wire.Desired {
	d := r.desired(1, n)
	d.Profiles["three"] = []string{"show-version", "show-system-uptime", "show-system-users"}
	daily.Name, wide.Name, wide.Collect = "daily", "wide", "three"
	d.Schedules = []wire.Schedule{daily, wide}
	return d
}

// Where one schedule wants all that another wants, and comes in time, one
// collection stands for both.
func TestWiderScheduleStandsForBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		at := wire.Schedule{Start: "13:00", Window: "1h"}
		r.apply(overlapping(r, 10, at, at))
		r.sleep(3 * time.Hour)
		m := r.up.runs()
		if len(m) != 1 || m[0].Schedule != "wide" || len(m[0].Devices) != 10 {
			t.Fatalf("runs %+v", m)
		}
		r.times(10, 1)
		if got := r.up.itemsOf("edge-01"); len(got) != 3 || got["show-system-users"] != 1 {
			t.Errorf("items %v", got)
		}
	})
}

// The wider collection fails: the other is made after it.
func TestWiderScheduleFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		r.site.behave["edge-01"] = behaviour{dial: func(attempt int) error {
			if attempt == 0 {
				return &dialError{phase: "resolve", kind: "resolve", hop: "edge-01"}
			}
			return nil
		}}
		at := wire.Schedule{Start: "13:00", Window: "1h"}
		r.apply(overlapping(r, 2, at, at))
		r.sleep(3 * time.Hour)
		by := map[string]int{}
		for _, m := range r.up.runs() {
			by[m.Schedule] += len(m.Devices)
		}
		if by["wide"] != 2 || by["daily"] != 1 || len(r.up.itemsOf("edge-01")) != 2 || len(r.up.itemsOf("edge-02")) != 3 {
			t.Errorf("devices %v, %v, %v", by, r.up.itemsOf("edge-01"), r.up.itemsOf("edge-02"))
		}
	})
}

// A wider schedule that comes too late does not hold the other up: both collect,
// one after the other.
func TestWiderScheduleComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		r.apply(overlapping(r, 5, wire.Schedule{Start: "13:00", Window: "1h"}, wire.Schedule{Start: "15:00", Window: "1h"}))
		r.sleep(5 * time.Hour)
		r.times(5, 2)
		if got := r.up.itemsOf("edge-01"); got["show-version"] != 2 || got["show-system-users"] != 1 {
			t.Errorf("items %v", got)
		}
	})
}

// Two schedules want the same of everybody: the first stands for both. One that
// wants something else is not served by either.
func TestEqualAndOtherSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		d := r.desired(1, 5)
		d.Profiles["other"] = []string{"show-system-users"}
		at := wire.Schedule{Start: "13:00", Window: "30m"}
		for _, name := range []string{"one", "same", "else"} {
			s := at
			s.Name = name
			if name == "else" {
				s.Collect = "other"
			}
			d.Schedules = append(d.Schedules, s)
		}
		r.apply(d)
		r.sleep(3 * time.Hour)
		by := map[string]int{}
		for _, m := range r.up.runs() {
			by[m.Schedule] += len(m.Devices)
		}
		if len(by) != 2 || by["one"] != 5 || by["else"] != 5 {
			t.Errorf("devices %v", by)
		}
	})
}

// A device that somebody had collected in the window is not collected again in it;
// nor is one whose collection is under way when its turn comes.
func TestJobAndScheduleOnOneDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		d := r.desired(1, 3)
		d.Schedules = []wire.Schedule{{Start: "12:05", Window: "10m"}}
		r.apply(d)
		r.sleep(5*time.Minute + time.Second)
		r.site.latency = 25 * time.Second
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID(), Devices: []string{"edge-01", "edge-02"}})
		r.sleep(time.Hour)
		if got := r.site.dialled(); got["edge-01"] != 1 || got["edge-02"] != 1 || got["edge-03"] != 1 {
			t.Errorf("dialled %v, %+v", got, r.up.runs())
		}
	})
}

// A schedule collects only devices of its profiles, on its days.
func TestDaysAndProfilesOfASchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon) // a Wednesday
		d := r.desired(1, 4)
		d.Profiles["core"] = []string{"show-version"}
		d.Devices[0].Profile = "core"
		d.Schedules = []wire.Schedule{
			{Name: "core", Start: "13:00", Window: "1h", Profiles: []string{"core"}},
			{Name: "weekly", Days: []string{"fri", "sun"}, Start: "02:00", Window: "1h", Collect: "two"},
		}
		r.apply(d)
		r.sleep(7 * 24 * time.Hour)
		days := map[string][]time.Weekday{}
		for _, m := range r.up.runs() {
			days[m.Schedule] = append(days[m.Schedule], m.Window.Weekday())
			if want := map[string]int{"core": 1, "weekly": 4}[m.Schedule]; len(m.Devices) != want {
				t.Errorf("%s: %d devices, want %d", m.Schedule, len(m.Devices), want)
			}
		}
		if !slices.Equal(days["weekly"], []time.Weekday{time.Friday, time.Sunday}) || len(days["core"]) != 7 {
			t.Errorf("runs on %v", days)
		}
	})
}

// long is a profile of n items.
func long(n int) []string {
	all, _ := junos.Profile("full")
	var out []string
	for _, it := range all[:n] {
		out = append(out, it.Name)
	}
	return out
}

// A run that is not done when the next window begins names the devices that have
// not had their turn, and they are collected in the next one, first of all.
func TestRunLastsPastTheNextWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.DeviceTimeout = 2 * time.Hour })
		r.at(noon)
		r.site.latency = 50 * time.Second
		d := r.desired(1, 120)
		d.Profiles["two"] = long(40)
		d.Limits.Concurrency = 1
		d.Schedules = []wire.Schedule{{Start: "13:00", Window: "1h"}}
		r.apply(d)
		r.sleep(25*time.Hour + time.Minute)
		begun := slices.Compact(slices.Sorted(slices.Values(r.site.dialledDevices())))
		r.sleep(2 * time.Hour)
		runs := r.up.runs()
		if len(runs) != 1 || len(runs[0].Devices) != 120 {
			t.Fatalf("%d runs", len(runs))
		}
		over := map[string]bool{}
		for _, res := range runs[0].Devices {
			if res.Kind == kindOverrun {
				over[res.Device] = true
			} else if !res.OK {
				t.Errorf("%+v", res)
			}
		}
		if len(over) < 10 || len(over)+len(begun) < 120 || len(over)+len(begun) > 122 {
			t.Fatalf("%d devices overrun, %d had begun", len(over), len(begun))
		}
		n := len(r.site.log())
		r.sleep(3 * time.Hour)
		for _, dial := range r.site.log()[n:] {
			if !over[dial.device] {
				t.Errorf("%s was collected before those that were left out", dial.device)
			}
		}
	})
}

// The stalest device goes first.
func TestStalestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		r.site.latency = time.Second
		d := r.desired(1, 6)
		d.Schedules = []wire.Schedule{{Start: "11:00", Window: "30m"}}
		byAge := []string{"edge-04", "edge-02", "edge-06", "edge-01", "edge-05", "edge-03"}
		d.Done = map[string]map[string]wire.Done{"daily": {}, "": {}}
		for i, id := range byAge {
			name := "daily"
			if i == 1 {
				d.Done[name][id] = wire.Done{At: noon.AddDate(0, 0, -30)}
				name = "" // somebody asked for it since
			}
			d.Done[name][id] = wire.Done{At: noon.AddDate(0, 0, i-10), Seconds: 5}
		}
		r.apply(d)
		r.sleep(time.Hour)
		if got := r.site.dialledDevices(); !slices.Equal(got, byAge) {
			t.Errorf("order %v, want %v", got, byAge)
		}
	})
}

// As many sessions as it takes to be done in the window, and no more; limits are
// the ceiling.
func TestSessionsFitTheWindow(t *testing.T) {
	for _, c := range []struct {
		name        string
		items       int     // of 2 s each
		seconds     float64 // that a device took before
		limit       int
		least, most int
		inTime      bool
	}{
		{"light", 2, 8, 32, 1, 3, true},
		{"heavy", 20, 44, 32, 8, 14, true},
		{"ceiling", 20, 44, 5, 5, 5, false},
		{"grown slow", 20, 8, 32, 8, 32, true},
		{"unknown", 2, 0, 32, 1, 13, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := boot(t, noon)
			r.site.latency = 2 * time.Second
			d := r.desired(1, 99)
			d.Profiles["two"] = long(c.items)
			d.Limits.Concurrency = c.limit
			d.Schedules = []wire.Schedule{{Start: "13:00", Window: "10m"}}
			d.Done = map[string]map[string]wire.Done{"daily": {}}
			for _, dev := range d.Devices {
				d.Done["daily"][dev.ID] = wire.Done{At: noon.AddDate(0, 0, -1).Add(time.Hour), Seconds: c.seconds}
			}
			r.apply(d)
			r.sleep(6 * time.Hour)
			m := r.up.runs()
			if len(m) != 1 || len(m[0].Devices) != 99 {
				t.Fatalf("%s: runs %d", c.name, len(m))
			}
			if r.site.peak < c.least || r.site.peak > c.most {
				t.Errorf("%s: at most %d sessions, want %d to %d", c.name, r.site.peak, c.least, c.most)
			}
			if late := m[0].Finished.Sub(m[0].Window.Add(10 * time.Minute)); c.inTime && late > 90*time.Second {
				t.Errorf("%s: done %v after the window", c.name, late)
			}
		})
	}
}

// The next run is told, also when no window is open.
func TestNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := boot(t, noon)
		d := r.desired(1, 3)
		d.Schedules = []wire.Schedule{{Name: "weekly", Days: []string{"sun"}, Start: "02:00"}, {Name: "late", Start: "23:00"}}
		r.apply(d)
		r.sleep(time.Second)
		if got, want := r.c.Status().NextRun, time.Date(2026, 6, 3, 23, 0, 0, 0, time.UTC); !got.Equal(want) {
			t.Errorf("next run at %v, want %v", got, want)
		}
		d.Version, d.Schedules = 2, nil
		r.apply(d)
		r.sleep(time.Second)
		if got := r.c.Status().NextRun; !got.IsZero() {
			t.Errorf("next run at %v without a schedule", got)
		}
	})
}
