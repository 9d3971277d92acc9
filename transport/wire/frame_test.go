package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func factHeader() Header {
	return Header{ID: NewID(), Type: KindFact, Collector: testCollector, Boot: NewID(), Run: NewID(),
		Device: "edge-1", Item: "show-version", CollectedAt: time.Now().UTC(), Outcome: "ok"}
}

// noise is n bytes that do not compress, the same at every call.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func split(t testing.TB, h Header, plain []byte, p Packing) [][]byte {
	t.Helper()
	frames, err := Split(h, plain, p)
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// add feeds frames to an assembler and returns what comes out, or an error.
func add(a *Assembler, frames ...[]byte) (*Whole, error) {
	for _, f := range frames {
		h, body, err := ParseFrame(f)
		if err != nil {
			return nil, err
		}
		if w, err := a.Add(time.Now(), h, body); w != nil || err != nil {
			return w, err
		}
	}
	return nil, nil
}

func TestSplitAndAssemble(t *testing.T) {
	key, err := NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 1000, MaxFrame, 5 * MaxFrame} {
		for _, sealTo := range [][]byte{nil, key.Public()} {
			plain := noise(size)
			frames := split(t, factHeader(), plain, Packing{SealTo: sealTo})
			for _, f := range frames {
				if len(f) > MaxFrame {
					t.Fatalf("size %d: a frame of %d bytes", size, len(f))
				}
			}
			rand.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
			frames = append(frames[:len(frames):len(frames)], frames[0])
			frames[0], frames[len(frames)-1] = frames[len(frames)-1], frames[0]
			w, err := add(&Assembler{MaxSize: 1 << 20, Key: key}, frames...)
			if err != nil || w == nil || !bytes.Equal(w.Plain, plain) {
				t.Fatalf("size %d sealed %v: %v", size, sealTo != nil, err)
			}
			if w.Device != "edge-1" || w.Size != int64(size) {
				t.Fatalf("the header did not survive: %+v", w.Header)
			}
		}
	}
}

func TestStreamedParts(t *testing.T) {
	plain := noise(3 * MaxFrame)
	frames := split(t, factHeader(), plain, Packing{})
	for i, f := range frames[:len(frames)-1] {
		h, body, err := ParseFrame(f)
		if err != nil {
			t.Fatal(err)
		}
		h.Parts, h.SHA256, h.Size = 0, "", 0
		if frames[i], err = marshalFrame(h, body); err != nil {
			t.Fatal(err)
		}
	}
	w, err := add(&Assembler{MaxSize: 1 << 20}, frames...)
	if err != nil || w == nil || !bytes.Equal(w.Plain, plain) {
		t.Fatalf("%v", err)
	}
}

func TestAssemblerRefuses(t *testing.T) {
	change := func(f []byte, fn func(*Header, *[]byte)) []byte {
		h, body, err := ParseFrame(f)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.Clone(body)
		fn(&h, &body)
		out, err := marshalFrame(h, body)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one := split(t, factHeader(), bytes.Repeat([]byte("<x/>"), 1000), Packing{})[0]
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"inflates to more":  {change(one, func(h *Header, _ *[]byte) { h.Size = 10 }), ErrTooLarge},
		"inflates to less":  {change(one, func(h *Header, _ *[]byte) { h.Size++ }), ErrFrame},
		"another hash":      {change(one, func(h *Header, _ *[]byte) { h.SHA256 = Digest(nil) }), ErrFrame},
		"over the limit":    {change(one, func(h *Header, _ *[]byte) { h.Size = 1 << 30 }), ErrTooLarge},
		"unknown encoding":  {change(one, func(h *Header, _ *[]byte) { h.Enc = "lzma" }), ErrFrame},
		"sealed, no key":    {change(one, func(h *Header, _ *[]byte) { h.Enc += SealedSuffix }), ErrSealed},
		"not zstd":          {change(one, func(_ *Header, b *[]byte) { (*b)[0] ^= 0xff }), nil},
		"cut short":         {change(one, func(_ *Header, b *[]byte) { *b = (*b)[:len(*b)/2] }), nil},
		"gzip that is none": {change(one, func(h *Header, _ *[]byte) { h.Enc = EncGzip }), nil},
	} {
		a := &Assembler{MaxSize: 1 << 20}
		w, err := add(a, c.frame)
		if err == nil || w != nil || (c.want != nil && !errors.Is(err, c.want)) {
			t.Errorf("%s: %v, %v", name, w, err)
		}
		if w, err := add(a, one); err != nil || w == nil {
			t.Errorf("%s: the next good frame: %v", name, err)
		}
	}
}

