package edp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func good(device string) wire.DeviceResult { return wire.DeviceResult{Device: device, OK: true} }

func bad(device, why string) wire.DeviceResult {
	return wire.DeviceResult{Device: device, Phase: "auth", Kind: "refused", Error: why}
}

func entry(device, item string, status wire.EntryStatus, reason string) wire.ManifestEntry {
	return wire.ManifestEntry{Device: device, Item: item, Status: status, Reason: reason}
}

// A run of two devices with two items each; edge-1's documents are stored.
func TestPutManifest(t *testing.T) {
	type want struct {
		state          edp.RunState
		stored, failed int
		remaining      []string
	}
	missing := wire.NewID()
	for _, c := range []struct {
		name    string
		make    func(stored []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry)
		missing []string
		err     error
		want    want
	}{
		{"only the first device", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			return []wire.DeviceResult{good("edge-1")}, e
		}, nil, nil, want{edp.RunRunning, 2, 0, []string{"edge-2"}}},
		{"the second could not be reached", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			return []wire.DeviceResult{good("edge-1"), bad("edge-2", "wrong password")}, e
		}, nil, nil, want{edp.RunComplete, 2, 2, nil}},
		{"one item failed, one was lost", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			return nil, append(e, entry("edge-2", "show-version", wire.EntryFailed, "time-out"),
				entry("edge-2", "show-system-uptime", wire.EntryLost, "memory"))
		}, nil, nil, want{edp.RunComplete, 2, 2, nil}},
		{"one item is not named", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			return nil, append(e, entry("edge-2", "show-version", wire.EntryRejected, "too large"))
		}, nil, nil, want{edp.RunRunning, 2, 1, []string{"edge-2"}}},
		{"a document that never came", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			gone := entry("edge-2", "show-version", wire.EntryStored, "")
			gone.ID = missing
			return []wire.DeviceResult{good("edge-1"), good("edge-2")}, append(e, gone)
		}, []string{missing}, nil, want{edp.RunRunning, 2, 0, []string{"edge-1", "edge-2"}}},
		{"a duplicate under the id of another boot", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			e[0].Status, e[0].ID, e[0].SHA256 = wire.EntryDuplicate, wire.NewID(), strings.Repeat("1", 64)
			return []wire.DeviceResult{good("edge-1"), bad("edge-2", "down")}, e
		}, nil, nil, want{edp.RunComplete, 2, 2, nil}},
		{"another hash than the stored one", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			e[0].SHA256 = strings.Repeat("1", 64)
			return nil, e
		}, nil, edp.ErrConflict, want{edp.RunRunning, 2, 0, []string{"edge-1", "edge-2"}}},
		{"a status nobody knows", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			return nil, append(e, entry("edge-2", "show-version", "vanished", ""))
		}, nil, edp.ErrInvalid, want{edp.RunRunning, 2, 0, []string{"edge-1", "edge-2"}}},
		{"what is stored cannot be called lost", func(e []wire.ManifestEntry) ([]wire.DeviceResult, []wire.ManifestEntry) {
			e[0].Status = wire.EntryLost
			return []wire.DeviceResult{bad("edge-2", "down")}, e
		}, nil, nil, want{edp.RunComplete, 2, 2, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, job := collecting(t, "edge-1", "edge-2")
			var entries []wire.ManifestEntry
			for _, item := range twoItems["small"] {
				d := doc(site, job.Run, "edge-1", item)
				put(t, s, d)
				entries = append(entries, storedEntry(d))
			}
			devices, entries := c.make(entries)
			got, err := s.PutManifest(t.Context(), manifest(job.Run, devices, entries...), edp.SignedManifest{Hash: "hash-1", Plain: []byte("raw")})
			if !errors.Is(err, c.err) || !slices.Equal(got, c.missing) {
				t.Fatalf("missing %v, error %v; want %v, %v", got, err, c.missing, c.err)
			}
			r := run(t, s, job.Run)
			left := must[[]string](t)(s.RemainingDevices(t.Context(), job.Run))
			if r.State != c.want.state || r.Stored != c.want.stored || r.Failed != c.want.failed || r.Expected != 4 ||
				!slices.Equal(left, c.want.remaining) {
				t.Errorf("run %+v, remaining %v; want %+v", r, left, c.want)
			}
			kept := c.err == nil && c.missing == nil
			if h := must[string](t)(s.LastManifest(t.Context(), site)); (h == "hash-1") != kept || (len(r.Manifests) == 1) != kept {
				t.Errorf("last manifest %q, of the run %q", h, r.Manifests)
			}
			wantJob := edp.JobQueued
			if c.want.state == edp.RunComplete {
				wantJob = wire.JobDone
			}
			if j := must[edp.Job](t)(s.Job(t.Context(), job.ID)); j.State != wantJob {
				t.Errorf("the job is %s, want %s", j.State, wantJob)
			}
		})
	}
}

