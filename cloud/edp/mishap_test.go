package edp_test

import (
	"slices"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// A reply may be empty. It is a document like any other.
func TestAnEmptyDocument(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	d := doc(site, wire.NewID(), "edge-1", "empty")
	d.Body, d.Size, d.SHA256 = []byte{}, 0, wire.Digest(nil)
	again := d
	if got := put(t, s, d, again); !slices.Equal(got, []edp.PutStatus{edp.PutStored, edp.PutDuplicate}) {
		t.Fatal(got)
	}
	if got := must[edp.Document](t)(s.Document(t.Context(), d.ID)); len(got.Body) != 0 || got.Size != 0 {
		t.Errorf("%d bytes of %d", len(got.Body), got.Size)
	}
	sound(t, s, d.Run)
}

// Nobody is asked to approve, or told again and again to send, what is stored
// already, or what its collector has given up.
func TestHeldDocumentsEnd(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1", Conn: 1}))
	id := wire.NewID()
	waiting := func() int { return len(must[[]edp.Held](t)(s.Held(ctx, site))) }
	put(t, s, doc(site, id, "edge-1", "a")) // of an earlier boot
	if got := put(t, s, held(id, "edge-1", "a")); got[0] != edp.PutDuplicate || waiting() != 0 {
		t.Errorf("its place is taken: %v, %d wait", got, waiting())
	}
	late := held(id, "edge-1", "b")
	put(t, s, late)
	put(t, s, doc(site, id, "edge-1", "b")) // another id
	body := doc(site, id, "edge-1", "b")
	body.ID = late.ID
	if got := put(t, s, body); got[0] != edp.PutDuplicate || waiting() != 0 {
		t.Errorf("its place was taken meanwhile: %v, %d wait", got, waiting())
	}
	for _, st := range []wire.EntryStatus{wire.EntryRejected, wire.EntryLost, wire.EntryFailed, wire.EntryWithheld} {
		h := held(id, "edge-2", string(st))
		put(t, s, h)
		e := storedEntry(h)
		e.Status, e.Reason = st, "gone"
		must[[]string](t)(s.PutManifest(ctx, manifest(id, nil, e), edp.SignedManifest{Hash: string(st)}))
		if waiting() != 0 {
			t.Errorf("a manifest calls it %s: %d wait", st, waiting())
		}
	}
	put(t, s, held(id, "edge-3", "c"))
	ok(t, s.Revoke(ctx, site, "ada"))
	if waiting() != 0 {
		t.Errorf("of a revoked collector %d wait", waiting())
	}
	sound(t, s, id)
}

// A database that lost a row says so; it does not ask for ever.
func TestAPartThatTheDatabaseLost(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	parts := inParts(t, wire.NewID(), noise(1<<20))
	id := parts[0].Header.ID
	putParts(t, s, parts...)
	ok(t, s.LosePart(t.Context(), id, 2))
	if st := finish(t, s, id); st != edp.PutLost {
		t.Errorf("got %q", st)
	}
	if n := must[int](t)(s.PartsLeft(t.Context())); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A database that was restored from a copy wants an older configuration than its
// collectors have, who take no older one.
func TestARestoredDatabaseIsAheadAgain(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	hello := wire.Hello{Collector: site, Boot: "boot-1", Conn: 1, Config: wire.ConfigRef{Version: 1}}
	version := func() uint64 {
		hello.Conn++
		ok(t, s.SawHello(ctx, hello))
		return must[edp.Collector](t)(s.Collector(ctx, site)).ConfigVersion
	}
	if v := version(); v != 1 {
		t.Errorf("version %d is wanted, and held", v)
	}
	hello.Config.Version = 7
	if v := version(); v != 8 {
		t.Errorf("version 7 is held, and %d wanted", v)
	}
	hello.Config.Version = 1 << 60 // no honest one
	if v := version(); v != 1<<52+1 {
		t.Errorf("version %d", v)
	}
	ok(t, s.SetConfigVersion(ctx, site, 0)) // no fleet at all
	if v := version(); v != 0 {
		t.Errorf("version %d of nothing", v)
	}
}

// A clock that is ahead makes neither a run that never ends nor a document that
// stays the newest.
func TestAClockThatIsAhead(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	ahead := doc(site, wire.NewID(), "edge-1", "a")
	ahead.CollectedAt = time.Now().Add(70 * 365 * 24 * time.Hour)
	put(t, s, ahead)
	if at := must[time.Time](t)(s.StartedAt(ctx, ahead.Run)); time.Until(at) > time.Minute {
		t.Errorf("the run began at %v", at)
	}
	next := doc(site, wire.NewID(), "edge-1", "a")
	put(t, s, next)
	list := must[[]edp.Document](t)(s.Documents(ctx, edp.DocumentFilter{Latest: true}))
	if len(list) != 1 || list[0].ID != next.ID {
		t.Errorf("the newest: %+v", list)
	}
	if got := must[edp.Document](t)(s.DocumentInfo(ctx, ahead.ID)); !got.CollectedAt.Equal(ahead.CollectedAt.Truncate(time.Microsecond)) {
		t.Errorf("what its collector said of it is not kept: %v", got.CollectedAt)
	}
}

// A manifest may account for an item by a document of another run. One that comes
// for it later is counted all the same.
func TestCountersOfAnItemThatHasItsWord(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	first := doc(site, wire.NewID(), "edge-1", "a")
	put(t, s, first)
	second := wire.NewID()
	e := storedEntry(first)
	e.Status = wire.EntryDuplicate
	must[[]string](t)(s.PutManifest(t.Context(), manifest(second, nil, e), edp.SignedManifest{Hash: "h"}))
	put(t, s, doc(site, second, "edge-1", "a"))
	sound(t, s, second)
}

// A part behind the last one makes a document that is none, and no row of it stays.
func TestAPartBehindTheLast(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	parts := inParts(t, wire.NewID(), noise(300<<10))
	stray := parts[0]
	stray.Header.Part, stray.Header.Parts = len(parts)+2, 0
	putParts(t, s, stray)
	st := putParts(t, s, parts...)
	if last := st[len(st)-1]; last.Status != edp.PutMalformed {
		t.Errorf("got %+v", last)
	}
	if n := must[int](t)(s.PartsLeft(t.Context())); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
