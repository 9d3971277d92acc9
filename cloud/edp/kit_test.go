package edp_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const (
	site  = "site-a-001"
	other = "site-b-002"
)

func text(s string) secret.Text { return secret.FromString(s) }

func open(t testing.TB) *edp.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "odd name %41?#.db"))
}

func openAt(t testing.TB, path string) *edp.Store {
	t.Helper()
	s, err := edp.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func enrol(t testing.TB, s *edp.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		ok(t, s.Enrolled(t.Context(), edp.Enrolment{Collector: id, SPKI: "key of " + id, Serial: "01",
			NotAfter: time.Now().Add(time.Hour)}))
	}
}

// twoItems is a profile small enough to write manifests for by hand.
var twoItems = map[string][]string{"small": {"show-version", "show-system-uptime"}}

func device(id string) edp.Device {
	return edp.Device{Device: wire.Device{ID: id, Address: "192.0.2.1", Credential: "lab", Profile: "small"}}
}

func smallFleet(collector string, devices ...string) edp.Fleet {
	f := edp.Fleet{Collector: collector, Profiles: twoItems,
		Credentials: []edp.Credential{{ID: "lab", Kind: wire.KindPassword, Username: "lab", Version: "1", Cipher: []byte("sealed")}}}
	for _, d := range devices {
		f.Devices = append(f.Devices, device(d))
	}
	return f
}

// collecting returns a store with a run on demand under way.
func collecting(t testing.TB, devices ...string) (*edp.Store, edp.Job) {
	t.Helper()
	s := open(t)
	enrol(t, s, site, other)
	must[[]edp.Change](t)(s.PutFleet(t.Context(), smallFleet(site, devices...)))
	return s, must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobCollect, By: "test"}))
}

func doc(collector, run, device, item string) edp.Document {
	body := fmt.Appendf(nil, "<rpc-reply>%s %s %s</rpc-reply>\n", run, device, item)
	return edp.Document{ID: wire.NewID(), Collector: collector, Boot: "boot-1", Run: run, Device: device, Item: item,
		Outcome: "ok", SHA256: wire.Digest(body), Size: int64(len(body)), CollectedAt: time.Now(), Body: body}
}

func put(t testing.TB, s *edp.Store, docs ...edp.Document) []edp.PutStatus {
	t.Helper()
	return must[[]edp.PutStatus](t)(s.PutDocuments(t.Context(), docs))
}

func storedEntry(d edp.Document) wire.ManifestEntry {
	return wire.ManifestEntry{ID: d.ID, Device: d.Device, Item: d.Item, Status: wire.EntryStored, SHA256: d.SHA256, Size: d.Size}
}

func manifest(run string, devices []wire.DeviceResult, entries ...wire.ManifestEntry) wire.Manifest {
	now := time.Now()
	return wire.Manifest{V: 1, Collector: site, Boot: "boot-1", Run: run, Started: now.Add(-time.Minute), Finished: now,
		Devices: devices, Documents: entries}
}

func run(t testing.TB, s *edp.Store, id string) edp.Run {
	t.Helper()
	return must[edp.Run](t)(s.Run(t.Context(), id))
}
