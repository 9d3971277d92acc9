package uplink

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

func TestHeldDocumentsWaitForApproval(t *testing.T) {
	u, o := offline(t, 8<<20), new(told)
	run := wire.NewID()
	l := lane(t, u, run)
	plain := noise(300 << 10)
	yes := add(t, l, "yes", []byte("<secret/>"), true, o)
	no := add(t, l, "no", []byte("<secret/>"), true, o)
	late := add(t, l, "late", []byte("<secret/>"), true, o)
	big, err := stream(t, l, plain, true, o)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, f := range takeAll(t, u) {
		for _, w := range opened(t, f) {
			if w.Plain != nil || !slices.Contains(w.Flags, wire.FlagHeld) || w.SHA256 == "" || bytes.Contains(f.f.bytes, []byte("secret")) {
				t.Errorf("an offer is %+v with %d bytes", w.Header, len(w.Plain))
			}
			settle(u, wire.Receipt{ID: w.ID, Status: wire.Offered})
		}
	}
	if _, held, _ := u.Budget(); held < 300<<10 {
		t.Errorf("%d bytes are held", held)
	}
	u.out.anew()
	if again := takeAll(t, u); len(again) > 0 {
		t.Errorf("%d offers were sent again", len(again))
	}
	u.out.approved([]string{yes, big, "unknown"})
	a, got := wire.Assembler{MaxSize: 1 << 20}, map[string][]byte{}
	for _, f := range takeAll(t, u) {
		w, err := a.Add(time.Now(), f.Header, f.body)
		if err != nil || slices.Contains(f.Flags, wire.FlagHeld) {
			t.Fatal(f.Header, err)
		}
		if w != nil {
			got[w.ID] = w.Plain
			stored(u, w.ID)
		}
	}
	if string(got[yes]) != "<secret/>" || !bytes.Equal(got[big], plain) || len(got) != 2 {
		t.Errorf("approved came %d documents", len(got))
	}
	callAll(u.out.withhold(codeDeclined, []string{no}, ""))
	u.DropHeld(wire.NewID()) // of another run
	if o.of(t, late) != nil {
		t.Fatal("another run's end ended the waiting")
	}
	u.DropHeld(run)
	for id, want := range map[string]wire.Receipt{yes: {ID: yes, Status: wire.Stored}, big: {ID: big, Status: wire.Stored},
		no: {ID: no, Status: wire.Withheld, Code: codeDeclined}, late: {ID: late, Status: wire.Withheld, Code: codeWaited}} {
		if d := o.of(t, id); d == nil || d.Receipt != want {
			t.Errorf("told %+v, not %+v", d, want)
		}
	}
	checkEmpty(t, u)
}

// A release may overtake the receipt of the offer.
func TestReleaseBeforeTheOffersReceipt(t *testing.T) {
	u, o := offline(t, 8<<20), new(told)
	l := lane(t, u, wire.NewID())
	id := add(t, l, "item", []byte("<x/>"), true, o)
	l.Close()
	takeAll(t, u)
	u.out.approved([]string{id})
	settle(u, wire.Receipt{ID: id, Status: wire.Offered})
	fs := takeAll(t, u)
	if len(fs) != 1 || string(opened(t, fs[0])[0].Plain) != "<x/>" {
		t.Fatalf("%d frames", len(fs))
	}
	stored(u, id)
	if d := o.of(t, id); d == nil || d.Status != wire.Stored {
		t.Fatalf("told %+v", d)
	}
	checkEmpty(t, u)
}

