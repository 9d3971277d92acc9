package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

func TestSmallDocumentsOfADeviceShareFrames(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	want := map[string][]byte{}
	for i := range 40 {
		plain := []byte(strings.Repeat(fmt.Sprintf("reply %d ", i), 10*i))
		want[add(t, l, fmt.Sprintf("show-%d", i), plain, false, o)] = plain
	}
	l.Close()
	frames := takeAll(t, u)
	if len(frames) != 2 {
		t.Fatalf("40 small documents took %d frames", len(frames))
	}
	sent := int64(0)
	for _, f := range frames {
		for _, w := range opened(t, f) {
			if !bytes.Equal(w.Plain, want[w.ID]) || w.Device != "edge-1" {
				t.Errorf("%s has %d bytes, not %d", w.Item, len(w.Plain), len(want[w.ID]))
			}
			stored(u, w.ID)
			d := o.of(t, w.ID)
			if d == nil || d.Status != wire.Stored || d.Sent == 0 {
				t.Fatalf("%s: %+v", w.Item, d)
			}
			sent += d.Sent
		}
	}
	if all := u.Delivery().Bytes; sent < all-40 || sent > all+40 {
		t.Errorf("the documents' parts are %d bytes, the frames are %d", sent, all)
	}
	checkEmpty(t, u)
}

// Documents that do not compress do not fit a frame together.
func TestDocumentsThatDoNotFitTogether(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	want := map[string][]byte{}
	for _, n := range []int{50, 40, 30, 5, 128} {
		plain := noise(n << 10)
		want[add(t, l, fmt.Sprint(n), plain, false, o)] = plain
	}
	l.Close()
	a := wire.Assembler{MaxSize: 1 << 30}
	for _, f := range takeAll(t, u) {
		if len(f.f.bytes) > wire.MaxFrame {
			t.Errorf("a frame of %d bytes", len(f.f.bytes))
		}
		w, err := a.Add(time.Now(), f.Header, f.body)
		if err != nil {
			t.Fatal(err)
		}
		if w == nil {
			continue
		}
		docs, err := wire.Docs(*w)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if !bytes.Equal(d.Plain, want[d.ID]) {
				t.Errorf("%s came as %d bytes", d.Item, len(d.Plain))
			}
			delete(want, d.ID)
			stored(u, d.ID)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d documents did not come", len(want))
	}
	checkEmpty(t, u)
}

func TestUnchangedDocumentsLeaveWithoutBody(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	plain, other := []byte("<same/>"), []byte("<other/>")
	// round collects an item once, and returns its document and its frame's view.
	round := func(item string, plain []byte) (string, wire.Whole) {
		l := lane(t, u, wire.NewID())
		id := add(t, l, item, plain, false, o)
		l.Close()
		fs := takeAll(t, u)
		if len(fs) != 1 {
			t.Fatalf("%d frames", len(fs))
		}
		return id, opened(t, fs[0])[0]
	}
	bare := func(w wire.Whole) bool { return slices.Contains(w.Flags, wire.FlagUnchanged) && w.Plain == nil }
	id, w := round("a", plain)
	if bare(w) {
		t.Fatal("the first document left without its body")
	}
	id2, w2 := round("a", plain)
	if bare(w2) {
		t.Fatal("a document left without its body before the first had a receipt")
	}
	stored(u, id, id2)
	id, w = round("a", plain)
	if !bare(w) || w.ID != id || w.SHA256 != wire.Digest(plain) || w.Size != int64(len(plain)) {
		t.Fatalf("an equal document left as %+v", w)
	}
	stored(u, id)
	if d := o.of(t, id); !d.Unchanged || d.Sent == 0 {
		t.Fatalf("told %+v", d)
	}
	if _, w := round("b", plain); bare(w) {
		t.Fatal("another item left without its body")
	}
	// The cloud has lost the body.
	id, _ = round("a", plain)
	settle(u, wire.Receipt{ID: id, Status: wire.Rejected, Code: codeBase})
	if d := o.of(t, id); d.Status != wire.Rejected || d.Code != codeBase {
		t.Fatalf("told %+v", d)
	}
	id, w = round("a", plain)
	if bare(w) {
		t.Fatal("a document left without its body after the cloud said that it has none")
	}
	stored(u, id)
	// While another version is under way, it is not known what the cloud has.
	id, _ = round("a", other)
	if _, w := round("a", plain); bare(w) {
		t.Fatal("the version before the one under way is taken for the cloud's")
	}
	// Whether a duplicate has these bytes is not known.
	settle(u, wire.Receipt{ID: id, Status: wire.Duplicate})
	id, w = round("a", other)
	if bare(w) {
		t.Fatal("a duplicate is taken for the cloud's")
	}
	id2, _ = round("a", plain)
	stored(u, id)
	settle(u, wire.Receipt{ID: id2, Status: wire.Duplicate})
	if _, w := round("a", other); bare(w) {
		t.Fatal("what a duplicate may have replaced is taken for the cloud's")
	}
}

