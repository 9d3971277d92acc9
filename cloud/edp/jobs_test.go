package edp_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func TestCreateJob(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site, other)
	f := smallFleet(site, "edge-1", "edge-2")
	f.Devices[1].Profile = "minimal"
	must[[]edp.Change](t)(s.PutFleet(ctx, f))
	revoked := "site-c-003"
	enrol(t, s, revoked)
	ok(t, s.Revoke(ctx, revoked, "ada"))
	for name, c := range map[string]struct {
		job      edp.NewJob
		expected int
		err      error
	}{
		"all":                 {edp.NewJob{Collector: site, Kind: wire.JobCollect}, 2 + 9, nil},
		"one, named twice":    {edp.NewJob{Collector: site, Kind: wire.JobCollect, Devices: []string{"edge-1", "edge-1"}}, 2, nil},
		"a probe":             {edp.NewJob{Collector: site, Kind: wire.JobProbe}, 0, nil},
		"a probe of nothing":  {edp.NewJob{Collector: other, Kind: wire.JobProbe}, 0, edp.ErrConflict},
		"an unknown device":   {edp.NewJob{Collector: site, Kind: wire.JobCollect, Devices: []string{"nope"}}, 0, edp.ErrNotFound},
		"no devices":          {edp.NewJob{Collector: other, Kind: wire.JobCollect}, 0, edp.ErrConflict},
		"a revoked collector": {edp.NewJob{Collector: revoked, Kind: wire.JobProbe}, 0, edp.ErrConflict},
		"nobody":              {edp.NewJob{Collector: "nobody-here", Kind: wire.JobProbe}, 0, edp.ErrNotFound},
		"an unknown kind":     {edp.NewJob{Collector: site, Kind: "shell"}, 0, edp.ErrInvalid},
	} {
		j, err := s.CreateJob(ctx, c.job)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if c.expected > 0 && (j.Total == 0 || run(t, s, j.Run).Expected != c.expected || run(t, s, j.Run).State != edp.RunRunning) {
			t.Errorf("%s: %+v, run %+v, want %d expected", name, j, run(t, s, j.Run), c.expected)
		}
	}
	if runs := must[[]edp.Run](t)(s.Runs(ctx, edp.RunFilter{})); len(runs) != 2 {
		t.Errorf("a refused job left a run: %+v", runs)
	}
}

func TestJobStatus(t *testing.T) {
	s, job := collecting(t, "edge-1")
	ctx := t.Context()
	status := func(st wire.JobState) error {
		return s.SawJobStatus(ctx, wire.JobStatus{ID: job.ID, Collector: site, State: st, Done: 1, Total: 1, Error: "why"})
	}
	ok(t, status(wire.JobRunning))
	if open := must[[]edp.Job](t)(s.OpenJobs(ctx, site)); len(open) != 1 || open[0].State != wire.JobRunning {
		t.Fatalf("%+v", open)
	}
	ok(t, status(wire.JobFailed))
	ok(t, status(wire.JobRunning)) // too late
	if j := must[edp.Job](t)(s.Job(ctx, job.ID)); j.State != wire.JobFailed || j.Error != "why" || j.Finished.IsZero() {
		t.Fatalf("%+v", j)
	}
	if r := run(t, s, job.Run); r.State != edp.RunFailed {
		t.Fatalf("%+v", r)
	}
	if open := must[[]edp.Job](t)(s.OpenJobs(ctx, site)); len(open) != 0 {
		t.Fatalf("%+v", open)
	}
	err := s.SawJobStatus(ctx, wire.JobStatus{ID: job.ID, Collector: other, State: wire.JobDone})
	if !errors.Is(err, edp.ErrNotFound) {
		t.Fatalf("a job of another collector: %v", err)
	}
}

// The collector said done and died before its manifest: the job goes to its next
// boot.
func TestADoneJobIsOpenUntilItsRunIsComplete(t *testing.T) {
	s, job := collecting(t, "edge-1")
	ctx := t.Context()
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: job.ID, Collector: site, State: wire.JobDone, Done: 1, Total: 1,
		Device: &wire.DeviceResult{Device: "edge-1", Phase: "connect", Error: "no answer"}}))
	if open := must[[]edp.Job](t)(s.OpenJobs(ctx, site)); len(open) != 1 {
		t.Fatalf("%+v", open)
	}
	if d := must[[]edp.DeviceRow](t)(s.Devices(ctx, site))[0]; d.State != edp.DeviceFailed || d.LastRun != job.Run {
		t.Errorf("%+v", d)
	}
	must[[]string](t)(s.PutManifest(ctx, manifest(job.Run, []wire.DeviceResult{bad("edge-1", "no answer")}), edp.SignedManifest{Hash: "h"}))
	if open := must[[]edp.Job](t)(s.OpenJobs(ctx, site)); len(open) != 0 {
		t.Fatalf("%+v", open)
	}
}

