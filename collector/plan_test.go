package collector

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// Simulated time begins on 1 January 2000, 00:00 UTC.
func TestScheduleSpreadsOverTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 30)
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "1h", Timezone: "Europe/Berlin"}}
		begin := time.Now().Add(time.Hour) // 02:00 in Berlin is 01:00 UTC
		r.apply(d)
		r.sleep(3 * time.Hour)
		if len(r.up.runs()) != 1 || len(r.up.runs()[0].Devices) != 30 || r.up.runs()[0].Job != "" {
			t.Fatalf("manifests %+v", r.up.runs())
		}
		for _, dial := range r.site.log() {
			want := begin.Add(offset(testCollector, dial.device, time.Hour))
			if late := dial.at.Sub(want); late < 0 || late > time.Second {
				t.Errorf("%s started %v after its time", dial.device, late)
			}
		}
		first := slices.Clone(r.site.log())
		r.sleep(24 * time.Hour)
		if len(r.up.runs()) != 2 || len(r.site.log()) != 60 {
			t.Fatalf("the next day: %d manifests", len(r.up.runs()))
		}
		for i, dial := range r.site.log()[30:] {
			if dial.device != first[i].device {
				t.Errorf("another order on the next day")
			}
		}
	})
}

func TestRestartInTheWindowSkipsWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		now := time.Now().Add(150 * time.Minute) // 02:30
		r.c.Welcomed(wire.Welcome{Time: now})
		d := r.desired(1, 3)
		d.Done = map[string]map[string]wire.Done{"daily": {
			"edge-01": {At: now.Add(-20 * time.Minute)}, // in this window
			"edge-02": {At: now.Add(-25 * time.Hour)},   // in yesterday's
		}}
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "1h"}}
		r.apply(d)
		r.sleep(2 * time.Hour)
		got := r.site.dialledDevices()
		slices.Sort(got)
		if !slices.Equal(got, []string{"edge-02", "edge-03"}) {
			t.Errorf("collected %v", got)
		}
	})
}

// The collector was off during the window. Devices that it collected before are
// caught up once; a device that is new waits for its window.
func TestMissedWindowIsCaughtUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		now := time.Now().Add(10 * time.Hour)
		r.site.behave["edge-01"] = behaviour{dial: func(int) error { return &dialError{phase: "connect", kind: "connect", hop: "edge-01"} }}
		r.c.Welcomed(wire.Welcome{Time: now})
		d := r.desired(1, 3)
		d.Done = map[string]map[string]wire.Done{"daily": {
			"edge-01": {At: now.Add(-32 * time.Hour)}, "edge-02": {At: now.Add(-32 * time.Hour)}}}
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "1h"}}
		r.apply(d)
		r.sleep(time.Minute)
		r.c.Welcomed(wire.Welcome{Time: now.Add(time.Minute)})
		d.Version = 2
		r.apply(d) // neither a reconnect nor a new configuration repeats it
		r.sleep(10 * time.Hour)
		got := r.site.dialledDevices()
		slices.Sort(got)
		if !slices.Equal(got, []string{"edge-01", "edge-02"}) {
			t.Errorf("collected %v", got)
		}
		r.sleep(8 * time.Hour)
		if n := len(r.site.log()); n != 5 {
			t.Errorf("%d dials after the next window", n)
		}
	})
}

func TestScheduleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 20)
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "2h"}}
		r.apply(d)
		r.sleep(3 * time.Hour) // half of the window is over
		half := len(r.site.log())
		if half < 5 || half > 15 {
			t.Fatalf("%d devices in half of the window", half)
		}
		d.Version, d.Schedules = 2, nil
		r.apply(d)
		synctest.Wait()
		if len(r.up.runs()) != 1 || len(r.up.runs()[0].Devices) != half {
			t.Errorf("the run of the window that was taken away: %+v", r.up.runs())
		}
		r.sleep(48 * time.Hour)
		if n := len(r.site.log()); n != half {
			t.Errorf("%d dials without a schedule", n-half)
		}
	})
}

// A device that is added during the window is collected in it.
func TestDeviceAddedInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 2)
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "1h"}}
		r.apply(d)
		r.sleep(150 * time.Minute)
		d = r.desired(2, 3)
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "1h"}}
		r.apply(d)
		r.sleep(time.Hour)
		got := r.site.dialledDevices()
		slices.Sort(got)
		if !slices.Equal(got, []string{"edge-01", "edge-02", "edge-03"}) {
			t.Errorf("collected %v", got)
		}
	})
}

func TestClockStepIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.c.Welcomed(wire.Welcome{Time: time.Now().Add(time.Second)})
		synctest.Wait()
		if kinds := r.up.eventKinds(); len(kinds) != 0 {
			t.Errorf("events %v", kinds)
		}
		r.c.Welcomed(wire.Welcome{Time: time.Now().Add(90 * time.Minute)})
		synctest.Wait()
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventClockStep}) || !strings.Contains(r.up.events[0].Text, "1h30m") {
			t.Errorf("events %+v", r.up.events)
		}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if d := time.Until(m.Started); d < 89*time.Minute {
			t.Errorf("the run began %v from now: not the cloud's time", d)
		}
	})
}

// The cloud confirms yesterday's documents in the middle of today's window: that
// is not a collection of today.
func TestLateReceiptsDoNotCountForTheNextWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.hold = true
		d := r.desired(1, 20)
		d.Schedules = []wire.Schedule{wire.Schedule{Start: "02:00", Window: "2h"}}
		r.apply(d)
		r.sleep(26*time.Hour + 30*time.Minute)
		r.up.release()
		r.sleep(3 * time.Hour)
		if n := len(r.site.log()); n != 40 {
			t.Errorf("%d collections of 20 devices in two windows", n)
		}
	})
}
