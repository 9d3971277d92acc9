package ingest

import (
	"encoding/json"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func (k *kit) manifest(t testing.TB, m wire.Manifest) (id string, frame []byte) {
	t.Helper()
	m.V, m.Collector, m.Boot = wire.Version, collector, k.boot
	m.Started, m.Finished = time.Now().UTC(), time.Now().UTC()
	plain, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: collector, Boot: k.boot, Run: m.Run}
	fs, err := wire.Split(h, plain, wire.Packing{Key: k.key})
	if err != nil || len(fs) != 1 {
		t.Fatal(len(fs), err)
	}
	return h.ID, fs[0]
}

// A document that neither end has any more does not keep its run open for ever.
func TestWhatNeitherEndHasIsLost(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run, gone := wire.NewID(), wire.NewID()
	id, f := k.manifest(t, wire.Manifest{Run: run, Section: 1, Last: true, Documents: []wire.ManifestEntry{
		{ID: gone, Device: "edge-1", Item: "show-version", Status: wire.EntryStored}}})
	for range 5 {
		k.take(t, s, wire.KindRun, f)
	}
	if len(k.out.sentOf(t, id)) != 0 || len(k.out.sent[wire.KindNeed]) != 5 {
		t.Fatalf("%d answers, %d needs before the time is over", len(k.out.sentOf(t, id)), len(k.out.sent[wire.KindNeed]))
	}
	s.ledger.asked[id].since = time.Now().Add(-askFor)
	k.take(t, s, wire.KindRun, f)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.out.sentOf(t, id); len(got) != 1 || got[0].Status != wire.Complete {
		t.Fatalf("%+v", got)
	}
	r, err := k.store.Run(t.Context(), run)
	if err != nil || r.State != edp.RunComplete || r.Failed != 1 || len(r.Left) != 1 || r.Left[0].Status != wire.EntryLost || r.Left[0].Reason == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// The manifest of a boot that another followed is no part of the chain.
func TestTheChainIsOfTheNewestBoot(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	s.SetBoot(wire.NewID())
	id, f := k.manifest(t, wire.Manifest{Run: wire.NewID(), Section: 1, Last: true})
	if err := s.Take(t.Context(), wire.KindRun, f); err == nil {
		t.Error("it was taken")
	}
	s.SetBoot(k.boot)
	k.take(t, s, wire.KindRun, f)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := k.out.sentOf(t, id)
	if len(got) != 2 || got[0].Code != CodeChain || !got[0].Retryable || got[1].Status != wire.Complete {
		t.Errorf("%+v", got)
	}
}

// A section that does not follow the newest manifest is refused once, in each copy
// of it that was under way. Chained anew it comes under another id, and is taken.
func TestACopyOfARefusedSectionIsNotTaken(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	m := wire.Manifest{Run: wire.NewID(), Section: 1, Last: true, Previous: wire.Digest([]byte("lost"))}
	id, f := k.manifest(t, m)
	for range 3 {
		if err := s.Take(t.Context(), wire.KindRun, f); err == nil {
			t.Fatal("it was taken")
		}
	}
	m.Previous = ""
	chained, g := k.manifest(t, m)
	k.take(t, s, wire.KindRun, g)
	if err := s.Take(t.Context(), wire.KindRun, f); err == nil {
		t.Error("the copy was taken after it")
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := k.out.sentOf(t, chained)
	if len(got) != 1 || got[0].Status != wire.Complete || len(k.out.sentOf(t, id)) != 4 {
		t.Errorf("%+v", got)
	}
	r, err := k.store.Run(t.Context(), m.Run)
	if err != nil || len(r.Manifests) != 1 {
		t.Errorf("%d manifests, %v", len(r.Manifests), err)
	}
}

// The same section under another id is taken, and the ledger shows the break: its
// collector knows no newer manifest.
func TestABreakOfTheChainIsTakenTheSecondTime(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	m := wire.Manifest{Run: wire.NewID(), Section: 1, Last: true, Previous: wire.Digest([]byte("lost"))}
	_, f := k.manifest(t, m)
	if err := s.Take(t.Context(), wire.KindRun, f); err == nil {
		t.Fatal("it was taken")
	}
	id, g := k.manifest(t, m)
	k.take(t, s, wire.KindRun, g)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.out.sentOf(t, id); len(got) != 1 || got[0].Status != wire.Complete {
		t.Errorf("%+v", got)
	}
}
