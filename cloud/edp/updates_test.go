package edp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/image/release"
	"lwc/transport/wire"
)

func box(t testing.TB, s *edp.Store, collector, boot string, b wire.Box) {
	t.Helper()
	ok(t, s.SawHello(t.Context(), wire.Hello{Collector: collector, Boot: boot, Conn: 1, Box: b}))
}

func publish(t testing.TB, s *edp.Store, version, floor string) {
	t.Helper()
	ok(t, s.PublishRelease(t.Context(), release.Manifest{Version: version, Floor: floor}, "digest "+version, "ada"))
}

// What a box says of itself is kept as it is, and replaced by the next hello.
func TestWhatABoxSays(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	want := wire.Box{Image: "1.0.0", Trial: true, Identity: "tpm", SecureBoot: "on", CommandLine: "as-built", Hardware: "a box"}
	box(t, s, site, "boot-1", want)
	if got := must[edp.Collector](t)(s.Collector(t.Context(), site)).Box; got != want {
		t.Errorf("%+v", got)
	}
	box(t, s, site, "boot-2", wire.Box{})
	if got := must[edp.Collector](t)(s.Collector(t.Context(), site)).Box; got != (wire.Box{}) {
		t.Errorf("%+v", got)
	}
}

// Only an update that a box has begun counts as a failure of its release.
func TestWhatCountsAsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHere(t)
		defer s.Close()
		ctx := t.Context()
		enrol(t, s, site)
		box(t, s, site, "boot-1", wire.Box{Image: "1.0.0"})
		publish(t, s, "1.1.0", "")
		update := func() edp.Job {
			t.Helper()
			return must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate, TTL: time.Hour}))
		}
		state := func() edp.BoxRow {
			t.Helper()
			rows, list, err := s.Boxes(ctx)
			if err != nil || len(rows) != 1 || len(list) != 1 {
				t.Fatalf("%+v, %+v, %v", rows, list, err)
			}
			return rows[0]
		}
		update()
		if b := state(); b.Busy != "1.1.0" || b.Job == nil || len(b.Failures) != 0 {
			t.Errorf("asked for: %+v", b)
		}
		time.Sleep(2 * time.Hour)
		ok(t, s.Sweep(ctx))
		if b := state(); b.Busy != "" || len(b.Failures) != 0 || b.Job.State != wire.JobFailed {
			t.Errorf("nobody took it: %+v", b)
		}
		for i, text := range []string{"the line is down", "the updater says: rolled back to 1.0.0: no port"} {
			time.Sleep(time.Minute)
			j := update()
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobRunning}))
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobFailed, Error: text}))
			if b := state(); len(b.Failures) != i+1 || b.Failures[i].RolledBack != (i == 1) || b.Failures[i].Version != "1.1.0" || b.Failures[i].At.IsZero() {
				t.Errorf("%s: %+v", text, b.Failures)
			}
		}
		j := update()
		ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobRunning}))
		ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobFailed,
			Error: "the window closed while the release was loading: it goes on in the next one"}))
		if b := state(); len(b.Failures) != 2 {
			t.Errorf("a window that closed counts: %+v", b.Failures)
		}
		time.Sleep(91 * 24 * time.Hour)
		if b := state(); len(b.Failures) != 0 {
			t.Errorf("after three months: %+v", b.Failures)
		}
	})
}

// A collector that has enrolled and never connected may well be an appliance.
func TestWhatRunsIsNotKnownBeforeTheFirstHello(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	unseen := func() bool {
		t.Helper()
		rows, _, err := s.Boxes(t.Context())
		if err != nil || len(rows) != 1 {
			t.Fatalf("%+v, %v", rows, err)
		}
		return rows[0].Unseen
	}
	if !unseen() {
		t.Error("before it has connected")
	}
	box(t, s, site, "boot-1", wire.Box{})
	if unseen() {
		t.Error("after it has connected")
	}
}

// openHere opens a store that a bubble can wait for.
func openHere(t testing.TB) *edp.Store {
	t.Helper()
	s, err := edp.Open(t.Context(), t.TempDir()+"/edp.db")
	ok(t, err)
	return s
}

