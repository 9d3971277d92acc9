package collector

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// many is a profile of small items.
func many() []string {
	return []string{"show-version", "show-system-uptime", "show-system-commit", "show-system-core-dumps", "show-system-storage",
		"show-system-alarms", "show-chassis-alarms", "show-chassis-cluster-status", "show-virtual-chassis", "show-vrrp-detail"}
}

// Each whole session lets the next one go deeper, up to a bound; a new release
// begins again.
func TestPipelineGrowsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := "22.4R3"
		r.site.behave["edge-01"] = behaviour{reply: func(string, int) (string, bool) { return versionReply(release), false }}
		d := r.desired(1, 1)
		d.Profiles["two"] = many()
		r.apply(d)
		var depths []int
		for i := range 7 {
			if i == 5 {
				release = "23.4R2"
			}
			_, m := r.collect()
			if d := result(t, m, "edge-01"); !d.OK || d.Documents != len(many()) {
				t.Fatalf("%+v", d)
			}
			depths = append(depths, r.site.deepest("edge-01"))
		}
		if !slices.Equal(depths, []int{1, 2, 4, 8, 8, 1, 1}) {
			t.Errorf("depths %v", depths)
		}
	})
}

// A configured depth is kept, and 1 means never.
func TestPipelineAsConfigured(t *testing.T) {
	for _, depth := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			d := r.desired(1, 1)
			d.Profiles["two"], d.Devices[0].Pipeline = many(), depth
			r.apply(d)
			for range 3 {
				r.collect()
				if got := r.site.deepest("edge-01"); got != depth {
					t.Errorf("%d requests at once, want %d", got, depth)
				}
			}
		})
	}
}

// A device that does not bear several requests is asked one at a time, at once
// and in the same visit; nothing is lost, and it is not tried again.
func TestPipelineFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{single: true}
		d := r.desired(1, 1)
		d.Profiles["two"] = many()
		r.apply(d)
		var dials []int
		for range 4 {
			before, began := len(r.site.log()), time.Now()
			_, m := r.collect()
			dials = append(dials, len(r.site.log())-before)
			if d := result(t, m, "edge-01"); !d.OK || d.Documents != len(many()) || d.Seconds > 3 {
				t.Errorf("%+v after %v", d, time.Since(began))
			}
			for _, e := range m.Documents {
				if e.Status != wire.EntryStored || e.Outcome != "ok" {
					t.Errorf("%+v", e)
				}
			}
		}
		if !slices.Equal(dials, []int{1, 2, 1, 1}) {
			t.Errorf("dials %v", dials)
		}
		if c := r.c.Status().Counters; c["pipeline_fallbacks"] != 1 || c["reconnects"] != 0 {
			t.Errorf("counters %v", c)
		}
	})
}
