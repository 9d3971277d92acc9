package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"strings"
	"testing"

	"lwc/transport/wire"
)

// Outcomes, flags and hashes end up on terminals: they are words.
func TestWordsOfAHeader(t *testing.T) {
	k := newKit(t, nil)
	for name, change := range map[string]func(*wire.Header){
		"an outcome":   func(h *wire.Header) { h.Outcome = "\x1b[2J" },
		"a long one":   func(h *wire.Header) { h.Outcome = strings.Repeat("a", 41) },
		"a flag":       func(h *wire.Header) { h.Flags = []string{"masked", "a b"} },
		"a hash":       func(h *wire.Header) { h.Flags, h.SHA256 = []string{wire.FlagHeld}, strings.Repeat("\x1b", 64) },
		"a raw hash":   func(h *wire.Header) { h.RawSHA256 = "no" },
		"a raw size":   func(h *wire.Header) { h.RawSize = -1 << 63 },
		"an item":      func(h *wire.Header) { h.Item = "../a" },
		"no item":      func(h *wire.Header) { h.Item = "" },
		"a bad device": func(h *wire.Header) { h.Device = "a/b" },
	} {
		s := k.Stream(collector, &k.key.PublicKey)
		h := k.header(wire.NewID(), "edge-1", "a")
		change(&h)
		d := wire.DocOf(h)
		if err := checkDocument(h.Device, d); err == nil {
			t.Errorf("%s is taken", name)
		}
		h.Type = wire.KindFact
		if err := s.check(wire.KindFact, h); err == nil {
			t.Errorf("%s is taken in a frame", name)
		}
	}
}

// A document that cannot be checked says nothing about the others of its batch:
// they are on disk, and have one answer.
func TestAFailedCheckIsOfItsDocumentAlone(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	run := wire.NewID()
	big, small := k.header(run, "edge-1", "big"), k.header(run, "edge-1", "small")
	fs := frames(t, big, incompressible(300<<10))
	k.take(t, s, wire.KindFact, fs...)
	k.take(t, s, wire.KindFact, frames(t, small, []byte("<a/>"))...)
	docs, parts := s.docs, s.parts
	s.docs, s.parts = nil, nil
	whole, err := s.store(t.Context(), docs, parts)
	if err != nil || len(whole) != 1 || whole[0].ID != big.ID {
		t.Fatalf("%d whole, %v", len(whole), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.finishAll(gone, whole); err == nil {
		t.Error("it was finished without a store")
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.out.sentOf(t, small.ID); len(got) != 1 || got[0].Status != wire.Stored {
		t.Errorf("the small one: %+v", got)
	}
	if got := k.out.sentOf(t, big.ID); len(got) != 1 || got[0].Code != CodeStore || !got[0].Retryable {
		t.Errorf("the large one: %+v", got)
	}
	k.take(t, s, wire.KindFact, fs[len(fs)-1]) // as its sender does
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.out.sentOf(t, big.ID); got[len(got)-1].Status != wire.Stored {
		t.Errorf("the large one again: %+v", got)
	}
}

// A manifest that comes right behind its documents finds them, though they wait for
// their batch.
func TestAManifestBehindItsDocuments(t *testing.T) {
	k := newKit(t, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	h := k.header(wire.NewID(), "edge-1", "a")
	k.take(t, s, wire.KindFact, frames(t, h, []byte("<a/>"))...)
	id, f := k.manifest(t, wire.Manifest{Run: h.Run, Section: 1, Last: true, Documents: []wire.ManifestEntry{
		{ID: h.ID, Device: h.Device, Item: h.Item, Status: wire.EntryStored}}})
	k.take(t, s, wire.KindRun, f)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.out.sentOf(t, id); len(got) != 1 || got[0].Status != wire.Complete || len(k.out.sent[wire.KindNeed]) != 0 {
		t.Errorf("%+v, %d needs", got, len(k.out.sent[wire.KindNeed]))
	}
}

// A body in any encoding, sealed or not, is read again as it was.
func TestEveryEncodingIsReadAgain(t *testing.T) {
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, func(c *Config) { c.IngestKey = key })
	s := k.Stream(collector, &k.key.PublicKey)
	body := bytes.Repeat([]byte("<a>b</a>"), 100)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(body); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	var ids []string
	for enc, b := range map[string][]byte{wire.EncIdentity: body, wire.EncGzip: packed.Bytes()} {
		h := k.header(wire.NewID(), "edge-1", enc)
		h.V, h.Enc, h.Parts, h.Size, h.SHA256 = wire.Version, enc, 1, int64(len(body)), wire.Digest(body)
		if err := s.whole(t.Context(), h, b); err != nil {
			t.Fatal(enc, err)
		}
		ids = append(ids, h.ID)
	}
	h := k.header(wire.NewID(), "edge-1", "sealed")
	sealed, err := wire.Seal(frames(t, h, body)[0], key.Public())
	if err != nil {
		t.Fatal(err)
	}
	k.take(t, s, wire.KindFact, sealed)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range append(ids, h.ID) {
		if d, err := k.store.Document(t.Context(), id); err != nil || !bytes.Equal(d.Body, body) {
			t.Errorf("%s: %d bytes, %v", id, len(d.Body), err)
		}
	}
}
