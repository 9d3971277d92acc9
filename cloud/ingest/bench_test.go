package ingest

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"lwc/transport/wire"
)

// sharedFrames makes frames of docs documents each, for devices devices.
func (k *kit) sharedFrames(t testing.TB, run string, devices, docs int, unchanged bool) [][]byte {
	t.Helper()
	var out [][]byte
	for d := range devices {
		h := wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: collector, Boot: k.boot, Run: run, Device: fmt.Sprintf("edge-%05d", d)}
		var list []wire.Doc
		var plain []byte
		for i := range docs {
			body := fmt.Appendf(nil, "<rpc-reply><of>%d %d</of>%0400d</rpc-reply>", d, i, i)
			one := wire.Doc{ID: wire.NewID(), Item: fmt.Sprintf("item-%02d", i), CollectedAt: time.Now().UTC(), Outcome: "ok",
				SHA256: wire.Digest(body), Size: int64(len(body))}
			if unchanged {
				one.Flags = []string{wire.FlagUnchanged}
			} else {
				plain = append(plain, body...)
			}
			list = append(list, one)
		}
		f, err := wire.SplitDocs(h, list, plain, wire.Packing{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// BenchmarkUnchanged tells how many unchanged documents a second one collector can
// have stored.
func BenchmarkUnchanged(b *testing.B) {
	k := newKit(b, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	take := func(frames [][]byte) {
		for _, f := range frames {
			if err := s.Take(b.Context(), wire.KindFact, f); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	const devices, docs = 500, 20
	begun := time.Now()
	take(k.sharedFrames(b, wire.NewID(), devices, docs, false))
	b.ReportMetric(devices*docs/time.Since(begun).Seconds(), "new/s")
	n := 0
	for b.Loop() {
		b.StopTimer()
		frames := k.sharedFrames(b, wire.NewID(), devices, docs, true)
		b.StartTimer()
		take(frames)
		n += devices * docs
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "unchanged/s")
}

// BenchmarkLarge tells how fast a document in parts goes through.
func BenchmarkLarge(b *testing.B) {
	k := newKit(b, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	body := make([]byte, 32<<20)
	rand.Read(body[:8<<20]) //nolint:errcheck // it never fails
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		h := k.header(wire.NewID(), "edge-1", "big")
		for _, f := range frames(b, h, body) {
			if err := s.Take(b.Context(), wire.KindFact, f); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	got, _ := k.out.receipts(b)
	for _, r := range got {
		if r.Status != wire.Stored {
			b.Fatalf("%+v", r)
		}
	}
}

// BenchmarkNew tells how fast documents come through that have not been there.
func BenchmarkNew(b *testing.B) {
	k := newKit(b, nil)
	s := k.Stream(collector, &k.key.PublicKey)
	var body []byte
	for i := 0; len(body) < 100<<10; i++ {
		body = fmt.Appendf(body, "<entry><name>ge-0/0/%d</name><counter>%d</counter></entry>\n", i, i*i*7919)
	}
	b.SetBytes(int64(50 * len(body)))
	for b.Loop() {
		b.StopTimer()
		var fs [][]byte
		run := wire.NewID()
		for i := range 50 {
			fs = append(fs, frames(b, k.header(run, "edge-1", fmt.Sprint("i", i)), body)...)
		}
		b.StartTimer()
		for _, f := range fs {
			if err := s.Take(b.Context(), wire.KindFact, f); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
