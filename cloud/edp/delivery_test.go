package edp_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// unchanged is the header of a document whose bytes are those of d.
func unchanged(d edp.Document, run string) edp.Document {
	d.ID, d.Run, d.Body, d.Unchanged = wire.NewID(), run, nil, true
	d.Flags, d.CollectedAt = []string{wire.FlagUnchanged}, d.CollectedAt.Add(time.Hour)
	return d
}

func TestUnchangedDocumentsShareTheirBytes(t *testing.T) {
	s := open(t)
	enrol(t, s, site, other)
	first, run1 := doc(site, wire.NewID(), "edge-1", "show-version"), wire.NewID()
	put(t, s, first)
	again := unchanged(first, run1)
	third := unchanged(again, wire.NewID())
	changed := doc(site, wire.NewID(), "edge-1", "show-version")
	back := unchanged(first, wire.NewID())
	back.CollectedAt = changed.CollectedAt.Add(2 * time.Hour)
	elsewhere := unchanged(first, wire.NewID())
	elsewhere.Device = "edge-2"
	foreign := unchanged(first, wire.NewID())
	foreign.Collector = other
	longer := unchanged(first, wire.NewID())
	longer.Size++
	for _, c := range []struct {
		name string
		doc  edp.Document
		want edp.PutStatus
	}{
		{"once more", again, edp.PutStored},
		{"a third time", third, edp.PutStored},
		{"again the same header", again, edp.PutDuplicate},
		{"other bytes", changed, edp.PutStored},
		{"as it was before those", back, edp.PutStored},
		{"of another device", elsewhere, edp.PutBase},
		{"of another collector", foreign, edp.PutBase},
		{"of another size", longer, edp.PutBase},
	} {
		if got := put(t, s, c.doc); got[0] != c.want {
			t.Errorf("%s: %s, want %s", c.name, got[0], c.want)
		}
	}
	for _, d := range []edp.Document{again, third, back} {
		got := must[edp.Document](t)(s.Document(t.Context(), d.ID))
		if string(got.Body) != string(first.Body) || !got.Unchanged || got.Size != first.Size {
			t.Errorf("%+v", got)
		}
	}
	if r := run(t, s, run1); r.Unchanged != 1 || r.Stored != 1 || r.Bytes != first.Size {
		t.Errorf("%+v", r)
	}
	latest := must[[]edp.Document](t)(s.Documents(t.Context(), edp.DocumentFilter{Collector: site, Latest: true}))
	if len(latest) != 1 || latest[0].ID != back.ID {
		t.Errorf("latest: %+v", latest)
	}
}

// held is the header of a document that waits for an approval.
func held(run, device, item string) edp.Document {
	d := doc(site, run, device, item)
	d.Held, d.Flags = true, []string{wire.FlagHeld}
	return d
}

func TestHeldDocuments(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site, other)
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1", Conn: 1}))
	id := wire.NewID()
	one, two, three := held(id, "edge-1", "a"), held(id, "edge-1", "b"), held(id, "edge-2", "a")
	if got := put(t, s, one, two, three, one); !slices.Equal(got, []edp.PutStatus{edp.PutOffered, edp.PutOffered, edp.PutOffered, edp.PutOffered}) {
		t.Fatal(got)
	}
	foreign := one
	foreign.Collector, foreign.Run = other, wire.NewID()
	if got := put(t, s, foreign); got[0] != edp.PutRefused {
		t.Errorf("another collector's: %v", got)
	}
	if got := must[[]string](t)(s.DecideHeld(ctx, []string{one.ID}, true, "ann")); !slices.Equal(got, []string{site}) {
		t.Errorf("to be told: %v", got)
	}
	must[[]string](t)(s.DecideHeld(ctx, []string{two.ID}, false, "ann"))
	must[[]string](t)(s.DecideHeld(ctx, []string{two.ID}, false, "bob")) // again
	if _, err := s.DecideHeld(ctx, []string{three.ID, two.ID}, true, "bob"); !errors.Is(err, edp.ErrConflict) {
		t.Errorf("decided otherwise: %v", err)
	}
	if _, err := s.DecideHeld(ctx, []string{wire.NewID()}, true, "bob"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	states := func() map[string]edp.HeldState {
		out := map[string]edp.HeldState{}
		for _, h := range must[[]edp.Held](t)(s.Held(ctx, site)) {
			out[h.ID] = h.State
		}
		return out
	}
	if got := states(); got[one.ID] != edp.HeldApproved || got[two.ID] != edp.HeldDeclined || got[three.ID] != edp.HeldWaiting {
		t.Fatal(got)
	}
	if events := must[[]wire.Event](t)(s.Events(ctx, site, 10)); len(events) != 2 {
		t.Errorf("%d events tell of decisions: %+v", len(events), events)
	}
	body := one
	body.Held, body.Flags = false, nil
	if got := put(t, s, body); got[0] != edp.PutStored {
		t.Errorf("the body: %v", got)
	}
	if got := put(t, s, one); got[0] != edp.PutDuplicate {
		t.Errorf("the header again: %v", got)
	}
	gone := storedEntry(two)
	gone.Status, gone.Reason = wire.EntryWithheld, "declined"
	must[[]string](t)(s.PutManifest(ctx, manifest(id, nil, storedEntry(body), gone), edp.SignedManifest{Hash: "h"}))
	if got := states(); len(got) != 1 || got[three.ID] != edp.HeldWaiting {
		t.Errorf("after the manifest: %v", got)
	}
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-2", Conn: 1}))
	if got := states(); len(got) != 0 {
		t.Errorf("after a restart: %v", got)
	}
	if r := run(t, s, id); r.Withheld != 1 || r.Stored != 1 {
		t.Errorf("%+v", r)
	}
	sound(t, s, id)
}

