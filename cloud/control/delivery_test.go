package control

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/ingest"
	"lwc/transport/wire"
)

// A collector is told what an admin decided, and on each connection again, until
// the body is there.
func TestDecisionsOnHeldDocuments(t *testing.T) {
	c, b, run := ready(t, setup{})
	yes, no := b.fact(run, "edge-1", "show-version"), b.fact(run, "edge-1", "show-system-uptime")
	body := reply("edge-1")
	yes.Flags, no.Flags = []string{wire.FlagHeld}, []string{wire.FlagHeld}
	for _, h := range []wire.Header{yes, no} {
		h.SHA256, h.Size = wire.Digest(body), int64(len(body))
		f, err := wire.SplitDocs(wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: b.id, Boot: b.boot, Run: run, Device: "edge-1"},
			[]wire.Doc{wire.DocOf(h)}, nil, wire.Packing{})
		if err != nil {
			t.Fatal(err)
		}
		b.publish(wire.KindFact, f)
		if r := b.receipt(h.ID); r.Status != wire.Offered {
			t.Fatalf("%+v", r)
		}
	}
	decide := func(h wire.Header, approve bool) {
		t.Helper()
		who, err := c.store.DecideHeld(t.Context(), []string{h.ID}, approve, "ann")
		if err != nil || !slices.Equal(who, []string{alpha}) {
			t.Fatal(who, err)
		}
		c.hub.HeldDecided(alpha)
	}
	told := func() (n wire.Need) {
		t.Helper()
		b.verify(wire.KindNeed, b.next(wire.KindNeed), &n)
		if n.Boot != b.boot || n.Collector != alpha {
			t.Fatalf("%+v", n)
		}
		return n
	}
	decide(yes, true)
	if n := told(); !slices.Equal(n.Release, []string{yes.ID}) || len(n.Decline) > 0 {
		t.Errorf("%+v", n)
	}
	decide(no, false)
	if n := told(); !slices.Equal(n.Decline, []string{no.ID}) || len(n.Release) > 0 {
		t.Errorf("%+v", n)
	}
	b.cut()
	b.connect()
	b.hello()
	if n := told(); len(n.Release) != 1 || len(n.Decline) != 1 {
		t.Errorf("on a new connection: %+v", n)
	}
	yes.Flags = nil
	b.send(yes, body, wire.Packing{})
	if r := b.receipt(yes.ID); r.Status != wire.Stored {
		t.Fatalf("the body: %+v", r)
	}
	gone := wire.ManifestEntry{ID: no.ID, Device: "edge-1", Item: no.Item, Status: wire.EntryWithheld, Reason: "declined"}
	m := b.manifest(wire.Manifest{Run: run, Section: 1, Last: true, Started: time.Now(), Finished: time.Now(), Documents: []wire.ManifestEntry{gone}}, b.key)
	if r := b.receipt(m.ID); r.Status != wire.Complete {
		t.Fatalf("the manifest: %+v", r)
	}
	b.cut()
	b.connect()
	b.hello()
	b.none(wire.KindNeed)
}

// Sections follow each other; one that does not is sent back once.
func TestTheChainOfSections(t *testing.T) {
	c, b, run := ready(t, setup{})
	section := func(n int, previous string, last bool) wire.Receipt {
		t.Helper()
		h := b.manifest(wire.Manifest{Run: run, Section: n, Last: last, Previous: previous, Started: time.Now(), Finished: time.Now(), Mode: wire.EgressSend}, b.key)
		return b.receipt(h.ID)
	}
	if r := section(1, "", false); r.Status != wire.Complete {
		t.Fatalf("the first: %+v", r)
	}
	first := b.hello().LastManifest
	if first == "" {
		t.Fatal("the welcome names no manifest")
	}
	if r := section(2, wire.Digest([]byte("of another world")), false); r.Status != wire.Rejected || r.Code != ingest.CodeChain || r.Retryable {
		t.Errorf("after one that is not there: %+v", r)
	}
	if r := section(2, first, false); r.Status != wire.Complete {
		t.Errorf("chained anew: %+v", r)
	}
	var got []edp.SignedManifest
	err := c.store.EachManifest(t.Context(), alpha, run, func(m edp.SignedManifest) error { got = append(got, m); return nil })
	if err != nil || len(got) != 2 || got[1].Previous != got[0].Hash {
		t.Fatalf("%d manifests, %v", len(got), err)
	}
	for _, m := range got {
		h := wire.Header{Type: wire.KindRun, Collector: m.Collector, Boot: m.Boot, Envelope: &m.Envelope}
		if _, err := wire.VerifyBody(h, m.Plain, b.key.Public()); err != nil || wire.Digest(m.Plain) != m.Hash {
			t.Errorf("section %d cannot be checked again: %v", m.Section, err)
		}
	}
}

// After a restart a collector learns which run it left open, and which devices are
// done in it.
func TestARestartInAWindow(t *testing.T) {
	c, b, _ := ready(t, setup{})
	b.desired()
	window := time.Now().UTC().Truncate(time.Hour)
	run := wire.RunID(alpha, "nightly", window)
	started := time.Now().UTC()
	m := b.manifest(wire.Manifest{Run: run, Section: 1, Schedule: "nightly", Window: window, Started: started, Finished: started,
		Devices: []wire.DeviceResult{{Device: "edge-1", OK: true, Seconds: 4}}}, b.key)
	if r := b.receipt(m.ID); r.Status != wire.Complete {
		t.Fatalf("%+v", r)
	}
	b.cut()
	b.reboot()
	b.connect()
	w := b.hello()
	if len(w.OpenRuns) != 1 || w.OpenRuns[0].Run != run || w.OpenRuns[0].Schedule != "nightly" || !w.OpenRuns[0].Window.Equal(window) {
		t.Errorf("open runs: %+v", w.OpenRuns)
	}
	d := b.desired()
	if got := d.Done["nightly"]; len(got) != 1 || got["edge-1"].Seconds != 4 || !got["edge-1"].At.Equal(started.Truncate(time.Millisecond)) {
		t.Errorf("done: %+v", d.Done)
	}
	end := b.manifest(wire.Manifest{Run: run, Section: 1, Last: true, Schedule: "nightly", Window: window, Reason: "the window is over",
		Previous: w.LastManifest, Started: started, Finished: started}, b.key)
	if r := b.receipt(end.ID); r.Status != wire.Complete {
		t.Fatalf("%+v", r)
	}
	if r, err := c.store.Run(t.Context(), run); err != nil || r.State != edp.RunInterrupted || r.Reason != "the window is over" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A message that finds no room is dropped after five seconds: a broker that owes an
// acknowledgement for longer is taken for dead.
func TestAFullQueueHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hub{log: slog.New(slog.DiscardHandler), starts: make(chan *line), ended: make(chan struct{}), lines: map[string]*line{}}
		l := newLine(h, alpha)
		l.running = true
		h.lines[alpha] = l
		topic := wire.Topics{}.Name(alpha, wire.Up, wire.KindFact)
		for range queueLength {
			h.receive(topic, nil)
		}
		begun := time.Now()
		h.receive(topic, nil)
		if took := time.Since(begun); took != receivePatience || !l.overrun.Load() || l.pending != queueLength {
			t.Errorf("after %v, overrun %v, %d pending", took, l.overrun.Load(), l.pending)
		}
	})
}
