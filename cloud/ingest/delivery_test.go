package ingest

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"lwc/cloud/edp"
	"lwc/testdata/smalldisk"
	"lwc/transport/wire"
)

func (k *kit) take(t testing.TB, s *Stream, kind wire.Kind, fs ...[]byte) {
	t.Helper()
	for _, f := range fs {
		if err := s.Take(t.Context(), kind, f); err != nil {
			t.Fatal(err)
		}
	}
}

// sent returns the receipts of one id in the order in which they left.
func (o *outbox) sentOf(t testing.TB, id string) (out []wire.Receipt) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.sent[wire.KindReceipt] {
		var m wire.Receipts
		if err := wire.Verify(wire.KindReceipt, b, o.pub, &m); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Receipts {
			if r.ID == id {
				out = append(out, r)
			}
		}
	}
	return out
}

// Each document of a shared frame has its own receipt, with and without a body.
func TestSharedFrames(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run := wire.NewID()
	k.take(t, s, wire.KindFact, k.sharedFrames(t, run, 3, 32, false)...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := k.out.receipts(t)
	for _, r := range got {
		if r.Status != wire.Stored {
			t.Errorf("%+v", r)
		}
	}
	if len(got) != 96 {
		t.Fatalf("%d receipts", len(got))
	}
	docs, err := k.store.Documents(t.Context(), edp.DocumentFilter{Run: run, Device: "edge-00001", Item: "item-07"})
	if err != nil || len(docs) != 1 {
		t.Fatal(docs, err)
	}
	old := docs[0]
	h := k.header(wire.NewID(), "edge-00001", "")
	h.ID = wire.NewID()
	list := []wire.Doc{
		{ID: wire.NewID(), Item: "item-07", SHA256: old.SHA256, Size: old.Size, Flags: []string{wire.FlagUnchanged}},
		{ID: wire.NewID(), Item: "item-08", SHA256: old.SHA256, Size: old.Size, Flags: []string{wire.FlagUnchanged}},
		{ID: wire.NewID(), Item: "item-09", SHA256: old.SHA256, Size: old.Size, Flags: []string{wire.FlagHeld}},
	}
	f, err := wire.SplitDocs(h, list, nil, wire.Packing{})
	if err != nil {
		t.Fatal(err)
	}
	k.take(t, s, wire.KindFact, f)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ = k.out.receipts(t)
	want := []wire.Receipt{{Status: wire.Stored}, {Status: wire.Rejected, Code: CodeBase}, {Status: wire.Offered}}
	for i, w := range want {
		w.ID = list[i].ID
		if got[w.ID] != w {
			t.Errorf("%s: %+v, want %+v", list[i].Item, got[w.ID], w)
		}
	}
}

// A shared frame whose bytes are not what it says is refused for each document.
func TestABadSharedFrameIsAnswered(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	f := k.sharedFrames(t, wire.NewID(), 1, 5, false)[0]
	h, body, err := wire.ParseFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	f[len(f)-len(body)/2] ^= 0x55
	if err := s.Take(t.Context(), wire.KindFact, f); err == nil {
		t.Fatal("a damaged frame was taken")
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := k.out.receipts(t)
	for _, d := range h.Docs {
		if r := got[d.ID]; r.Status != wire.Rejected || r.Code != CodeFrame || r.Retryable {
			t.Errorf("%+v", r)
		}
	}
}

// incompressible is what does not compress.
func incompressible(n int) []byte {
	b := make([]byte, n)
	crand.Read(b) //nolint:errcheck // it never fails
	return b
}

// A large document is kept part by part, and stored when the last is there.
func TestPartsAreKept(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	plain := incompressible(2 << 20)
	h := k.header(wire.NewID(), "edge-1", "show-big")
	fs := frames(t, h, plain)
	k.take(t, s, wire.KindFact, fs[:10]...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The connection broke, and the cloud was started anew.
	s = k.Stream(collector, &k.key.PublicKey)
	k.take(t, s, wire.KindFact, fs[10:]...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []wire.Receipt{{ID: h.ID, Status: wire.Kept, Parts: 10}, {ID: h.ID, Status: wire.Stored}}
	if got := k.out.sentOf(t, h.ID); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("receipts %+v, want %+v", got, want)
	}
	d, err := k.store.Document(t.Context(), h.ID)
	if err != nil || !bytes.Equal(d.Body, plain) {
		t.Errorf("%d bytes, %v", len(d.Body), err)
	}
}

// Frames of every form, shuffled and repeated, are each stored once.
func TestAnyOrderAnyNumber(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			src := rand.New(rand.NewPCG(seed, 1))
			k := newKit(t, nil)
			s := k.Stream(collector, &k.key.PublicKey)
			run, want := wire.NewID(), map[string][]byte{}
			fs := k.sharedFrames(t, run, 4, 8, false)
			for i := range 6 {
				h := k.header(run, "edge-1", fmt.Sprint("item-", i))
				want[h.ID] = incompressible(100 + i*i*30<<10)
				fs = append(fs, frames(t, h, want[h.ID])...)
			}
			fs = append(fs, fs...)
			src.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
			for _, f := range fs {
				k.take(t, s, wire.KindFact, f)
				if src.IntN(7) == 0 {
					if err := s.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, _ := k.out.receipts(t)
			for id, r := range got {
				if r.Status != wire.Stored && r.Status != wire.Duplicate {
					t.Errorf("%s: %+v", id, r)
				}
			}
			docs, err := k.store.Documents(t.Context(), edp.DocumentFilter{Run: run})
			if err != nil || len(docs) != 4*8+6 || len(got) != len(docs) {
				t.Fatalf("%d documents, %d receipts, %v", len(docs), len(got), err)
			}
			for id, b := range want {
				if d, err := k.store.Document(t.Context(), id); err != nil || !bytes.Equal(d.Body, b) {
					t.Errorf("%s: %d bytes, %v", id, len(d.Body), err)
				}
			}
		})
	}
}

// A frame that swells costs no more than its header may claim, and is refused.
func TestBombs(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 512<<20), nil)
	for name, claim := range map[string]int64{"small": 1000, "whole": wholeBytes, "large": 64 << 20, "honest": 512 << 20, "too much": 1 << 40} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, nil)
			s := k.Stream(collector, &k.key.PublicKey)
			h := k.header(wire.NewID(), "edge-1", "bomb")
			h.V, h.Enc, h.Parts, h.Size, h.SHA256 = wire.Version, wire.EncZstd, 1, claim, wire.Digest(nil)
			s.Take(t.Context(), wire.KindFact, rawFrame(t, h, bomb)) //nolint:errcheck // it is refused, which the receipt says
			s.Flush(t.Context())                                     //nolint:errcheck // the same
			got, _ := k.out.receipts(t)
			if r := got[h.ID]; r.Status != wire.Rejected || r.Retryable || (r.Code != CodeFrame && r.Code != CodeTooLarge) {
				t.Errorf("%+v", r)
			}
			if !k.memory.TryAcquire(k.cfg.Memory) {
				t.Error("some of the budget was not given back")
			}
		})
	}
}