// section makes one section of a scheduled run.
func section(id, boot string, n int, last bool, devices ...string) wire.Manifest {
	m := manifest(id, nil)
	m.Boot, m.Section, m.Last, m.Schedule = boot, n, last, "nightly"
	for _, d := range devices {
		m.Devices = append(m.Devices, wire.DeviceResult{Device: d, OK: true, Seconds: 2.5})
		m.Documents = append(m.Documents, wire.ManifestEntry{Device: d, Item: "show-version", Status: wire.EntryFailed, Reason: "no"})
	}
	return m
}

func TestSectionsOfAScheduledRun(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	f := smallFleet(site, "edge-1", "edge-2", "edge-3")
	f.Schedules = []wire.Schedule{{Name: "weekly", Start: "01:00"}, {Name: "nightly", Start: "02:00"}}
	must[[]edp.Change](t)(s.PutFleet(ctx, f))
	window := time.Date(2026, 3, 4, 2, 0, 0, 0, time.UTC)
	id := wire.RunID(site, "nightly", window)
	put(t, s, doc(site, id, "edge-1", "show-system-uptime"))
	open := must[[]wire.OpenRun](t)(s.OpenRuns(ctx, site, "boot-2"))
	if len(open) != 1 || open[0].Schedule != "nightly" || !open[0].Window.Equal(window) {
		t.Fatalf("before its first section: %+v", open)
	}
	if open := must[[]wire.OpenRun](t)(s.OpenRuns(ctx, site, "boot-1")); len(open) != 0 {
		t.Errorf("to its own boot: %+v", open)
	}
	n := 0
	take := func(m wire.Manifest, want edp.RunState) {
		t.Helper()
		n++
		must[[]string](t)(s.PutManifest(ctx, m, edp.SignedManifest{Hash: fmt.Sprint("hash-", n)}))
		if r := run(t, s, id); r.State != want || r.Reason != m.Reason && want != edp.RunRunning {
			t.Fatalf("after section %d of %s: %s, %q; want %s", m.Section, m.Boot, r.State, r.Reason, want)
		}
		sound(t, s, id)
	}
	take(section(id, "boot-1", 1, false, "edge-1"), edp.RunRunning)
	take(section(id, "boot-1", 3, true), edp.RunRunning) // the second is on its way
	take(section(id, "boot-1", 2, false, "edge-2"), edp.RunComplete)
	put(t, s, func() edp.Document { d := doc(site, id, "edge-3", "x"); d.Boot = "boot-2"; return d }())
	if r := run(t, s, id); r.State != edp.RunRunning {
		t.Fatalf("the next boot goes on and the run is %s", r.State)
	}
	take(section(id, "boot-2", 1, false, "edge-3"), edp.RunRunning)
	cut := section(id, "boot-2", 2, true)
	cut.Reason = "the window is over"
	take(cut, edp.RunInterrupted)
	take(section(id, "boot-2", 3, false, "edge-1"), edp.RunRunning)
	take(section(id, "boot-2", 4, true), edp.RunComplete)
	done := must[map[string]map[string]wire.Done](t)(s.Done(ctx, site))
	if len(done) != 1 || len(done["nightly"]) != 3 || done["nightly"]["edge-2"].Seconds != 2.5 {
		t.Errorf("done: %+v", done)
	}
	ok(t, s.DeleteDevice(ctx, site, "edge-2"))
	if done := must[map[string]map[string]wire.Done](t)(s.Done(ctx, site)); len(done["nightly"]) != 2 {
		t.Errorf("done of a device that is gone: %+v", done)
	}
}