func TestOtherEncodings(t *testing.T) {
	plain := []byte("<rpc-reply/>")
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(plain)
	w.Close()
	for enc, body := range map[string][]byte{EncGzip: gz.Bytes(), EncIdentity: plain} {
		h := factHeader()
		h.V, h.Enc, h.Size, h.SHA256, h.Parts = Version, enc, int64(len(plain)), Digest(plain), 1
		got, err := (&Assembler{MaxSize: 100}).Add(time.Now(), h, body)
		if err != nil || !bytes.Equal(got.Plain, plain) {
			t.Errorf("%s: %v", enc, err)
		}
	}
}

func TestAssemblerForgetsAndIsBounded(t *testing.T) {
	frames := split(t, factHeader(), noise(3*MaxFrame), Packing{})
	a := &Assembler{MaxSize: 1 << 20}
	h, body, _ := ParseFrame(frames[0])
	start := time.Now()
	if _, err := a.Add(start, h, body); err != nil || a.held == 0 {
		t.Fatal(err, a.held)
	}
	other, otherBody, _ := ParseFrame(split(t, factHeader(), nil, Packing{})[0])
	if _, err := a.Add(start.Add(AssemblyAge+time.Second), other, otherBody); err != nil || a.held != 0 {
		t.Fatalf("an old part is still held: %d bytes, %v", a.held, err)
	}
	var refused bool
	for i := 0; i < 2*AssemblyBytes/partOverhead && !refused; i++ {
		h.ID, h.Part, h.Parts = NewID(), 0, 2
		_, err := a.Add(start, h, nil)
		refused = errors.Is(err, ErrTooLarge)
		if a.held > AssemblyBytes {
			t.Fatalf("%d bytes are held", a.held)
		}
	}
	if !refused {
		t.Error("empty parts are held without bound")
	}
	tight := &Assembler{MaxSize: 1 << 20, MaxHeld: 2 * partOverhead}
	for i, want := range []error{nil, nil, ErrTooLarge} {
		h.ID = NewID()
		if _, err := tight.Add(start, h, nil); !errors.Is(err, want) {
			t.Errorf("part %d: %v", i, err)
		}
	}
}