func TestRedeliveryGrowsFromThirtySecondsToTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 1<<20), new(told)
		l := lane(t, u, wire.NewID())
		id := add(t, l, "a", []byte("x"), false, o)
		l.Close()
		check := func(most time.Duration) {
			t.Helper()
			if f := take(t, u); f == nil || f.ID != id {
				t.Fatalf("due is %+v", f)
			}
			f, wait := u.out.next(time.Now())
			if f != nil || wait < most/2 || wait > most {
				t.Fatalf("the next delivery is in %v, not between %v and %v", wait, most/2, most)
			}
			time.Sleep(wait)
		}
		for _, most := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			check(most)
		}
		u.out.anew()
		check(30 * time.Second)
		settle(u, wire.Receipt{ID: id, Status: wire.Rejected, Code: "busy", Retryable: true})
		take(t, u)
		settle(u, wire.Receipt{ID: id, Status: wire.Rejected, Code: "busy", Retryable: true})
		if _, wait := u.out.next(time.Now()); wait < 30*time.Second {
			t.Errorf("a busy cloud is asked again in %v", wait)
		}
		if o.of(t, id) != nil {
			t.Error("a rejection that may be retried was told")
		}
	})
}

// A document that takes long to send is not due again while its parts leave.
func TestRedeliveryWaitsForTheLastPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 1<<20), new(told)
		l := lane(t, u, wire.NewID())
		stream(t, l, noise(700<<10), false, o)
		l.Close()
		for part := range 7 {
			if f := take(t, u); f == nil || f.Part != part {
				t.Fatalf("part %d: %+v", part, f)
			}
			time.Sleep(14 * time.Second)
		}
	})
}

func TestReconnectingSendsInOrder(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	var ids []string
	for _, item := range []string{"a", "b", "c"} {
		ids = append(ids, add(t, l, item, []byte(item), false, o))
		l.Flush()
	}
	take(t, u)
	f, _ := u.out.next(time.Now())
	if other := take(t, u); other.ID != ids[2] {
		t.Fatal("a frame is due while it is being sent")
	}
	u.out.sent(f, time.Now(), false) // the line broke
	if f := take(t, u); f.ID != ids[1] {
		t.Fatal("an interrupted delivery is not due")
	}
	u.out.anew()
	for _, id := range ids {
		if f := take(t, u); f.ID != id {
			t.Fatalf("%s, not %s", f.ID, id)
		}
	}
	// The receipt may come while it is being sent again.
	u.out.hurry(ids[:1])
	f, _ = u.out.next(time.Now())
	stored(u, ids[0])
	u.out.sent(f, time.Now(), true)
	if u.out.hurry(ids) != 1 {
		t.Error("a settled document came back")
	}
	stored(u, ids...)
	for _, id := range ids {
		o.of(t, id)
	}
	l.Close()
	checkEmpty(t, u)
}

func TestWindowBoundsWhatIsOut(t *testing.T) {
	u, o := offline(t, 0), new(told)
	l := lane(t, u, wire.NewID())
	var ids []string
	for range 4 {
		ids = append(ids, add(t, l, "x", noise(60<<10), false, o))
		l.Flush()
	}
	count := func(want int, why string) {
		t.Helper()
		if got := takeAll(t, u); len(got) != want {
			t.Errorf("%s: %d frames left, not %d", why, len(got), want)
		}
	}
	count(0, "before the welcome")
	u.out.setWindow(10 << 10)
	count(1, "a frame larger than the window, with nothing out")
	u.out.setWindow(130 << 10)
	count(1, "the window has grown")
	stored(u, ids[1])
	count(1, "a receipt")
	u.out.setWindow(20 << 10)
	stored(u, ids[2])
	count(0, "the window has shrunk")
	stored(u, ids[0])
	count(1, "nothing is out")
	u.out.anew()
	count(1, "a new connection")
	stored(u, ids[3])
	l.Close()
	checkEmpty(t, u)
}

func TestTheSameIDTwice(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	id := add(t, l, "a", []byte("x"), false, o)
	err := l.Add(t.Context(), wire.Header{ID: id}, nil, false, o.done)
	if !errors.Is(err, errQueued) {
		t.Errorf("%v", err)
	}
	if err := l.Add(t.Context(), wire.Header{}, make([]byte, SmallDocument+1), false, o.done); !errors.Is(err, errLarge) {
		t.Errorf("%v", err)
	}
	// A header that cannot be written ends its document, not the others.
	bad := add(t, l, strings.Repeat("x", 300), []byte("y"), false, o)
	l.Close()
	if d := o.of(t, bad); d == nil || d.Status != wire.Rejected || d.Code != codeHeader {
		t.Errorf("told %+v", d)
	}
	if fs := takeAll(t, u); len(fs) != 1 || fs[0].ID != id {
		t.Errorf("%d frames", len(fs))
	}
	stored(u, id)
	checkEmpty(t, u)
}

// A welcome with a smaller limit ends what was made for a larger one.
func TestFramesThatBecameTooLarge(t *testing.T) {
	u, o := offline(t, 1<<20), new(told)
	l := lane(t, u, wire.NewID())
	id := add(t, l, "x", noise(60<<10), false, o)
	l.Close()
	f, _ := u.out.next(time.Now())
	callAll(u.out.unfit(f))
	callAll(u.out.unfit(f))
	u.out.sent(f, time.Now(), true)
	if d := o.of(t, id); d == nil || d.Code != codeFrame {
		t.Errorf("told %+v", d)
	}
	checkEmpty(t, u)
}