func TestTheLedgerKeepsItsOrder(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	id := wire.NewID()
	add := func(hash, previous string, n int) {
		t.Helper()
		m := section(id, "boot-1", n, false)
		m.Previous = previous
		must[[]string](t)(s.PutManifest(ctx, m, edp.SignedManifest{Hash: hash, SPKI: "key", Plain: []byte("{" + hash + "}"),
			Envelope: wire.Envelope{PayloadType: "t", Payload: []byte(hash), Signatures: []wire.Signature{{Sig: []byte("s")}}}}))
	}
	add("a", "", 1)
	add("c", "b", 3) // before the one that it follows
	if ok := must[bool](t)(s.Chained(ctx, site, "d", "c")); !ok {
		t.Error("the newest is not the newest")
	}
	add("b", "a", 2)
	if h := must[string](t)(s.LastManifest(ctx, site)); h != "c" {
		t.Errorf("the newest is %q", h)
	}
	for _, c := range []struct {
		hash, previous string
		want           bool
	}{{"d", "c", true}, {"d", "b", false}, {"d", "", false}, {"b", "a", true}} {
		if got := must[bool](t)(s.Chained(ctx, site, c.hash, c.previous)); got != c.want {
			t.Errorf("%s after %q: %v", c.hash, c.previous, got)
		}
	}
	add("x", "nowhere", 4)
	var got []string
	ok(t, s.EachManifest(ctx, site, "", func(m edp.SignedManifest) error {
		got = append(got, m.Hash)
		if string(m.Plain) != "{"+m.Hash+"}" || string(m.Envelope.Payload) != m.Hash || m.SPKI != "key" || m.Run != id {
			t.Errorf("%+v", m)
		}
		return nil
	}))
	if !slices.Equal(got, []string{"a", "b", "c", "x"}) {
		t.Errorf("order %v", got)
	}
	stop := errors.New("enough")
	if err := s.EachManifest(ctx, site, id, func(edp.SignedManifest) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

// Whatever comes in whatever order, the counters of a run are those of its rows.
func TestCountersStaySound(t *testing.T) {
	src := rand.New(rand.NewPCG(7, 11))
	s, job := collecting(t, "edge-1", "edge-2", "edge-3")
	items := []string{"show-version", "show-system-uptime", "extra"}
	statuses := []wire.EntryStatus{wire.EntryFailed, wire.EntryLost, wire.EntrySkipped, wire.EntryWithheld, wire.EntryRejected}
	for i := range 60 {
		device, item := fmt.Sprint("edge-", 1+src.IntN(3)), items[src.IntN(3)]
		if src.IntN(3) == 0 {
			put(t, s, doc(site, job.Run, device, item))
		} else {
			e := entry(device, item, statuses[src.IntN(len(statuses))], "so")
			var results []wire.DeviceResult
			if src.IntN(8) == 0 {
				results = append(results, good(device))
			}
			must[[]string](t)(s.PutManifest(t.Context(), manifest(job.Run, results, e, e), edp.SignedManifest{Hash: fmt.Sprint(i)}))
		}
		sound(t, s, job.Run)
	}
}

// Two boots of one identity: the one that said hello first for the last time wins.
func TestABootThatWasFollowedIsRefused(t *testing.T) {
	path := t.TempDir() + "/edp.db"
	s := openAt(t, path)
	ctx := t.Context()
	enrol(t, s, site)
	hello := func(boot string, conn uint64) error {
		return s.SawHello(ctx, wire.Hello{Collector: site, Boot: boot, Conn: conn})
	}
	ok(t, hello("boot-1", 1))
	ok(t, hello("boot-1", 2))
	ok(t, hello("boot-2", 1))
	s = openAt(t, path) // it is no matter of memory
	if err := hello("boot-1", 3); !errors.Is(err, edp.ErrSuperseded) {
		t.Errorf("the older one: %v", err)
	}
	if err := hello("boot-1", 2); !errors.Is(err, edp.ErrConflict) {
		t.Errorf("a hello of before: %v", err)
	}
	ok(t, hello("boot-2", 2))
	if c := must[edp.Collector](t)(s.Collector(ctx, site)); c.Boot != "boot-2" || c.Conn != 2 {
		t.Errorf("%+v", c)
	}
}