func rawFrame(t testing.TB, h wire.Header, body []byte) []byte {
	t.Helper()
	head, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	n := len(head)
	f := append([]byte("LWF1"), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(append(f, head...), body...)
}

// While the disk is full all is answered as retryable and the window shrinks; with
// room again the same frames are stored, and the window grows.
func TestAFullDiskIsBackPressure(t *testing.T) {
	dir, inside := smalldisk.Dir(t, 24<<20)
	if !inside {
		return
	}
	k := newKitAt(t, filepath.Join(dir, "lwc.db"), nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run := wire.NewID()
	warm := k.header(run, "edge-1", "warm")
	k.take(t, s, wire.KindFact, frames(t, warm, []byte("<a/>"))...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	big := k.header(run, "edge-1", "big")
	body := incompressible(3 << 20)
	fs := frames(t, big, body)
	small := k.sharedFrames(t, run, 4, 32, false)
	free := smalldisk.Fill(t, dir)
	var failed error
	for range 8 {
		for _, f := range append(append([][]byte{}, fs...), small...) {
			failed = errors.Join(failed, s.Take(t.Context(), wire.KindFact, f))
		}
		failed = errors.Join(failed, s.Flush(t.Context()))
	}
	if !errors.Is(failed, edp.ErrUnavailable) {
		t.Fatalf("the disk is full and the error is %v", failed)
	}
	if w := s.Window(); w != minWindow {
		t.Errorf("the window is %d", w)
	}
	got, _ := k.out.receipts(t)
	if r := got[big.ID]; r.Status != wire.Kept && !r.Retryable {
		t.Errorf("a part while the disk is full: %+v", r)
	}
	free()
	k.take(t, s, wire.KindFact, fs...)
	k.take(t, s, wire.KindFact, small...)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ = k.out.receipts(t)
	for id, r := range got {
		if r.Status != wire.Stored && r.Status != wire.Duplicate {
			t.Errorf("%s with room again: %+v", id, r)
		}
	}
	if d, err := k.store.Document(t.Context(), big.ID); err != nil || !bytes.Equal(d.Body, body) {
		t.Errorf("%d bytes, %v", len(d.Body), err)
	}
	if s.Window() <= minWindow {
		t.Error("the window did not grow again")
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(1 << 20)
	w.committed(3 * time.Second)
	if w.now != 512<<10 {
		t.Errorf("after a slow commit: %d", w.now)
	}
	w.committed(time.Second)
	if w.now != 512<<10 {
		t.Errorf("after one that is neither slow nor fast: %d", w.now)
	}
	for range 10 {
		w.refused()
	}
	if w.now != minWindow {
		t.Errorf("at the least: %d", w.now)
	}
	for range 10 {
		w.committed(0)
	}
	if w.now != 1<<20 {
		t.Errorf("at the most: %d", w.now)
	}
	if small := newWindow(1000); small.now != 1000 {
		t.Errorf("a small one: %d", small.now)
	}
}

// Two boots of one id: each has receipts of its own.
func TestReceiptsAreOfTheirBoot(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	s.SetBoot(k.boot)
	run, byBoot := wire.NewID(), map[string]string{}
	for i := range 6 {
		h := k.header(run, "edge-1", fmt.Sprint("item-", i))
		if i%2 == 1 {
			h.Boot = "01JAAAAAAAAAAAAAAAAAAAAAAA"
		}
		byBoot[h.ID] = h.Boot
		k.take(t, s, wire.KindFact, frames(t, h, []byte("<a/>"))...)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range k.out.sent[wire.KindReceipt] {
		var m wire.Receipts
		if err := wire.Verify(wire.KindReceipt, b, k.out.pub, &m); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Receipts {
			if byBoot[r.ID] != m.Boot || r.Status != wire.Stored || m.WindowBytes != defaultWindow {
				t.Errorf("%+v in a batch of %s, window %d", r, m.Boot, m.WindowBytes)
			}
		}
	}
}