func TestWithdrawnReleases(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	box(t, s, site, "boot-1", wire.Box{Image: "1.0.0"})
	publish(t, s, "1.1.0", "")
	publish(t, s, "1.2.0", "")
	j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate}))
	if j.Release != "1.2.0" {
		t.Fatalf("%+v", j)
	}
	enrol(t, s, other)
	box(t, s, other, "boot-9", wire.Box{Image: "1.0.0"})
	begun := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: other, Kind: wire.JobUpdate}))
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: begun.ID, Collector: other, State: wire.JobRunning}))
	enrol(t, s, "site-own-system")
	elsewhere := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: "site-own-system", Kind: wire.JobUpdate, Release: "1.2.0", Source: "https://192.0.2.1/x"}))
	enrol(t, s, "site-sent")
	box(t, s, "site-sent", "boot-7", wire.Box{Image: "1.0.0"})
	sent := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: "site-sent", Kind: wire.JobUpdate, Release: "1.2.0"}))
	ok(t, second(s.SendingJob(ctx, sent.ID)))
	ok(t, s.WithdrawRelease(ctx, "1.2.0", "ada", "bad"))
	if sent = must[edp.Job](t)(s.Job(ctx, sent.ID)); sent.State != edp.JobCalledOff || !strings.Contains(sent.Error, "may have it") {
		t.Errorf("one that was sent: %+v", sent)
	}
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: sent.ID, Collector: "site-sent", State: wire.JobRunning}))
	if sent = must[edp.Job](t)(s.Job(ctx, sent.ID)); sent.State != wire.JobRunning {
		t.Errorf("one that a box had after all: %+v", sent)
	}
	if elsewhere = must[edp.Job](t)(s.Job(ctx, elsewhere.ID)); elsewhere.State != edp.JobQueued {
		t.Errorf("one of another source: %+v", elsewhere)
	}
	if begun = must[edp.Job](t)(s.Job(ctx, begun.ID)); begun.State != wire.JobRunning {
		t.Errorf("one that a box has begun: %+v", begun) // the box tells how that ends
	}
	if j = must[edp.Job](t)(s.Job(ctx, j.ID)); j.State != edp.JobCalledOff || j.Error != "the release was withdrawn" {
		t.Errorf("%+v", j)
	}
	if _, err := s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate, Release: "1.2.0"}); !errors.Is(err, edp.ErrConflict) {
		t.Errorf("a withdrawn one: %v", err)
	}
	if j = must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate})); j.Release != "1.1.0" {
		t.Errorf("%+v", j)
	}
	err := s.PublishRelease(ctx, release.Manifest{Version: "1.2.0"}, "another digest", "ada")
	if !errors.Is(err, edp.ErrConflict) {
		t.Errorf("another release of that version: %v", err)
	}
}

// A box that said that it forgets all, and is gone, has done so; one that is there, or
// never said it, has not.
func TestFactoryResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHere(t)
		defer s.Close()
		ctx := t.Context()
		enrol(t, s, site, other)
		box(t, s, site, "boot-1", wire.Box{})
		box(t, s, other, "boot-9", wire.Box{})
		reset := func(id string, state wire.JobState) edp.Job {
			t.Helper()
			j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: id, Kind: wire.JobFactoryReset}))
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: id, State: state}))
			return j
		}
		gone, heard := reset(site, wire.JobRunning), reset(other, wire.JobAccepted)
		ok(t, s.SawBye(ctx, site, "boot-1", true))
		ok(t, s.SawBye(ctx, other, "boot-9", true))
		state := func(j edp.Job) wire.JobState { return must[edp.Job](t)(s.Job(ctx, j.ID)).State }
		time.Sleep(4 * time.Minute)
		ok(t, s.Sweep(ctx))
		if got := state(gone); got != wire.JobRunning {
			t.Errorf("after four minutes it is %s", got)
		}
		time.Sleep(2 * time.Minute)
		ok(t, s.AllOffline(ctx)) // the cloud was down
		ok(t, s.Sweep(ctx))
		if got := state(gone); got != wire.JobRunning {
			t.Errorf("when nobody has listened for five minutes it is %s", got)
		}
		time.Sleep(6 * time.Minute)
		ok(t, s.Sweep(ctx))
		if got := state(gone); got != wire.JobDone {
			t.Errorf("after six minutes it is %s", got)
		}
		says(t, s, site, edp.EventFactoryReset, "asked for (job "+gone.ID+") is done: the box said that it forgets all, and is gone")
		if got := state(heard); got != wire.JobAccepted {
			t.Errorf("one that did not begin is %s", got)
		}
	})
}