func TestHeldIsAtMostHalf(t *testing.T) {
	u, o := offline(t, 8<<20), new(told)
	u.SetBudget(8 << 20)
	l := lane(t, u, wire.NewID())
	var no int
	for i := range 6 {
		id, err := stream(t, l, noise(1<<20), true, o)
		if err != nil {
			t.Fatal(err)
		}
		if d := o.of(t, id); d != nil && d.Status == wire.Withheld && d.Code == codeNoRoom {
			no++
		} else if i > 3 {
			t.Errorf("document %d is held", i)
		}
	}
	id := add(t, l, "small", noise(128<<10), true, o)
	for range 8 {
		id = add(t, l, "small", noise(128<<10), true, o)
	}
	if d := o.of(t, id); d == nil || d.Code != codeNoRoom {
		t.Errorf("a small document beyond half of the budget: %+v", d)
	}
	if _, held, limit := u.Budget(); no != 3 || held > limit/2 {
		t.Errorf("%d of 6 are withheld, %d bytes of %d are held", no, held, limit)
	}
	l.Close()
}

// Regression: what is held until no run wants it any more leaves no offer behind,
// which nothing would ever end.
func TestDroppedBeforeItsOffer(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	run := runAt(1)
	l := lane(t, u, run)
	id := add(t, l, "a", []byte("<a/>"), true, o)
	u.DropHeld(run)
	if d := o.of(t, id); d == nil || d.Status != wire.Withheld {
		t.Fatalf("%+v", d)
	}
	other := add(t, l, "b", []byte("<b/>"), false, o)
	l.Close()
	for _, f := range takeAll(t, u) {
		for _, w := range opened(t, f) {
			if w.ID != other {
				t.Errorf("%s leaves, which was dropped", w.Item)
			}
		}
	}
	stored(u, other)
	checkEmpty(t, u)
}

// Regression: a document whose offer has no receipt yet is dropped once, although
// the offer and its body stand in the list of what may go.
func TestOfferAndBodyMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 1<<20), new(told)
		u.SetBudget(leastBudget)
		l := lane(t, u, runAt(1))
		id := add(t, l, "a", noise(100<<10), true, o)
		l.Close()
		takeAll(t, u)
		l = lane(t, u, runAt(2))
		ctx, cancel := limited(t.Context(), 2*blockedTimeout)
		defer cancel()
		if err := fill(ctx, l, o); !errors.Is(err, errPatience) {
			t.Fatal(err)
		}
		if d := o.of(t, id); d == nil || d.Status != wire.Dropped {
			t.Errorf("%+v", d)
		}
	})
}

// Regression: a document of which the cloud keeps parts is no more told as
// unchanged: its id would be there twice.
func TestKeptPartsAreNotTakenBack(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, runAt(1))
	plain := noise(300 << 10)
	first, err := stream(t, l, plain, false, o)
	if err != nil {
		t.Fatal(err)
	}
	takeAll(t, u)
	stored(u, first)
	h := small("big", plain)
	s, err := l.Stream(t.Context(), h, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(plain); err != nil {
		t.Fatal(err)
	}
	sent := takeAll(t, u)
	settle(u, wire.Receipt{ID: h.ID, Status: wire.Kept, Parts: len(sent)})
	if err := s.Commit(h, o.done); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, f := range takeAll(t, u) {
		if len(f.Docs) > 0 {
			t.Errorf("the document leaves once more, as %v", f.Docs[0].Flags)
		}
	}
	stored(u, h.ID)
	if d := o.of(t, h.ID); d == nil || d.Unchanged {
		t.Errorf("%+v", d)
	}
	checkEmpty(t, u)
}

// An approval or a refusal of what is not held, or not here, changes nothing.
func TestApprovalOfWhatIsNotHeld(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, runAt(1))
	id := add(t, l, "a", []byte("<a/>"), false, o)
	l.Close()
	ids := []string{id, wire.NewID()}
	u.out.approved(ids)
	callAll(u.out.withhold(codeDeclined, ids, ""))
	if n := len(takeAll(t, u)); n != 1 || o.of(t, id) != nil {
		t.Errorf("%d frames left, and the word is %+v", n, o.of(t, id))
	}
	stored(u, id)
	checkEmpty(t, u)
}
