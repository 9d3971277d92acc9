package edp_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	src := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(src.Uint32())
	}
	return b
}

// inParts makes the parts of a document as a collector sends them.
func inParts(t testing.TB, run string, plain []byte) []edp.Part {
	t.Helper()
	h := wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: site, Boot: wire.NewID(), Run: run,
		Device: "edge-1", Item: "show-big", CollectedAt: time.Now().UTC()}
	var out []edp.Part
	s := must[*wire.Splitter](t)(wire.NewSplitter(h, wire.Packing{}, func(f []byte) error {
		h, body, err := wire.ParseFrame(f)
		out = append(out, edp.Part{Header: h, Body: body, Max: 1 << 30})
		return err
	}))
	must[int](t)(s.Write(plain))
	ok(t, s.Finish(wire.Header{Outcome: "ok", SHA256: wire.Digest(plain)}))
	return out
}

func putParts(t testing.TB, s *edp.Store, parts ...edp.Part) []edp.PartStatus {
	t.Helper()
	_, st, err := s.Put(t.Context(), nil, parts)
	ok(t, err)
	return st
}

func finish(t testing.TB, s *edp.Store, id string) edp.PutStatus {
	t.Helper()
	return must[edp.PutStatus](t)(s.Finish(t.Context(), site, id, 1<<30))
}

func TestPartsInAnyOrderBecomeADocument(t *testing.T) {
	for _, c := range []struct {
		name  string
		order func(n int) []int
	}{
		{"in order", func(n int) []int { return upTo(n) }},
		{"each twice", func(n int) []int { return append(upTo(n-1), upTo(n)...) }},
		{"backwards", func(n int) (out []int) {
			for i := range n {
				out = append(out, n-1-i)
			}
			return out
		}},
		{"shuffled", func(n int) []int { return rand.New(rand.NewPCG(3, 4)).Perm(n) }},
	} {
		for _, batch := range []int{1, 5, 64} {
			t.Run(c.name, func(t *testing.T) {
				s := open(t)
				enrol(t, s, site)
				plain := noise(1 << 20)
				parts := inParts(t, wire.NewID(), plain)
				var last edp.PartStatus
				order := c.order(len(parts))
				for len(order) > 0 {
					var some []edp.Part
					for _, i := range order[:min(batch, len(order))] {
						some = append(some, parts[i])
					}
					order = order[len(some):]
					st := putParts(t, s, some...)
					last = st[len(st)-1]
					if last.Kept >= len(parts) {
						t.Fatalf("%d of %d parts are called kept before the whole is stored", last.Kept, len(parts))
					}
				}
				if last.Status != edp.PutWhole {
					t.Fatalf("the last part is %+v", last)
				}
				h := parts[0].Header
				if st := finish(t, s, h.ID); st != edp.PutStored {
					t.Fatal(st)
				}
				d := must[edp.Document](t)(s.Document(t.Context(), h.ID))
				if string(d.Body) != string(plain) || d.Size != int64(len(plain)) || d.Outcome != "ok" {
					t.Errorf("%d bytes, %+v", len(d.Body), d.Size)
				}
				if st := putParts(t, s, parts[2]); st[0].Status != edp.PutDuplicate {
					t.Errorf("a part that came late: %+v", st)
				}
				sound(t, s, h.Run)
			})
		}
	}
}

func upTo(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

func TestBadDocumentsInParts(t *testing.T) {
	bomb := func(t *testing.T, claimed int64) []edp.Part {
		enc := must[*zstd.Encoder](t)(zstd.NewWriter(nil))
		parts := inParts(t, wire.NewID(), noise(300<<10))
		h := parts[len(parts)-1].Header
		plain := make([]byte, 256<<20)
		h.Part, h.Parts, h.Size, h.SHA256 = 0, 1, claimed, wire.Digest(plain[:claimed])
		return []edp.Part{{Header: h, Body: enc.EncodeAll(plain, nil), Max: 1 << 30}}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T) []edp.Part
		want edp.PutStatus
	}{
		"another hash": {func(t *testing.T) []edp.Part {
			p := inParts(t, wire.NewID(), noise(1<<20))
			p[len(p)-1].Header.SHA256 = wire.Digest(nil)
			return p
		}, edp.PutMalformed},
		"a damaged part": {func(t *testing.T) []edp.Part {
			p := inParts(t, wire.NewID(), noise(1<<20))
			p[3].Body = append([]byte("x"), p[3].Body[1:]...)
			return p
		}, edp.PutMalformed},
		"a size that is too small": {func(t *testing.T) []edp.Part {
			p := inParts(t, wire.NewID(), noise(1<<20))
			p[len(p)-1].Header.Size--
			return p
		}, edp.PutMalformed},
		"larger than any may be": {func(t *testing.T) []edp.Part {
			p := inParts(t, wire.NewID(), noise(1<<20))
			for i := range p {
				p[i].Max = 600 << 10
			}
			return p
		}, edp.PutTooLarge},
		"a bomb":                  {func(t *testing.T) []edp.Part { return bomb(t, 256<<20) }, edp.PutTooLarge},
		"a bomb of a small claim": {func(t *testing.T) []edp.Part { return bomb(t, 2<<20) }, edp.PutMalformed},
		"more parts than it says": {func(t *testing.T) []edp.Part {
			p := inParts(t, wire.NewID(), noise(1<<20))
			p[4].Header.Parts = 3
			p[4].Header.Part = 2
			return append(p[:2:2], p[5], p[4])
		}, edp.PutMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			enrol(t, s, site)
			parts := c.make(t)
			id := parts[0].Header.ID
			var got edp.PutStatus
			for _, p := range parts {
				if got = putParts(t, s, p)[0].Status; got == edp.PutWhole {
					got = finish(t, s, id)
				}
				if got != edp.PutKept {
					break
				}
			}
			if got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			if n := must[int](t)(s.PartsLeft(t.Context())); n != 0 {
				t.Errorf("%d rows of it are left", n)
			}
			if _, err := s.DocumentInfo(t.Context(), id); !errors.Is(err, edp.ErrNotFound) {
				t.Errorf("it can be read: %v", err)
			}
		})
	}
}

