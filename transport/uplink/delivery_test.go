package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// offline makes an Uplink that is never run: the test is its connection.
func offline(t testing.TB, window int64) *Uplink {
	t.Helper()
	u := New(Config{Identity: Identity{Collector: collectorID}})
	u.out.setWindow(window)
	return u
}

// taken is what a test took to the cloud.
type taken struct {
	f *frame
	wire.Header
	body []byte
}

// take sends the next frame.
func take(t testing.TB, u *Uplink) *taken {
	t.Helper()
	f, _ := u.out.next(time.Now())
	if f == nil {
		return nil
	}
	h, body, err := wire.ParseFrame(f.bytes)
	if err != nil {
		t.Fatal(err)
	}
	u.out.sent(f, time.Now(), true)
	return &taken{f, h, body}
}

// takeAll sends all that may leave.
func takeAll(t testing.TB, u *Uplink) (out []*taken) {
	t.Helper()
	for f := take(t, u); f != nil; f = take(t, u) {
		out = append(out, f)
	}
	return out
}

// settle gives a receipt.
func settle(u *Uplink, r wire.Receipt) { callAll(u.out.settle(r, time.Now())) }

func stored(u *Uplink, ids ...string) {
	for _, id := range ids {
		settle(u, wire.Receipt{ID: id, Status: wire.Stored})
	}
}

// told collects what became of documents.
type told struct {
	mu sync.Mutex
	m  map[string][]wire.Delivery
}

func (o *told) done(d wire.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.m == nil {
		o.m = map[string][]wire.Delivery{}
	}
	o.m[d.ID] = append(o.m[d.ID], d)
}

// of is the one word on a document, or nil.
func (o *told) of(t testing.TB, id string) *wire.Delivery {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.m[id]) > 1 {
		t.Fatalf("document %s was told %d times", id, len(o.m[id]))
	}
	if len(o.m[id]) == 0 {
		return nil
	}
	return &o.m[id][0]
}

func lane(t testing.TB, u *Uplink, run string) *Lane {
	t.Helper()
	l, err := u.Lane(t.Context(), run, "edge-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func small(item string, plain []byte) wire.Header {
	return wire.Header{ID: wire.NewID(), Item: item, CollectedAt: time.Now(), Outcome: "ok",
		SHA256: wire.Digest(plain), Size: int64(len(plain))}
}

func add(t testing.TB, l *Lane, item string, plain []byte, hold bool, o *told) string {
	t.Helper()
	h := small(item, plain)
	if err := l.Add(t.Context(), h, plain, hold, o.done); err != nil {
		t.Fatal(err)
	}
	return h.ID
}

func checkEmpty(t testing.TB, u *Uplink) {
	t.Helper()
	o := u.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.used() != 0 || o.out != 0 || o.lanes != 0 || len(o.docs)+len(o.parcels)+len(o.ready)+len(o.due) != 0 {
		t.Errorf("left behind: %+v, %d in the window, %d documents, %d parcels, %d frames to send, %d sent",
			o.budget, o.out, len(o.docs), len(o.parcels), len(o.ready), len(o.due))
	}
}

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

// opened is what stands in a frame.
func opened(t testing.TB, f *taken) []wire.Whole {
	t.Helper()
	a := wire.Assembler{MaxSize: 1 << 30}
	w, err := a.Add(time.Now(), f.Header, f.body)
	if err != nil || w == nil {
		t.Fatal(w, err)
	}
	docs, err := wire.Docs(*w)
	if err != nil {
		t.Fatal(err)
	}
	return docs
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

// stream writes a document in pieces.
func stream(t testing.TB, l *Lane, plain []byte, hold bool, o *told) (string, error) {
	t.Helper()
	h := small("big", plain)
	s, err := l.Stream(t.Context(), wire.Header{ID: h.ID, Item: h.Item, CollectedAt: h.CollectedAt}, hold)
	if err != nil {
		t.Fatal(err)
	}
	for p := range slices.Chunk(plain, 50_000) {
		if _, err := s.Write(p); err != nil {
			return h.ID, err
		}
	}
	return h.ID, s.Commit(h, o.done)
}

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
