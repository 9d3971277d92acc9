package uplink

import (
	"errors"
	"testing"
	"time"

	"lwc/transport/wire"
)

func TestStreamedPartsAreKept(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	plain := noise(500 << 10)
	id, err := stream(t, l, plain, false, o)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	first := takeAll(t, u)
	if len(first) != 5 || first[4].Parts != 5 || first[0].Parts != 0 {
		t.Fatalf("%d parts", len(first))
	}
	used, _, _ := u.Budget()
	settle(u, wire.Receipt{ID: id, Status: wire.Kept, Parts: 2})
	if now, _, _ := u.Budget(); used-now < 230<<10 {
		t.Errorf("two kept parts freed %d bytes", used-now)
	}
	settle(u, wire.Receipt{ID: id, Status: wire.Kept, Parts: 1}) // late
	u.out.anew()
	again := takeAll(t, u)
	if len(again) != 3 || again[0].Part != 2 {
		t.Fatalf("%d frames again, from part %d", len(again), again[0].Part)
	}
	// More than there are: the last one stays until the last word.
	settle(u, wire.Receipt{ID: id, Status: wire.Kept, Parts: 99})
	u.out.anew()
	if again := takeAll(t, u); len(again) != 1 || again[0].Part != 4 {
		t.Fatalf("%d frames again", len(again))
	}
	stored(u, id)
	if d := o.of(t, id); d == nil || d.Status != wire.Stored || d.Sent < 500<<10 {
		t.Fatalf("told %+v", d)
	}
	checkEmpty(t, u)
}

// A cloud that keeps parts that it was never sent is not believed.
func TestKeptIsNotMoreThanSent(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	id, err := stream(t, l, noise(500<<10), false, o)
	if err != nil {
		t.Fatal(err)
	}
	take(t, u)
	settle(u, wire.Receipt{ID: id, Status: wire.Kept, Parts: 4})
	if rest := takeAll(t, u); len(rest) != 4 || rest[0].Part != 1 {
		t.Fatalf("%d frames, from part %d", len(rest), rest[0].Part)
	}
	stored(u, id, "01K00000000000000000000000")
	if u.Delivery().Strange != 1 {
		t.Error("the receipt for an unknown id was not counted")
	}
	l.Close()
	checkEmpty(t, u)
}

func TestAbortedStreamVanishes(t *testing.T) {
	u := offline(t, 1<<20)
	l := lane(t, u, wire.NewID())
	s, err := l.Stream(t.Context(), wire.Header{Item: "big"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(noise(600 << 10)); err != nil {
		t.Fatal(err)
	}
	take(t, u)
	f, _ := u.out.next(time.Now()) // one is being sent
	s.Abort()
	u.out.sent(f, time.Now(), true)
	if left := takeAll(t, u); len(left) > 0 {
		t.Errorf("%d parts of an aborted document left", len(left))
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, errOver) {
		t.Errorf("writing after Abort: %v", err)
	}
	if err := s.Commit(wire.Header{}, nil); !errors.Is(err, errOver) {
		t.Errorf("committing after Abort: %v", err)
	}
	l.Close()
	checkEmpty(t, u)
}

// The cloud may refuse a document before its end: the rest is not sent, and the
// word is told at the end.
func TestRejectedInTheMiddle(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	h := wire.Header{ID: wire.NewID(), Item: "big"}
	s, err := l.Stream(t.Context(), h, false)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(noise(300 << 10))
	take(t, u)
	stored(u, h.ID) // it cannot be whole
	settle(u, wire.Receipt{ID: h.ID, Status: wire.Rejected, Code: "too-large"})
	if _, err := s.Write(noise(300 << 10)); err != nil {
		t.Errorf("writing goes on: %v", err)
	}
	if left := takeAll(t, u); len(left) > 0 {
		t.Errorf("%d parts left after the refusal", len(left))
	}
	if err := s.Commit(wire.Header{SHA256: "x"}, o.done); err != nil {
		t.Fatal(err)
	}
	if d := o.of(t, h.ID); d == nil || d.Code != "too-large" {
		t.Errorf("told %+v", d)
	}
	l.Close()
	checkEmpty(t, u)
}

func TestUnchangedStreamIsWithdrawn(t *testing.T) {
	u, o := offline(t, 8<<20), new(told)
	l := lane(t, u, wire.NewID())
	plain := noise(400 << 10)
	id, _ := stream(t, l, plain, false, o)
	takeAll(t, u)
	stored(u, id)
	// Nothing of it has left: only its header does.
	id, err := stream(t, l, plain, false, o)
	if err != nil {
		t.Fatal(err)
	}
	l.Flush()
	fs := takeAll(t, u)
	if len(fs) != 1 || len(fs[0].f.bytes) > 1000 {
		t.Fatalf("%d frames left", len(fs))
	}
	stored(u, id)
	if d := o.of(t, id); !d.Unchanged {
		t.Fatalf("told %+v", d)
	}
	// A part has left: the rest follows.
	h := small("big", plain)
	s, _ := l.Stream(t.Context(), h, false)
	s.Write(plain)
	take(t, u)
	if err := s.Commit(h, o.done); err != nil {
		t.Fatal(err)
	}
	if rest := takeAll(t, u); len(rest) != 3 {
		t.Errorf("%d more parts", len(rest))
	}
	stored(u, h.ID)
	if d := o.of(t, h.ID); d.Unchanged {
		t.Fatalf("told %+v", d)
	}
	l.Close()
	checkEmpty(t, u)
}

// A sender that finds a frame too large may be overtaken by the end of its stream.
func TestAbortedIsNotEndedTwice(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, runAt(1))
	s, err := l.Stream(t.Context(), wire.Header{Item: "big"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(noise(300 << 10)); err != nil {
		t.Fatal(err)
	}
	s.Abort()
	callAll(u.out.reject(codeFrame, s.d))
	l.Close()
	if n := u.Delivery().Documents; n != 0 || len(o.m) != 0 {
		t.Errorf("%d documents have a last word, %d were told", n, len(o.m))
	}
	checkEmpty(t, u)
}

// What is still being written cannot be stored: the word does not end it.
func TestStoredBeforeItsEndIsStrange(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, runAt(1))
	plain := noise(300 << 10)
	h := small("big", plain)
	s, err := l.Stream(t.Context(), h, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(plain); err != nil {
		t.Fatal(err)
	}
	early := len(takeAll(t, u))
	stored(u, h.ID)
	if err := s.Commit(h, o.done); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if rest := len(takeAll(t, u)); early == 0 || rest == 0 || o.of(t, h.ID) != nil {
		t.Errorf("%d frames left before, %d after, and the word is %+v", early, rest, o.of(t, h.ID))
	}
	stored(u, h.ID)
	if d := o.of(t, h.ID); d == nil || u.Delivery().Strange != 1 {
		t.Errorf("%+v, %+v", d, u.Delivery())
	}
	checkEmpty(t, u)
}
