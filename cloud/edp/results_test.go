package edp_test

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// A run whose rest was skipped is complete; what a device does not know is told
// from what was left out for now.
func TestSkippedItemsAreAccountedFor(t *testing.T) {
	s, job := collecting(t, "edge-1", "edge-2")
	first := doc(site, job.Run, "edge-1", "show-version")
	unknown := doc(site, job.Run, "edge-1", "show-system-uptime")
	unknown.Outcome = "unsupported"
	put(t, s, first, unknown)
	second := must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobCollect}))
	d := doc(site, second.Run, "edge-1", "show-version")
	put(t, s, d)
	m := manifest(second.Run, []wire.DeviceResult{good("edge-1"), good("edge-2")}, storedEntry(d),
		entry("edge-1", "show-system-uptime", wire.EntrySkipped, "not asked: the device does not know it"),
		entry("edge-2", "show-version", wire.EntrySkipped, "not asked: busy"),
		entry("edge-2", "show-system-uptime", wire.EntryFailed, "time-out"))
	if missing := must[[]string](t)(s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: strings.Repeat("a", 64), Plain: []byte("m")})); len(missing) != 0 {
		t.Fatalf("missing %v", missing)
	}
	r := run(t, s, second.Run)
	if r.State != edp.RunComplete || r.Expected != 4 || r.Stored != 1 || r.Failed != 1 || r.Skipped != 2 {
		t.Errorf("run %+v", r)
	}
	got := map[string]string{}
	for _, l := range r.Left {
		got[l.Reason] = string(l.Status) + "/" + l.Outcome + "/" + strings.Join(l.Devices, ",")
	}
	want := map[string]string{"not asked: the device does not know it": "skipped/unsupported/edge-1",
		"not asked: busy": "skipped//edge-2", "time-out": "failed//edge-2"}
	if !maps.Equal(got, want) {
		t.Errorf("left %v", got)
	}
	// A document that comes after all takes the place of the skipped item.
	put(t, s, doc(site, second.Run, "edge-2", "show-version"))
	if r = run(t, s, second.Run); r.Stored != 2 || r.Skipped != 1 || len(r.Left) != 2 {
		t.Errorf("after a late document: %+v", r)
	}
}

// Many devices with one reason make one line, which names a few.
func TestLeftNamesTheFirstDevices(t *testing.T) {
	names := []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7"}
	s, job := collecting(t, names...)
	var entries []wire.ManifestEntry
	for _, n := range names {
		for _, item := range twoItems["small"] {
			entries = append(entries, entry(n, item, wire.EntrySkipped, "busy"))
		}
	}
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, nil, entries...), edp.SignedManifest{Hash: strings.Repeat("b", 64), Plain: []byte("m")}))
	r := run(t, s, job.Run)
	if len(r.Left) != 1 || r.Left[0].Items != 14 || r.Left[0].Of != 7 || len(r.Left[0].Devices) != 5 || r.State != edp.RunComplete {
		t.Errorf("run %+v", r)
	}
}

// What masking did is kept with the document, and the manifest vouches for the
// bytes that the device sent.
func TestMaskedDocuments(t *testing.T) {
	s, job := collecting(t, "edge-1")
	d := doc(site, job.Run, "edge-1", "show-version")
	d.Flags, d.RawSHA256, d.RawSize = []string{"masked"}, strings.Repeat("c", 64), d.Size+9
	put(t, s, d)
	e := storedEntry(d)
	e.Masked, e.RawSHA256 = map[string]int{"user-names": 2}, strings.Repeat("d", 64)
	if _, err := s.PutManifest(t.Context(), manifest(job.Run, nil, e), edp.SignedManifest{Hash: strings.Repeat("e", 64), Plain: []byte("m")}); !errors.Is(err, edp.ErrConflict) {
		t.Errorf("a manifest with another hash of the device's bytes: %v", err)
	}
	e.RawSHA256 = d.RawSHA256
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, nil, e), edp.SignedManifest{Hash: strings.Repeat("f", 64), Plain: []byte("m")}))
	got := must[edp.Document](t)(s.Document(t.Context(), d.ID))
	if got.RawSHA256 != d.RawSHA256 || got.RawSize != d.RawSize || got.Masked["user-names"] != 2 {
		t.Errorf("document %+v", got)
	}
}