func TestRemainingDevices(t *testing.T) {
	s, job := collecting(t, "edge-1", "edge-2", "edge-3")
	left := func(want ...string) {
		t.Helper()
		if got := must[[]string](t)(s.RemainingDevices(t.Context(), job.Run)); !slices.Equal(got, want) {
			t.Fatalf("remaining %v, want %v", got, want)
		}
	}
	left("edge-1", "edge-2", "edge-3")
	put(t, s, doc(site, job.Run, "edge-1", "show-version"), doc(site, job.Run, "edge-2", "show-version"))
	left("edge-1", "edge-2", "edge-3")
	put(t, s, doc(site, job.Run, "edge-1", "show-system-uptime"))
	left("edge-1", "edge-2", "edge-3") // no manifest tells of what is stored
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, []wire.DeviceResult{good("edge-1")}), edp.SignedManifest{Hash: "h1"}))
	left("edge-2", "edge-3")
	ok(t, s.DeleteDevice(t.Context(), site, "edge-3"))
	left("edge-2")
	put(t, s, doc(site, job.Run, "edge-2", "show-system-uptime"))
	left("edge-2")
	if r := run(t, s, job.Run); r.Stored != 4 || r.Failed != 2 || r.State != edp.RunRunning {
		t.Fatalf("%+v", r) // it waits for its manifest
	}
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, []wire.DeviceResult{good("edge-2")}), edp.SignedManifest{Hash: "h2"}))
	left()
	if r := run(t, s, job.Run); r.State != edp.RunComplete {
		t.Fatalf("%+v", r)
	}
	if _, err := s.RemainingDevices(t.Context(), wire.NewID()); !errors.Is(err, edp.ErrNotFound) {
		t.Fatal(err)
	}
}

func TestANewBootEndsWhatTheOldOneLeft(t *testing.T) {
	s, whole := collecting(t, "edge-1")
	ctx := t.Context()
	hello := func(boot string) {
		t.Helper()
		ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: boot, Conn: 1}))
	}
	hello("boot-1")
	part := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobCollect}))
	scheduled := wire.NewID()
	put(t, s, doc(site, whole.Run, "edge-1", "show-version"), doc(site, whole.Run, "edge-1", "show-system-uptime"),
		doc(site, part.Run, "edge-1", "show-version"), doc(site, scheduled, "edge-1", "show-version"))
	states := func() [3]edp.RunState {
		return [3]edp.RunState{run(t, s, whole.Run).State, run(t, s, part.Run).State, run(t, s, scheduled).State}
	}
	hello("boot-1")
	if got := states(); got != [3]edp.RunState{edp.RunRunning, edp.RunRunning, edp.RunRunning} {
		t.Fatalf("a reconnect: %v", got)
	}
	hello("boot-2")
	if got := states(); got != [3]edp.RunState{edp.RunRunning, edp.RunRunning, edp.RunRunning} {
		t.Fatalf("a restart: %v", got)
	}
	runs := must[[]wire.OpenRun](t)(s.OpenRuns(ctx, site, "boot-2"))
	if len(runs) != 1 || runs[0].Run != scheduled {
		t.Fatalf("open runs: %+v", runs)
	}
	if open := must[[]edp.Job](t)(s.OpenJobs(ctx, site)); len(open) != 2 { // no manifest tells of what the first one stored
		t.Fatalf("%+v", open)
	}
}

func TestSweep(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site)
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	late := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobCollect, TTL: time.Microsecond}))
	inTime := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobCollect}))
	ok(t, s.Sweep(ctx))
	if j := must[edp.Job](t)(s.Job(ctx, late.ID)); j.State != wire.JobFailed || run(t, s, late.Run).State != edp.RunInterrupted {
		t.Errorf("%+v, %+v", j, run(t, s, late.Run))
	}
	if j := must[edp.Job](t)(s.Job(ctx, inTime.ID)); j.State != edp.JobQueued || run(t, s, inTime.Run).State != edp.RunRunning {
		t.Errorf("%+v", j)
	}
}

// Whoever waits for the run of a collector that was revoked is told.
func TestRevocationEndsJobs(t *testing.T) {
	s, j := collecting(t, "edge-1")
	ok(t, s.SawJobStatus(t.Context(), wire.JobStatus{V: wire.Version, ID: j.ID, Collector: site, State: wire.JobRunning, Total: 1}))
	ok(t, s.Revoke(t.Context(), site, "ada"))
	got := must[edp.Job](t)(s.Job(t.Context(), j.ID))
	if got.State != wire.JobFailed || got.Error != "the collector was revoked" {
		t.Errorf("the job is %s: %q", got.State, got.Error)
	}
	if r := run(t, s, j.Run); r.State != edp.RunInterrupted || r.Finished.IsZero() {
		t.Errorf("the run is %s", r.State)
	}
	if open := must[[]edp.Job](t)(s.OpenJobs(t.Context(), site)); len(open) > 0 {
		t.Errorf("%d jobs are open", len(open))
	}
}

// A box that died after it had taken a job does not leave the job's run open for
// ever.
func TestTakenJobsEndToo(t *testing.T) {
	s, j := collecting(t, "edge-1")
	ctx := t.Context()
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{V: wire.Version, ID: j.ID, Collector: site, Boot: "boot-1", State: wire.JobRunning, Total: 1}))
	ok(t, s.ExpireJobsAt(ctx, j.Expires.Add(23*time.Hour)))
	if r := run(t, s, j.Run); r.State != edp.RunRunning {
		t.Errorf("within a day of the expiry the run is %s", r.State)
	}
	ok(t, s.ExpireJobsAt(ctx, j.Expires.Add(25*time.Hour)))
	if r := run(t, s, j.Run); r.State != edp.RunInterrupted || r.Finished.IsZero() {
		t.Errorf("a day after the expiry the run is %s", r.State)
	}
	if j := must[edp.Job](t)(s.Job(ctx, j.ID)); j.State != wire.JobFailed || j.Error == "" {
		t.Errorf("the job is %s: %q", j.State, j.Error)
	}
}