func TestAManifestTakenTwiceChangesNothing(t *testing.T) {
	s, job := collecting(t, "edge-1")
	m := manifest(job.Run, []wire.DeviceResult{bad("edge-1", "down")})
	for range 2 {
		if missing, err := s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: "hash-1", Plain: []byte("raw")}); err != nil || missing != nil {
			t.Fatal(missing, err)
		}
	}
	if r := run(t, s, job.Run); len(r.Manifests) != 1 || r.Failed != 2 || r.State != edp.RunComplete {
		t.Fatalf("%+v", r)
	}
}

func TestAManifestOfAForeignRunIsRefused(t *testing.T) {
	s, job := collecting(t, "edge-1")
	m := manifest(job.Run, []wire.DeviceResult{bad("edge-1", "down")})
	m.Collector = other
	if _, err := s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: "hash-1"}); !errors.Is(err, edp.ErrConflict) {
		t.Fatal(err)
	}
	if r := run(t, s, job.Run); r.State != edp.RunRunning || r.Failed != 0 {
		t.Fatalf("%+v", r)
	}
}

func TestResultsOfDevicesFollowTheManifest(t *testing.T) {
	s, job := collecting(t, "edge-1", "edge-2")
	var entries []wire.ManifestEntry
	for _, item := range twoItems["small"] {
		d := doc(site, job.Run, "edge-1", item)
		put(t, s, d)
		entries = append(entries, storedEntry(d))
	}
	before := time.Now().Add(-time.Minute)
	m := manifest(job.Run, []wire.DeviceResult{good("edge-1"), bad("edge-2", "the password was refused")}, entries...)
	m.Finished = time.Now().Add(24 * time.Hour) // a clock that is wrong
	if _, err := s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: "hash-1"}); err != nil {
		t.Fatal(err)
	}
	rows := must[[]edp.DeviceRow](t)(s.Devices(t.Context(), site))
	one, two := rows[0], rows[1]
	if one.State != edp.DeviceOK || one.Documents != 2 || one.Bytes == 0 || one.LastSuccess.Before(before) || one.LastSuccess.After(time.Now()) {
		t.Errorf("%+v", one)
	}
	if two.State != edp.DeviceFailed || two.Error != "the password was refused" || two.Phase != "auth" || !two.LastSuccess.IsZero() {
		t.Errorf("%+v", two)
	}
	done := must[map[string]map[string]wire.Done](t)(s.Done(t.Context(), site))
	if len(done) != 1 || len(done[""]) != 1 || !done[""]["edge-1"].At.Equal(m.Started.UTC().Truncate(time.Millisecond)) {
		t.Errorf("done: %v", done)
	}
	if r := run(t, s, job.Run); len(r.Devices) != 2 || r.Devices[0].Documents != 2 || r.Devices[1].Error == "" {
		t.Errorf("%+v", r.Devices)
	}
}

func TestAScheduledRunIsCompleteByItsManifest(t *testing.T) {
	s, _ := collecting(t, "edge-1")
	id := wire.NewID()
	d := doc(site, id, "edge-1", "show-version")
	put(t, s, d)
	if r := run(t, s, id); r.Kind != edp.RunSchedule || r.State != edp.RunRunning || r.Expected != 1 {
		t.Fatalf("%+v", r)
	}
	m := manifest(id, []wire.DeviceResult{good("edge-1")}, storedEntry(d), entry("edge-1", "show-system-uptime", wire.EntryFailed, "stalled"))
	if missing, err := s.PutManifest(t.Context(), m, edp.SignedManifest{Hash: "hash-2"}); err != nil || missing != nil {
		t.Fatal(missing, err)
	}
	if r := run(t, s, id); r.State != edp.RunComplete || r.Expected != 2 || r.Stored != 1 || r.Failed != 1 {
		t.Fatalf("%+v", r)
	}
}

// A document that was called failed may still come: from the next boot, or late.
func TestAFailedItemMayStillBeStored(t *testing.T) {
	s, job := collecting(t, "edge-1")
	must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, []wire.DeviceResult{bad("edge-1", "down")}), edp.SignedManifest{Hash: "h"}))
	put(t, s, doc(site, job.Run, "edge-1", "show-version"))
	if r := run(t, s, job.Run); r.Expected != 2 || r.Stored != 1 || r.Failed != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestAnOldResultDoesNotReplaceANewOne(t *testing.T) {
	s, job := collecting(t, "edge-1")
	now := time.Now()
	set := func(run string, at time.Time, r wire.DeviceResult, want edp.DeviceState) {
		t.Helper()
		ok(t, s.SetDeviceResult(t.Context(), site, run, at, r))
		if d := must[[]edp.DeviceRow](t)(s.Devices(t.Context(), site))[0]; d.State != want {
			t.Fatalf("%+v, want %s", d, want)
		}
	}
	set(job.Run, now, good("edge-1"), edp.DeviceOK)
	set(wire.NewID(), now.Add(-time.Hour), bad("edge-1", "down"), edp.DeviceOK)
	set(job.Run, now.Add(-time.Minute), bad("edge-1", "down"), edp.DeviceFailed)
	set(wire.NewID(), now.Add(time.Minute), good("edge-1"), edp.DeviceOK)
}
