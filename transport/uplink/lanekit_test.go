package uplink

import (
	"slices"
	"sync"
	"testing"
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
	if o.used() != 0 || o.out != 0 || o.lanes != 0 || o.frames != 0 || len(o.docs)+len(o.parcels)+len(o.ready)+len(o.due) != 0 {
		t.Errorf("left behind: %+v, %d in the window, %d documents, %d parcels, %d frames to send, %d sent",
			o.budget, o.out, len(o.docs), len(o.parcels), len(o.ready), len(o.due))
	}
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