// A device that sent nothing but malformed documents is not ok, whenever that is
// found out: before its result, or with the manifest.
func TestOnlyMalformedDocumentsAreNoSuccess(t *testing.T) {
	for name, early := range map[string]bool{"documents first": true, "result first": false} {
		t.Run(name, func(t *testing.T) {
			s, job := collecting(t, "edge-1", "edge-2")
			bad, half := doc(site, job.Run, "edge-1", "show-version"), doc(site, job.Run, "edge-2", "show-version")
			bad.Outcome, half.Outcome = "malformed", "malformed"
			fine := doc(site, job.Run, "edge-2", "show-system-uptime")
			if early {
				put(t, s, bad, half, fine)
			}
			for _, id := range []string{"edge-1", "edge-2"} {
				r := good(id)
				ok(t, s.SawJobStatus(t.Context(), wire.JobStatus{ID: job.ID, Collector: site, State: wire.JobRunning, Done: 1, Total: 2, Device: &r}))
			}
			if !early {
				put(t, s, bad, half, fine)
			}
			m := manifest(job.Run, []wire.DeviceResult{good("edge-1"), good("edge-2")}, storedEntry(bad), storedEntry(half), storedEntry(fine))
			must[[]string](t)(s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: strings.Repeat("a", 64), Plain: []byte("m")}))
			one, two := must[edp.DeviceRow](t)(s.Device(t.Context(), site, "edge-1")), must[edp.DeviceRow](t)(s.Device(t.Context(), site, "edge-2"))
			if one.State != edp.DeviceFailed || one.Kind != "malformed" || one.Error == "" || two.State != edp.DeviceOK {
				t.Errorf("edge-1 %+v, edge-2 %+v", one, two)
			}
			r := run(t, s, job.Run)
			if r.Devices[0].OK || !r.Devices[1].OK || r.Devices[1].Outcomes["malformed"] != 1 || r.Devices[1].Outcomes["ok"] != 1 {
				t.Errorf("results %+v", r.Devices)
			}
			if last := must[map[string]map[string]wire.Done](t)(s.Done(t.Context(), site))[""]; len(last) != 1 || last["edge-2"].At.IsZero() {
				t.Errorf("complete: %v", last)
			}
		})
	}
}

// One that knows nothing it is asked is well: its refusals can be read.
func TestOnlyUnsupportedDocumentsAreNoFailure(t *testing.T) {
	s, job := collecting(t, "edge-1")
	d := doc(site, job.Run, "edge-1", "show-version")
	d.Outcome = "unsupported"
	put(t, s, d)
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, []wire.DeviceResult{good("edge-1")}, storedEntry(d)), edp.SignedManifest{Hash: strings.Repeat("a", 64), Plain: []byte("m")}))
	if row := must[edp.DeviceRow](t)(s.Device(t.Context(), site, "edge-1")); row.State != edp.DeviceOK {
		t.Errorf("device %+v", row)
	}
}

func TestProbes(t *testing.T) {
	s, _ := collecting(t, "edge-1", "edge-2")
	ctx := t.Context()
	job := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobProbe, Devices: []string{"edge-2", "edge-1"}}))
	if job.Run != "" || job.Total != 2 || len(job.Devices) != 2 {
		t.Fatalf("job %+v", job)
	}
	access := &wire.Access{Mode: "netconf", Port: 830, Hops: []wire.Hop{{Name: "edge-1", Cipher: "aes128-gcm@openssh.com"}}}
	saw := func(collector string, p wire.Probe) error {
		return s.SawJobStatus(ctx, wire.JobStatus{ID: job.ID, Collector: collector, State: wire.JobRunning, Done: 1, Total: 2, Probe: &p})
	}
	ok(t, saw(site, wire.Probe{Device: "edge-1", OK: true, Access: access, Excess: []string{"configure"}}))
	ok(t, saw(site, wire.Probe{Device: "edge-1", OK: true, Access: access}))
	ok(t, saw(site, wire.Probe{Device: "stranger", OK: true}))
	if err := saw(other, wire.Probe{Device: "edge-2"}); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("the diagnosis of another collector: %v", err)
	}
	if list := must[[]edp.Probe](t)(s.Probes(ctx, job.ID)); len(list) != 1 || list[0].Device != "edge-1" || len(list[0].Excess) != 0 {
		t.Errorf("diagnoses %+v", list)
	}
	if left := must[[]string](t)(s.RemainingProbes(ctx, job.ID)); len(left) != 1 || left[0] != "edge-2" {
		t.Errorf("remaining %v", left)
	}
	if p := must[edp.Probe](t)(s.LastProbe(ctx, site, "edge-1")); !p.OK || p.Job != job.ID || p.At.IsZero() {
		t.Errorf("the last one %+v", p)
	}
	if _, err := s.LastProbe(ctx, site, "edge-2"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("a diagnosis that never was: %v", err)
	}
	row := must[edp.DeviceRow](t)(s.Device(ctx, site, "edge-1"))
	if row.Access == nil || row.Access.Port != 830 || len(row.Access.Hops) != 1 || row.State != edp.DeviceNew {
		t.Errorf("device %+v", row)
	}
}

