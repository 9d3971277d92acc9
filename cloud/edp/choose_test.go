package edp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// Without a version, an update by hand takes the newest release that is fit, and says
// which newer ones it passed over; by its name it takes one that is held back, too.
func TestWhatAnUpdateByHandPassesOver(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	box(t, s, site, "boot-1", wire.Box{Image: "1.0.0"})
	update := func(version string) (edp.Job, error) {
		return s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate, Release: version})
	}
	for _, v := range []string{"1.2.0", "1.3.0"} {
		publish(t, s, v, "")
	}
	publish(t, s, "2.0.0", "1.1.0")
	ok(t, s.WithdrawRelease(ctx, "1.3.0", "ada", "bad"))
	for i := range 3 {
		id := fmt.Sprintf("site-bad-%02d", i)
		enrol(t, s, id)
		box(t, s, id, "boot of "+id, wire.Box{Image: "1.0.0"})
		j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: id, Kind: wire.JobUpdate, Release: "1.2.0"}))
		ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: id, State: wire.JobFailed, Error: "rolled back to 1.0.0: no port"}))
	}
	_, err := update("")
	for _, want := range []string{"the box runs 1.0.0", "2.0.0 needs 1.1.0 at least", "1.3.0 is withdrawn", "1.2.0 is held back, it failed on 3 boxes"} {
		if !errors.Is(err, edp.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	publish(t, s, "1.1.0", "")
	j := must[edp.Job](t)(update(""))
	if want := "1.1.0 was chosen: 2.0.0 needs 1.1.0 at least; 1.3.0 is withdrawn; 1.2.0 is held back"; j.Release != "1.1.0" || !strings.HasPrefix(j.Detail, want) {
		t.Errorf("%s: %s", j.Release, j.Detail)
	}
	if kept := must[edp.Job](t)(s.Job(ctx, j.ID)); kept.Detail != j.Detail {
		t.Errorf("kept: %q", kept.Detail)
	}
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobRefused, Error: "busy"}))
	if j = must[edp.Job](t)(update("1.2.0")); j.Release != "1.2.0" || j.Detail != "" {
		t.Errorf("by its name: %+v", j)
	}
}

// An approval is taken back under the name that it was given under, and whoever names
// another is told so.
func TestTakingAnApprovalBack(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site, other)
	publish(t, s, "1.1.0", "")
	decide := func(approve bool, who ...string) error { return s.ApproveRelease(ctx, "1.1.0", who, approve, "ada") }
	refused := func(want string, who ...string) {
		t.Helper()
		if err := decide(false, who...); !errors.Is(err, edp.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", who, err, want)
		}
	}
	if err := decide(true, site, ""); !errors.Is(err, edp.ErrInvalid) {
		t.Errorf("a collector without a name: %v", err)
	}
	refused("it is not approved for all boxes")
	refused("it is not approved for "+site, site)
	ok(t, decide(true, site))
	refused("approved for some boxes, not for all")
	ok(t, decide(true))
	ok(t, decide(true)) // once more is no event
	refused("approved for all boxes, not for "+other+" by itself", other)
	ok(t, decide(false))
	ok(t, decide(false, site))
	refused("it is not approved for "+site, site)
	var told []string
	for _, e := range must[[]wire.Event](t)(s.Events(ctx, "", 0)) {
		told = append(told, e.Collector+": "+e.Text)
	}
	want := []string{
		site + ": the approval of release 1.1.0 for " + site + " was taken back by ada",
		": the approval of release 1.1.0 for all boxes was taken back by ada",
		": release 1.1.0 was approved for all boxes by ada",
		site + ": release 1.1.0 was approved for " + site + " by ada",
		": release 1.1.0 was published by ada",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told: %q", told)
	}
}

// A reason stands on one line, so that nobody writes events of somebody else's, and says
// something.
func TestReasons(t *testing.T) {
	s := open(t)
	publish(t, s, "1.1.0", "")
	for _, blank := range []string{"", "  ", "\n\x1b"} {
		if err := s.WithdrawRelease(t.Context(), "1.1.0", "ada", blank); !errors.Is(err, edp.ErrInvalid) {
			t.Errorf("withdrawn for %q: %v", blank, err)
		}
		if err := s.ResumeRelease(t.Context(), "1.1.0", "ada", blank, ""); !errors.Is(err, edp.ErrInvalid) {
			t.Errorf("resumed for %q: %v", blank, err)
		}
	}
	ok(t, s.WithdrawRelease(t.Context(), "1.1.0", "ada", "bad\n2026-01-01 another event\x1b[31m"))
	if r := must[edp.Release](t)(s.Release(t.Context(), "1.1.0")); r.Reason != "bad 2026-01-01 another event [31m" {
		t.Errorf("%q", r.Reason)
	}
}
