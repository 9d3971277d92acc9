package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
	"time"

	"lwc/transport/wire"
)

// A document larger than the budget passes through it, over a line that dies in
// the middle: what the cloud has kept is not sent again.
func TestLargerThanTheBudget(t *testing.T) {
	s := newSite(t)
	p := newProxy(t, s.broker)
	s.cloud.keeps.Store(true)
	u := newUplink(t, identityOf(s.ca, s.pub, p.addr), newRecorder())
	u.SetBudget(leastBudget)
	start(t, u)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	l, err := u.Lane(ctx, wire.NewID(), "edge-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{ID: wire.NewID(), Item: "large"}
	st, err := l.Stream(ctx, h, false)
	if err != nil {
		t.Fatal(err)
	}
	const size, piece = 24 << 20, 256 << 10
	sum, most := sha256.New(), int64(0)
	for n := 0; n < size; n += piece {
		if n == size/2 {
			p.cut()
		}
		if _, err := io.MultiWriter(sum, st).Write(noise(piece)); err != nil {
			t.Fatal(err)
		}
		used, _, _ := u.Budget()
		most = max(most, used)
	}
	got := make(chan wire.Delivery, 2)
	if err := st.Commit(wire.Header{SHA256: hex.EncodeToString(sum.Sum(nil))}, func(d wire.Delivery) { got <- d }); err != nil {
		t.Fatal(err)
	}
	l.Close()
	w := wait(t, s.cloud.whole, "the document at the cloud")
	if d := wait(t, got, "its receipt"); d.Status != wire.Stored || w.Size != size || w.ID != h.ID {
		t.Fatalf("told %+v, the cloud has %d bytes", d, w.Size)
	}
	c := u.Delivery()
	if most > leastBudget || c.Again == 0 || c.Again > c.Frames/3 {
		t.Errorf("%d bytes were in use, %d frames of %d were sent again", most, c.Again, c.Frames)
	}
	t.Logf("%d frames, %d again, %d parts kept, %d waits, %d bytes in use", c.Frames, c.Again, c.Kept, c.Waits, most)
}

// The cloud makes the window smaller while it is busy, with every batch.
func TestReceiptsChangeTheWindow(t *testing.T) {
	s := newSite(t)
	s.cloud.limits.WindowBytes = 256 << 10
	s.cloud.receipts.Store(false)
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), newRecorder())
	start(t, u)
	for range 6 {
		published(t, u, doc(""), noise(100<<10))
	}
	var ids []string
	for range 2 {
		ids = append(ids, wait(t, s.cloud.whole, "a document").ID)
	}
	fence(t, s, u)
	none(t, s.cloud.whole, "the window let more out")
	window := func(n int64, ids ...string) {
		m := wire.Receipts{V: wire.Version, Collector: collectorID, Boot: u.Boot(), WindowBytes: n}
		for _, id := range ids {
			m.Receipts = append(m.Receipts, wire.Receipt{ID: id, Status: wire.Stored})
		}
		s.cloud.send(wire.KindReceipt, m, s.config)
	}
	window(120<<10, ids...)
	wait(t, s.cloud.whole, "one more")
	fence(t, s, u)
	none(t, s.cloud.whole, "the smaller window let more out")
	window(8 << 20)
	for range 3 {
		wait(t, s.cloud.whole, "the others")
	}
	none(t, s.cloud.whole, "there is more than was published")
}

// Held documents over a real line: the offer has no body; what is released comes
// whole, sealed to the key of the connection that carries it.
func TestHeldOverTheLine(t *testing.T) {
	s := newSite(t)
	p := newProxy(t, s.broker)
	u := newUplink(t, identityOf(s.ca, s.pub, p.addr), newRecorder())
	start(t, u)
	l, err := u.Lane(t.Context(), wire.NewID(), "edge-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte("<configuration/>")
	h, got := small("show-configuration", plain), make(chan wire.Delivery, 4)
	for _, item := range []string{"approved", "declined"} {
		h := h
		h.ID, h.Item = wire.NewID(), item
		if err := l.Add(t.Context(), h, plain, true, func(d wire.Delivery) { got <- d }); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	yes, no := wait(t, s.cloud.whole, "an offer"), wait(t, s.cloud.whole, "an offer")
	if yes.Plain != nil || no.Plain != nil || yes.SHA256 != h.SHA256 {
		t.Fatalf("offered are %+v and %+v", yes, no)
	}
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	s.cloud.mu.Lock()
	s.cloud.ingest, s.cloud.parts.Key = key.Public(), key
	s.cloud.mu.Unlock()
	p.cut() // the next connection has a key
	wait(t, s.cloud.hellos, "the first hello")
	wait(t, s.cloud.hellos, "another hello")
	s.cloud.send(wire.KindNeed, wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(),
		Release: []string{yes.ID, wire.NewID()}, Decline: []string{no.ID}}, s.config)
	if d := wait(t, got, "the word on the declined one"); d.ID != no.ID || d.Status != wire.Withheld || d.Code != codeDeclined {
		t.Errorf("told %+v", d)
	}
	w := wait(t, s.cloud.whole, "the approved one")
	if w.ID != yes.ID || !bytes.Equal(w.Plain, plain) || w.Enc != wire.EncZstd+wire.SealedSuffix {
		t.Errorf("released came %+v", w.Header)
	}
	if d := wait(t, got, "its receipt"); d.ID != yes.ID || d.Status != wire.Stored {
		t.Errorf("told %+v", d)
	}
	eventually(t, "nothing is left", func() bool { used, _, _ := u.Budget(); return used == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
