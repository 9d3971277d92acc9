package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

const collector = "collector-alpha"

// outbox is a Publisher that keeps what is published.
type outbox struct {
	mu   sync.Mutex
	pub  ed25519.PublicKey
	sent map[wire.Kind][][]byte
}

func (o *outbox) Publish(_ context.Context, topic string, payload []byte) error {
	_, _, k, err := wire.Topics{}.Parse(topic)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[k] = append(o.sent[k], payload)
	return nil
}

// receipts returns the receipts so far, and how many batches they came in.
func (o *outbox) receipts(t testing.TB) (map[string]wire.Receipt, int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	got := map[string]wire.Receipt{}
	for _, b := range o.sent[wire.KindReceipt] {
		var m wire.Receipts
		if err := wire.Verify(wire.KindReceipt, b, o.pub, &m); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Receipts {
			got[r.ID] = r
		}
	}
	return got, len(o.sent[wire.KindReceipt])
}

type kit struct {
	*Ingest
	store *edp.Store
	out   *outbox
	key   *ecdsa.PrivateKey
	boot  string
}

func newKit(t testing.TB, change func(*Config)) *kit {
	t.Helper()
	return newKitAt(t, filepath.Join(t.TempDir(), "lwc.db"), change)
}

func newKitAt(t testing.TB, path string, change func(*Config)) *kit {
	t.Helper()
	store, err := edp.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Enrolled(t.Context(), edp.Enrolment{Collector: collector, Serial: "1",
		SPKI: base64.StdEncoding.EncodeToString(spki), NotAfter: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	pub, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{store: store, key: key, boot: wire.NewID(), out: &outbox{pub: pub, sent: map[wire.Kind][][]byte{}}}
	cfg := Config{Store: store, Bus: k.out, Key: signer}
	if change != nil {
		change(&cfg)
	}
	if k.Ingest, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kit) header(run, device, item string) wire.Header {
	return wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: collector, Boot: k.boot, Run: run,
		Device: device, Item: item, CollectedAt: time.Now().UTC(), Outcome: "ok"}
}

func frames(t testing.TB, h wire.Header, plain []byte) [][]byte {
	t.Helper()
	fs, err := wire.Split(h, plain, wire.Packing{})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// Receipts come after the commit: at the 64th document, or with Flush.
func TestReceiptsFollowTheCommit(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	if !s.Deadline().IsZero() {
		t.Error("an empty stream has a deadline")
	}
	run, last := wire.NewID(), ""
	for i := range maxBatch {
		if got, _ := k.out.receipts(t); len(got) != 0 {
			t.Fatalf("%d receipts after %d documents", len(got), i)
		}
		h := k.header(run, "edge-1", "item-"+wire.NewID())
		last = h.ID
		for _, f := range frames(t, h, []byte("<a/>")) {
			if err := s.Take(t.Context(), wire.KindFact, f); err != nil {
				t.Fatal(err)
			}
		}
		if left := time.Until(s.Deadline()); i < maxBatch-1 && (left > maxDelay || left < -5*time.Second) {
			t.Fatalf("the deadline is in %v", left)
		}
	}
	if got, batches := k.out.receipts(t); len(got) != maxBatch || batches != 1 || got[last].Status != wire.Stored {
		t.Errorf("%d receipts in %d batches", len(got), batches)
	}
	if !s.Deadline().IsZero() {
		t.Error("a flushed stream has a deadline")
	}
}

// Many streams with large documents share a small budget: none waits for ever,
// and all is stored.
func TestStreamsShareTheMemoryBudget(t *testing.T) {
	const size = 1 << 20
	k := newKit(t, nil)
	if !k.memory.TryAcquire(k.cfg.Memory - 2*size) {
		t.Fatal("no memory at all")
	}
	defer k.memory.Release(k.cfg.Memory - 2*size)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s := k.Stream(collector, &k.key.PublicKey)
			run := wire.NewID()
			for range 4 {
				h := k.header(run, "edge-1", "item-"+wire.NewID())
				for _, f := range frames(t, h, make([]byte, size)) {
					if err := s.Take(t.Context(), wire.KindFact, f); err != nil {
						t.Error(err)
					}
				}
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, _ := k.out.receipts(t)
	for id, r := range got {
		if r.Status != wire.Stored {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if len(got) != 24 {
		t.Errorf("%d receipts", len(got))
	}
	if !k.memory.TryAcquire(2 * size) {
		t.Error("some of the budget was not given back")
	}
	k.memory.Release(2 * size)
}

// The budget is given back whatever happens to a frame.
func TestBudgetSurvivesBadFrames(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run := wire.NewID()
	body := make([]byte, 600<<10)
	rand.Read(body) //nolint:errcheck // it never fails
	for range 3 {
		h := k.header(run, "edge-1", "item")
		fs := frames(t, h, body)
		for i, f := range fs[:len(fs)-1] {
			f[len(f)-1] ^= byte(i)                // some parts are damaged, the last is missing
			s.Take(t.Context(), wire.KindFact, f) //nolint:errcheck // bad on purpose
		}
		for _, f := range frames(t, wire.Header{ID: h.ID, Type: wire.KindRun, Collector: collector, Boot: k.boot, Run: run}, body) {
			s.Take(t.Context(), wire.KindRun, f) //nolint:errcheck // bad on purpose
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !k.memory.TryAcquire(k.cfg.Memory) {
		t.Error("some of the budget was not given back")
	}
}

// A document that cannot be stored does not hold up those of its batch.
func TestForeignRunIsRefusedAlone(t *testing.T) {
	k := newKit(t, nil)
	if err := k.store.Enrolled(t.Context(), edp.Enrolment{Collector: "collector-beta", Serial: "2",
		SPKI: base64.StdEncoding.EncodeToString([]byte("another")), NotAfter: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	theirs := wire.NewID()
	if _, err := k.store.PutDocuments(t.Context(), []edp.Document{{ID: wire.NewID(), Collector: "collector-beta",
		Boot: k.boot, Run: theirs, Device: "x", Item: "y", SHA256: wire.Digest(nil)}}); err != nil {
		t.Fatal(err)
	}
	s := k.Stream(collector, &k.key.PublicKey)
	bad, good := k.header(theirs, "edge-1", "a"), k.header(wire.NewID(), "edge-1", "a")
	for _, h := range []wire.Header{bad, good} {
		for _, f := range frames(t, h, []byte("<a/>")) {
			if err := s.Take(t.Context(), wire.KindFact, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := k.out.receipts(t)
	if got[good.ID].Status != wire.Stored || got[bad.ID].Status != wire.Rejected || got[bad.ID].Code != CodeRefused {
		t.Errorf("receipts %+v", got)
	}
}

// Receipts of two boots never share a message: each is addressed to one.
func TestReceiptsAreOfOneBoot(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run := wire.NewID()
	for range 2 {
		h := k.header(run, "edge-1", "item-"+wire.NewID())
		for _, f := range frames(t, h, []byte("<a/>")) {
			if err := s.Take(t.Context(), wire.KindFact, f); err != nil {
				t.Fatal(err)
			}
		}
		k.boot = wire.NewID()
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, batches := k.out.receipts(t); len(got) != 2 || batches != 2 {
		t.Errorf("%d receipts in %d batches", len(got), batches)
	}
}

// A manifest of many missing documents is answered in pieces that fit a frame.
func TestNeedsAreSplit(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	m := wire.Manifest{V: wire.Version, Collector: collector, Boot: k.boot, Run: wire.NewID()}
	for range maxNeed + 1 {
		m.Documents = append(m.Documents, wire.ManifestEntry{ID: wire.NewID(), Device: "d", Item: "i" + wire.NewID(), Status: wire.EntryStored})
	}
	plain, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := wire.Split(wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: collector, Boot: k.boot, Run: m.Run},
		plain, wire.Packing{Key: k.key})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		if err := s.Take(t.Context(), wire.KindRun, f); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, b := range k.out.sent[wire.KindNeed] {
		var n wire.Need
		if err := wire.Verify(wire.KindNeed, b, k.out.pub, &n); err != nil {
			t.Fatal(err)
		}
		total += len(n.IDs)
	}
	if total != maxNeed+1 || len(k.out.sent[wire.KindNeed]) != 2 {
		t.Errorf("%d ids in %d messages", total, len(k.out.sent[wire.KindNeed]))
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	k := newKit(t, nil)
	if !k.memory.TryAcquire(k.cfg.Memory) {
		t.Fatal("no memory at all")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := k.Stream(collector, &k.key.PublicKey)
	f := frames(t, k.header(wire.NewID(), "edge-1", "a"), make([]byte, 1<<20))[0]
	if err := s.Take(ctx, wire.KindFact, f); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an empty config was taken")
	}
}

// memoryDir is a folder in memory where there is one: a commit to a disk takes 20
// times as long as all else that becomes of a frame.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lwc-ingest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FuzzTake gives a stream any bytes as a frame. Whatever they are, the budget is
// whole afterwards, and every receipt names an id of the protocol.
func FuzzTake(f *testing.F) {
	k := newKitAt(f, filepath.Join(memoryDir(f), "lwc.db"), func(c *Config) { c.MaxDocument, c.Memory = 1<<20, 2<<20 })
	run := wire.NewID()
	f.Add(true, frames(f, k.header(run, "edge-1", "show-version"), []byte("<a><host-name>x</host-name></a>"))[0])
	f.Add(true, []byte(`LWF1`+"\x00\x00\x00\x02{}"))
	f.Add(true, []byte("LWF1\x00\x00\x00\x60"+`{"v":2,"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","boot":"01ARZ3NDEKTSV4RRFFQ69G5FAV","type":"fact"}`))
	m, err := wire.Split(wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: collector, Boot: k.boot, Run: run},
		[]byte(`{"v":1}`), wire.Packing{Key: k.key})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(false, m[0])
	f.Add(true, k.sharedFrames(f, wire.NewID(), 1, 3, false)[0])
	f.Add(true, k.sharedFrames(f, wire.NewID(), 1, 3, true)[0])
	for _, fr := range frames(f, k.header(wire.NewID(), "edge-1", "a"), incompressible(200<<10)) {
		f.Add(true, fr)
	}
	f.Fuzz(func(t *testing.T, fact bool, frame []byte) {
		kind := wire.KindRun
		if fact {
			kind = wire.KindFact
		}
		s := k.Stream(collector, &k.key.PublicKey)
		s.Take(t.Context(), kind, frame) //nolint:errcheck // most are bad
		s.Flush(t.Context())             //nolint:errcheck // what it says is in the receipts
		if !k.memory.TryAcquire(k.cfg.Memory) {
			t.Fatal("some of the budget was not given back")
		}
		k.memory.Release(k.cfg.Memory)
		got, _ := k.out.receipts(t)
		for id := range got {
			if wire.CheckID(id) != nil {
				t.Errorf("a receipt of %q", id)
			}
		}
		k.out.sent = map[wire.Kind][][]byte{}
	})
}
