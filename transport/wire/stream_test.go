package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func streamed(t *testing.T, plain []byte, p Packing, step int) [][]byte {
	t.Helper()
	var frames [][]byte
	h := Header{ID: NewID(), Boot: NewID(), Collector: "lwc-test-0001", Type: KindFact, Seq: 7}
	s, err := NewSplitter(h, p, func(f []byte) error { frames = append(frames, f); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(plain, step) {
		if n, err := s.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := s.Finish(Header{Outcome: "ok", SHA256: Digest(plain), Flags: []string{FlagMasked}, RawSHA256: "ab", RawSize: 3}); err != nil {
		t.Fatal(err)
	}
	if s.Sent() != len(frames) {
		t.Errorf("%d frames were sent, it says %d", len(frames), s.Sent())
	}
	return frames
}

// assemble puts frames together in a random order.
func assemble(t *testing.T, frames [][]byte, key BootKey) *Whole {
	t.Helper()
	a := Assembler{MaxSize: 1 << 30, Key: key}
	var whole *Whole
	for _, i := range rand.Perm(len(frames)) {
		if len(frames[i]) > MaxFrame {
			t.Errorf("frame %d has %d bytes", i, len(frames[i]))
		}
		h, body, err := ParseFrame(frames[i])
		if err != nil {
			t.Fatal(err)
		}
		w, err := a.Add(time.Now(), h, body)
		if err != nil {
			t.Fatal(err)
		}
		if w != nil {
			whole = w
		}
	}
	if whole == nil {
		t.Fatal("the document is not whole")
	}
	return whole
}

func TestSplitterMakesWhatTheAssemblerTakes(t *testing.T) {
	key, err := NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	plains := map[string][]byte{"empty": nil, "one byte": []byte("x"), "a block": bytes.Repeat([]byte("0123456789abcdef"), blockSize/16),
		"a block and a byte": bytes.Repeat([]byte("x"), blockSize+1), "text": bytes.Repeat([]byte("<a>interface</a>\n"), 200_000), "noise": noise(3*MaxFrame + 17)}
	for name, plain := range plains {
		for _, p := range []Packing{{}, {SealTo: key.Public()}, {MaxFrame: 8 << 10}} {
			w := assemble(t, streamed(t, plain, p, 70_001), key)
			if !bytes.Equal(w.Plain, plain) || w.Size != int64(len(plain)) {
				t.Errorf("%s came back as %d bytes, not %d", name, len(w.Plain), len(plain))
			}
			if w.Outcome != "ok" || w.RawSHA256 != "ab" || w.RawSize != 3 || !slices.Equal(w.Flags, []string{FlagMasked}) {
				t.Errorf("%s lost what was known at its end: %+v", name, w.Header)
			}
		}
	}
}

func TestSplitterSaysTheCountOnlyAtTheEnd(t *testing.T) {
	frames := streamed(t, noise(4*MaxFrame), Packing{}, 1<<20)
	for i, f := range frames {
		h, _, err := ParseFrame(f)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if i == len(frames)-1 {
			want = len(frames)
		}
		if h.Part != i || h.Parts != want {
			t.Errorf("frame %d is part %d of %d, not of %d", i, h.Part, h.Parts, want)
		}
	}
}

func TestSmallDocumentIsOneFrame(t *testing.T) {
	if n := len(streamed(t, bytes.Repeat([]byte("<re-name>node0</re-name>\n"), 40_000), Packing{}, 4096)); n != 1 {
		t.Errorf("a megabyte that compresses well makes %d frames", n)
	}
}

func TestSplitterStopsAtTheFirstError(t *testing.T) {
	full := errors.New("the window is full")
	calls := 0
	s, err := NewSplitter(Header{ID: NewID(), Boot: NewID(), Collector: "lwc-test-0001", Type: KindFact}, Packing{},
		func([]byte) error { calls++; return full })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(noise(3 * MaxFrame)); !errors.Is(err, full) {
		t.Errorf("Write says %v", err)
	}
	if err := s.Finish(Header{}); !errors.Is(err, full) || calls != 1 {
		t.Errorf("Finish says %v after %d frames", err, calls)
	}
	s.Abort()
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("Write goes on after Abort")
	}
}