// A box that enrols under the id of one that was told to forget all is not told so again.
func TestAFactoryResetIsOfOneBox(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, other)
	theirs := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: other, Kind: wire.JobFactoryReset}))
	for state, want := range map[wire.JobState]wire.JobState{edp.JobQueued: wire.JobFailed, wire.JobAccepted: wire.JobFailed, wire.JobRunning: wire.JobDone} {
		id := "site-" + string(state)
		enrol(t, s, id)
		box(t, s, id, "boot of "+id, wire.Box{})
		reset := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: id, Kind: wire.JobFactoryReset}))
		if state != edp.JobQueued {
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: reset.ID, Collector: id, State: state}))
		}
		for _, c := range []struct {
			key  string
			want wire.JobState
		}{{"key of " + id, state}, {"key of a new box", want}} {
			_, err := admit(t, s, newToken(t, s, edp.EnrolTokenSpec{Collector: id}), id, c.key)
			ok(t, err)
			if j := must[edp.Job](t)(s.Job(ctx, reset.ID)); j.State != c.want || (j.Error != "") != (c.want == wire.JobFailed) {
				t.Errorf("%s, enrolled with the %s: %s %q", state, c.key, j.State, j.Error)
			}
			if c.want != state {
				says(t, s, id, edp.EventFactoryReset, reset.ID+") is "+string(c.want)+": ")
			}
		}
		if open := must[[]edp.Job](t)(s.OpenJobs(ctx, id)); len(open) != 0 {
			t.Errorf("%s: the new box is told %+v", state, open)
		}
		if j := must[edp.Job](t)(s.Job(ctx, theirs.ID)); j.State != edp.JobQueued {
			t.Errorf("that of another collector is %s", j.State)
		}
	}
}

// An update that waits for its time is not given up before.
func TestAnUpdateWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHere(t)
		defer s.Close()
		ctx := t.Context()
		enrol(t, s, site)
		box(t, s, site, "boot-1", wire.Box{Image: "1.0.0"})
		publish(t, s, "1.1.0", "")
		j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobUpdate, TTL: time.Hour, RebootAt: time.Now().Add(5 * 24 * time.Hour)}))
		ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobRunning, Detail: "installed"}))
		for _, c := range []struct {
			after time.Duration
			want  wire.JobState
		}{{5*24*time.Hour + 23*time.Hour, wire.JobRunning}, {2 * time.Hour, wire.JobFailed}} {
			time.Sleep(c.after)
			ok(t, s.Sweep(ctx))
			if got := must[edp.Job](t)(s.Job(ctx, j.ID)).State; got != c.want {
				t.Errorf("%v later it is %s", c.after, got)
			}
		}
	})
}

// A release that was withdrawn while boxes loaded it has not failed on them, once it is
// published again; where it was rolled back it has.
func TestFailuresBeforeAReleaseCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHere(t)
		defer s.Close()
		ctx := t.Context()
		enrol(t, s, site, other)
		publish(t, s, "1.1.0", "")
		fail := func(id, text string) {
			t.Helper()
			j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: id, Kind: wire.JobUpdate}))
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: id, State: wire.JobFailed, Error: text}))
			time.Sleep(time.Minute)
		}
		failures := func() (out [2]int) { // of site, and of the other
			t.Helper()
			rows, _, err := s.Boxes(ctx)
			ok(t, err)
			for _, r := range rows {
				out[slices.Index([]string{site, other}, r.Collector)] = len(r.Failures)
			}
			return out
		}
		for i, id := range []string{site, other} {
			box(t, s, id, "boot-"+id, wire.Box{Image: "1.0.0"})
			fail(id, []string{"this release was withdrawn", "the updater says: rolled back to 1.0.0: no port"}[i])
		}
		if got := failures(); got != [2]int{1, 1} {
			t.Errorf("at first: %v", got)
		}
		ok(t, s.WithdrawRelease(ctx, "1.1.0", "ada", "by mistake"))
		publish(t, s, "1.1.0", "")
		if got := failures(); got != [2]int{0, 1} {
			t.Errorf("published again: %v", got)
		}
		fail(site, "no room")
		if got := failures(); got != [2]int{1, 1} {
			t.Errorf("and failed again: %v", got)
		}
	})
}

// A box that is there for an hour has found its release good, whether or not the cloud
// was told; one that went away has not.
func TestATrialEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openHere(t)
		defer s.Close()
		ctx := t.Context()
		enrol(t, s, site)
		trial := func() bool {
			t.Helper()
			rows, _, err := s.Boxes(ctx)
			ok(t, err)
			if rows[0].Trial != rows[0].Hello.Trial {
				t.Errorf("%+v", rows[0])
			}
			return rows[0].Trial
		}
		box(t, s, site, "boot-1", wire.Box{Image: "1.1.0", Trial: true})
		time.Sleep(50 * time.Minute)
		if !trial() {
			t.Error("it ended early")
		}
		ok(t, s.SawBye(ctx, site, "boot-1", false))
		time.Sleep(time.Hour)
		if !trial() {
			t.Error("it ended without the box")
		}
		box(t, s, site, "boot-2", wire.Box{Image: "1.1.0", Trial: true})
		if !trial() {
			t.Error("a new start is no trial")
		}
		time.Sleep(61 * time.Minute)
		if trial() {
			t.Error("it goes on for ever")
		}
	})
}