// A few diagnoses of a device are kept, and those of a job under way; when the
// device is gone they go as well, after a month.
func TestOldProbesAreForgotten(t *testing.T) {
	s, _ := collecting(t, "edge-1", "edge-2")
	ctx := t.Context()
	var jobs []edp.Job
	for i := range 13 {
		j := must[edp.Job](t)(s.CreateJob(ctx, edp.NewJob{Collector: site, Kind: wire.JobProbe}))
		jobs = append(jobs, j)
		for _, id := range j.Devices {
			ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobRunning, Probe: &wire.Probe{Device: id}}))
			if i > 0 && id == "edge-1" { // the first job stays under way
				ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobDone}))
			}
		}
	}
	kept := func() (out []int) {
		for _, j := range jobs {
			out = append(out, len(must[[]edp.Probe](t)(s.Probes(ctx, j.ID))))
		}
		return out
	}
	if p := must[edp.Probe](t)(s.LastProbe(ctx, site, "edge-2")); p.Job != jobs[12].ID {
		t.Errorf("the last diagnosis is of job %s, not of %s", p.Job, jobs[12].ID)
	}
	// The last diagnosis of edge-1 came when its job was not over yet.
	if got, want := fmt.Sprint(kept()), "[2 0 0 2 2 2 2 2 2 2 2 2 2]"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-2")))
	ok(t, s.Sweep(ctx))
	if p := must[edp.Probe](t)(s.LastProbe(ctx, site, "edge-1")); p.Job == "" {
		t.Error("gone at once")
	}
	ok(t, s.ForgetProbesAt(ctx, time.Now().Add(time.Hour)))
	if _, err := s.LastProbe(ctx, site, "edge-1"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("the diagnosis of a device that is gone: %v", err)
	}
	must[edp.Probe](t)(s.LastProbe(ctx, site, "edge-2"))
}

// A database of the version before keeps what it holds.
func TestMigrationKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lwc.db")
	s := openAt(t, path)
	enrol(t, s, site)
	must[[]edp.Change](t)(s.PutFleet(t.Context(), smallFleet(site, "edge-1")))
	job := must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobCollect}))
	d := doc(site, job.Run, "edge-1", "show-version")
	put(t, s, d)
	e := storedEntry(d)
	e.Masked = map[string]int{"secrets": 1}
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, nil, e,
		entry("edge-1", "show-system-uptime", wire.EntrySkipped, "busy")), edp.SignedManifest{Hash: strings.Repeat("a", 64), Plain: []byte("m")}))
	test := must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobProbe}))
	ok(t, s.SawJobStatus(t.Context(), wire.JobStatus{ID: test.ID, Collector: site, State: wire.JobDone, Probe: &wire.Probe{Device: "edge-1", Access: &wire.Access{Port: 830}}}))
	ok(t, s.Close())
	db, err := sql.Open("sqlite", path)
	ok(t, err)
	ok(t, edp.MigrateDown(t.Context(), db, 2))
	ok(t, db.Close())
	s = openAt(t, path)
	if got := must[edp.Document](t)(s.Document(t.Context(), d.ID)); got.SHA256 != d.SHA256 || got.RawSHA256 != "" || got.Masked != nil {
		t.Errorf("document %+v", got)
	}
	if f := must[edp.Fleet](t)(s.GetFleet(t.Context(), site)); f.Masking.Version != "" || f.AllowCLI || len(f.Devices) != 1 {
		t.Errorf("fleet %+v", f)
	}
	if r := run(t, s, job.Run); r.Stored != 1 || r.Skipped != 0 || r.Expected != 2 || r.State != edp.RunComplete || len(r.Left) != 1 {
		t.Errorf("run %+v", r)
	}
	if row := must[edp.DeviceRow](t)(s.Device(t.Context(), site, "edge-1")); row.Access != nil {
		t.Errorf("device %+v", row)
	}
	ok(t, s.SawJobStatus(t.Context(), wire.JobStatus{ID: test.ID, Collector: site, Probe: &wire.Probe{Device: "edge-1"}}))
}