// A sender that was told of kept parts does not have them any more: a gap that
// stays is told, and is not waited for.
func TestPartsThatWereLostAreTold(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	parts := inParts(t, wire.NewID(), noise(1<<20))
	now := time.Now()
	tail := parts[4:]
	for i := range tail {
		tail[i].ReceivedAt = now
	}
	for _, st := range putParts(t, s, tail...) {
		if st.Status != edp.PutKept || st.Kept != 0 {
			t.Fatalf("behind a gap: %+v", st)
		}
	}
	// A cloud that is overrun may drop the same frame twice.
	for _, after := range []time.Duration{30 * time.Second, 90 * time.Second} {
		tail[0].ReceivedAt = now.Add(after)
		if st := putParts(t, s, tail[0])[0]; st.Status != edp.PutKept {
			t.Fatalf("again, after %v: %+v", after, st)
		}
	}
	tail[0].ReceivedAt = now.Add(450 * time.Second)
	if st := putParts(t, s, tail[0])[0]; st.Status != edp.PutLost {
		t.Fatalf("again, after 450 s: %+v", st)
	}
	if n := must[int](t)(s.PartsLeft(t.Context())); n != 0 {
		t.Errorf("%d rows of it are left", n)
	}
}

func TestUnfinishedDocumentsAreForgottenAfterADay(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	parts := inParts(t, wire.NewID(), noise(1<<20))
	putParts(t, s, parts[:3]...)
	ok(t, s.ForgetUnfinishedAt(t.Context(), time.Now().Add(23*time.Hour)))
	if n := must[int](t)(s.PartsLeft(t.Context())); n != 4 {
		t.Fatalf("%d rows after 23 hours", n)
	}
	ok(t, s.ForgetUnfinishedAt(t.Context(), time.Now().Add(25*time.Hour)))
	if n := must[int](t)(s.PartsLeft(t.Context())); n != 0 {
		t.Fatalf("%d rows after 25 hours", n)
	}
}

// Parts of another collector, under the same id, are another document.
func TestPartsOfAnotherCollectorAreApart(t *testing.T) {
	s := open(t)
	enrol(t, s, site, other)
	parts := inParts(t, wire.NewID(), noise(1<<20))
	for i, p := range parts {
		evil := p
		evil.Header.Collector, evil.Header.Run, evil.Body = other, "01JZZZZZZZZZZZZZZZZZZZZZZZ", noise(10)
		if i == 2 {
			evil.Header.Run = p.Header.Run // a run that is not its own
			if st := putParts(t, s, evil)[0]; st.Status != edp.PutRefused {
				t.Errorf("into a run of another: %+v", st)
			}
			evil.Header.Run = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
		}
		putParts(t, s, evil, p)
	}
	if st := finish(t, s, parts[0].Header.ID); st != edp.PutStored {
		t.Fatal(st)
	}
}

// Neither taking nor reading a large document takes memory by its size.
func TestLargeDocumentsTakeNoMemory(t *testing.T) {
	const size = 192 << 20
	s := open(t)
	enrol(t, s, site)
	h := wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: site, Boot: wire.NewID(), Run: wire.NewID(),
		Device: "edge-1", Item: "show-big", CollectedAt: time.Now().UTC()}
	block, sum := noise(1<<20), sha256.New()
	var last edp.PutStatus
	split := must[*wire.Splitter](t)(wire.NewSplitter(h, wire.Packing{}, func(f []byte) error {
		h, body, err := wire.ParseFrame(f)
		if err == nil {
			last = putParts(t, s, edp.Part{Header: h, Body: body, Max: 1 << 30})[0].Status
		}
		return err
	}))
	for i := range block {
		block[i] = "0123456789abcdef"[block[i]&15] // compresses by half
	}
	runtime.GC() // of what other tests left
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var most uint64
	watch := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
	}
	for n := 0; n < size; n += len(block) {
		sum.Write(block)
		must[int](t)(split.Write(block))
		watch()
	}
	want := hex.EncodeToString(sum.Sum(nil))
	ok(t, split.Finish(wire.Header{Outcome: "ok", SHA256: want}))
	if last != edp.PutWhole || finish(t, s, h.ID) != edp.PutStored {
		t.Fatal(last)
	}
	watch()
	d, r, err := s.OpenDocument(t.Context(), h.ID)
	ok(t, err)
	defer r.Close()
	sum.Reset()
	for buf := make([]byte, 1<<20); err == nil; {
		var n int
		n, err = r.Read(buf)
		sum.Write(buf[:n])
		watch()
	}
	if err != io.EOF || hex.EncodeToString(sum.Sum(nil)) != want || d.Size != size {
		t.Errorf("reading: %v, %d bytes", err, d.Size)
	}
	if most > before.HeapInuse+64<<20 {
		t.Errorf("the heap grew to %d MiB", most>>20)
	}
}