func TestSignedBodies(t *testing.T) {
	key := p256(t)
	h := factHeader()
	h.Type = KindRun
	plain := noise(2 * MaxFrame)
	w, err := add(&Assembler{MaxSize: 1 << 20}, split(t, h, plain, Packing{Key: key, Version: 7})...)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := VerifyBody(w.Header, w.Plain, key.Public()); v != 7 || err != nil {
		t.Fatalf("version %d, %v", v, err)
	}
	for name, c := range map[string]func(*Header, *[]byte){
		"another body":      func(_ *Header, p *[]byte) { *p = noise(10) },
		"another boot":      func(h *Header, _ *[]byte) { h.Boot = NewID() },
		"another collector": func(h *Header, _ *[]byte) { h.Collector = "lwc-test-0002" },
		"another kind":      func(h *Header, _ *[]byte) { h.Type = KindDesired },
		"no envelope":       func(h *Header, _ *[]byte) { h.Envelope = nil },
	} {
		h, p := w.Header, w.Plain
		c(&h, &p)
		if _, err := VerifyBody(h, p, key.Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		h.SHA256, h.Size = Digest(p), int64(len(p))
		if _, err := VerifyHeader(h, key.Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, by the header alone: %v", name, err)
		}
	}
	if _, err := VerifyBody(w.Header, w.Plain, p256(t).Public()); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}

func TestParseFrameRefuses(t *testing.T) {
	good := split(t, factHeader(), []byte("x"), Packing{})[0]
	for name, f := range map[string][]byte{
		"empty":          nil,
		"short":          good[:7],
		"magic":          append([]byte("LWF2"), good[4:]...),
		"header length":  append([]byte("LWF1\xff\xff\xff\xff"), good[8:]...),
		"beyond the end": append([]byte("LWF1\x00\x00\x3f\xff"), good[8:]...),
		"not JSON":       []byte("LWF1\x00\x00\x00\x02{]"),
		"no fields":      []byte("LWF1\x00\x00\x00\x02{}"),
		"too large":      append(bytes.Clone(good), make([]byte, MaxFrame)...),
	} {
		if _, _, err := ParseFrame(f); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Header){
		"version":    func(h *Header) { h.V = 2 },
		"type":       func(h *Header) { h.Type = KindHello },
		"part":       func(h *Header) { h.Part = -1 },
		"part count": func(h *Header) { h.Part, h.Parts = 3, 3 },
		"many parts": func(h *Header) { h.Parts = maxParts + 1 },
		"size":       func(h *Header) { h.Size = -1 },
		"collector":  func(h *Header) { h.Collector = "a/+/b" },
		"boot":       func(h *Header) { h.Boot = "x" },
		"id":         func(h *Header) { h.ID = "../../etc/passwd" },
		"device":     func(h *Header) { h.Device = strings.Repeat("x", maxName+1) },
	} {
		h, body, err := ParseFrame(good)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		f, err := marshalFrame(h, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ParseFrame(f); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, frame := range split(f, factHeader(), noise(MaxFrame), Packing{Key: p256(f)}) {
		f.Add(frame[:min(len(frame), 2000)])
	}
	f.Add(split(f, factHeader(), []byte("<a/>"), Packing{})[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := ParseFrame(b)
		if err != nil {
			if h.ID != "" || body != nil {
				t.Fatalf("an error with results: %+v", h)
			}
			return
		}
		again, err := marshalFrame(h, body)
		if err != nil {
			return // a header that grows by escaping past its bound
		}
		if h2, body2, err := ParseFrame(again); len(again) <= MaxFrame && (err != nil || !bytes.Equal(body, body2) || h2.ID != h.ID) {
			t.Fatalf("parse, marshal, parse: %v", err)
		}
		a := &Assembler{MaxSize: 1 << 20}
		if w, err := a.Add(time.Now(), h, body); err == nil && w != nil && int64(len(w.Plain)) != w.Size {
			t.Fatalf("%d bytes, the header says %d", len(w.Plain), w.Size)
		}
	})
}

func FuzzVerify(f *testing.F) {
	key := ed(f)
	msg, err := Sign(KindJob, Job{V: Version, ID: NewID()}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add([]byte(`{"payloadType":"","payload":"","signatures":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var j Job
		if err := Verify(KindJob, b, key.Public(), &j); err != nil && j.ID != "" {
			t.Fatalf("decoded without a good signature: %+v", j)
		}
	})
}

// The text as it is, and as the JSON of a token whose checksum is good.
func FuzzParseToken(f *testing.F) {
	f.Add("lwce1_e30aaaaaaaa")
	f.Add(`{"u":"https://cloud.example","p":"` + strings.Repeat("A", 43) + `=","i":"t","s":"MDEyMzQ1Njc4OWFiY2RlZg==","e":["broker.example:8883"]}`)
	f.Fuzz(func(t *testing.T, s string) {
		body := base64.RawURLEncoding.EncodeToString([]byte(s))
		for _, text := range []string{s, fmt.Sprintf("%s%s%08x", EnrolToken, body, crc32.ChecksumIEEE([]byte(body)))} {
			tok, err := ParseToken(EnrolToken, secretOf(text))
			if err != nil {
				continue
			}
			again, err := ParseToken(EnrolToken, tok.Encode())
			if err != nil || again.URL != tok.URL || !slices.Equal(again.Endpoints, tok.Endpoints) {
				t.Fatalf("%+v became %+v, %v", tok, again, err)
			}
			to, err := tok.Reach()
			if err != nil || len(to) == 0 || len(to) > MaxTokenEndpoints+1 {
				t.Fatalf("%+v reaches %q, %v", tok, to, err)
			}
		}
	})
}
