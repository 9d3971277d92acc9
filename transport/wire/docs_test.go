package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func sharedHeader() Header {
	return Header{ID: NewID(), Type: KindFact, Collector: "lwc-test-0001", Boot: NewID(), Seq: 3, Run: NewID(), Device: "edge-1"}
}

// shared makes documents of which every third leaves without its body.
func shared(n int) (docs []Doc, plain []byte) {
	for i := range n {
		body := fmt.Appendf(nil, "<rpc-reply>%d %s</rpc-reply>", i, strings.Repeat("up ", i))
		d := Doc{ID: NewID(), Item: fmt.Sprintf("show-thing-%d", i), CollectedAt: time.Now().UTC(), Outcome: "ok",
			SHA256: Digest(body), Size: int64(len(body)), Flags: []string{FlagMasked}, RawSHA256: Digest(nil), RawSize: 9}
		switch i % 6 {
		case 2:
			d.Flags = append(d.Flags, FlagUnchanged)
		case 5:
			d.Flags = append(d.Flags, FlagHeld)
		default:
			plain = append(plain, body...)
		}
		docs = append(docs, d)
	}
	return docs, plain
}

func TestDocumentsShareAFrame(t *testing.T) {
	key, err := NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, MaxDocs} {
		docs, plain := shared(n)
		frame, err := SplitDocs(sharedHeader(), docs, plain, Packing{Next: func() uint64 { return 77 }})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := Seal(frame, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed)-len(frame) > sealRoom || len(sealed) > MaxFrame {
			t.Errorf("sealing made %d bytes of %d", len(sealed), len(frame))
		}
		if _, err := Seal(sealed, key.Public()); !errors.Is(err, ErrFrame) {
			t.Errorf("a sealed frame was sealed again: %v", err)
		}
		for _, f := range [][]byte{frame, sealed} {
			checkShared(t, *assemble(t, [][]byte{f}, key), docs, plain)
		}
	}
}

func checkShared(t *testing.T, w Whole, docs []Doc, plain []byte) {
	t.Helper()
	got, err := Docs(w)
	if err != nil || len(got) != len(docs) || w.Seq != 77 {
		t.Fatalf("%d documents of %d, seq %d: %v", len(got), len(docs), w.Seq, err)
	}
	for i, d := range docs {
		g := got[i]
		if g.ID != d.ID || g.Item != d.Item || g.Device != "edge-1" || g.SHA256 != d.SHA256 || g.Size != d.Size || g.RawSize != 9 || len(g.Docs) > 0 {
			t.Errorf("document %d is %+v", i, g.Header)
		}
		if want := plain[d.Offset : d.Offset+d.Length]; !bytes.Equal(g.Plain, want) || d.bare() != (g.Plain == nil) {
			t.Errorf("document %d has %d bytes, not %d", i, len(g.Plain), len(want))
		}
	}
}

func TestAFrameOfOneIsItsDocument(t *testing.T) {
	w := Whole{Header: Header{ID: NewID()}, Plain: []byte("x")}
	got, err := Docs(w)
	if err != nil || len(got) != 1 || got[0].ID != w.ID {
		t.Fatal(got, err)
	}
}

func TestDocumentsThatDoNotFit(t *testing.T) {
	body := noise(130 << 10)
	docs := []Doc{{ID: NewID(), SHA256: Digest(body), Size: int64(len(body))}}
	if _, err := SplitDocs(sharedHeader(), docs, body, Packing{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("130 KiB of noise in one frame: %v", err)
	}
	body = body[:MaxFrame-1000]
	docs = []Doc{{ID: NewID(), SHA256: Digest(body), Size: int64(len(body))}}
	if _, err := SplitDocs(sharedHeader(), docs, body, Packing{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a frame that would be too large once it is sealed: %v", err)
	}
	many, plain := shared(MaxDocs + 1)
	if _, err := SplitDocs(sharedHeader(), many, plain, Packing{}); !errors.Is(err, ErrFrame) {
		t.Errorf("33 documents: %v", err)
	}
	if _, err := SplitDocs(sharedHeader(), many[:3], plain, Packing{}); !errors.Is(err, ErrFrame) {
		t.Errorf("bodies that are not those of the documents: %v", err)
	}
}

// What a sender must not say of shared frames is refused, whatever it is.
func TestSharedFramesAreChecked(t *testing.T) {
	for name, spoil := range map[string]func(h *Header){
		"a gap":              func(h *Header) { h.Docs[1].Offset++ },
		"an overlap":         func(h *Header) { h.Docs[1].Offset-- },
		"beyond the end":     func(h *Header) { h.Docs[3].Length += 5; h.Docs[3].Size += 5 },
		"below zero":         func(h *Header) { h.Docs[0].Length, h.Docs[0].Size = -1, -1 },
		"size and length":    func(h *Header) { h.Docs[0].Size++ },
		"a body too much":    func(h *Header) { h.Docs[0].Flags = []string{FlagUnchanged} },
		"held and unchanged": func(h *Header) { h.Docs[2].Flags = []string{FlagUnchanged, FlagHeld} },
		"an id twice":        func(h *Header) { h.Docs[1].ID = h.Docs[0].ID },
		"the frame's id":     func(h *Header) { h.Docs[1].ID = h.ID },
		"no id":              func(h *Header) { h.Docs[1].ID = "x" },
		"no hash":            func(h *Header) { h.Docs[1].SHA256 = "" },
		"a long item":        func(h *Header) { h.Docs[1].Item = strings.Repeat("x", 256) },
		"many flags":         func(h *Header) { h.Docs[1].Flags = make([]string, 17) },
		"a part":             func(h *Header) { h.Parts = 2 },
		"streamed":           func(h *Header) { h.Parts = 0 },
		"a manifest":         func(h *Header) { h.Type = KindRun },
		"bytes left over":    func(h *Header) { h.Docs = h.Docs[:3] },
	} {
		docs, plain := shared(4)
		frame, err := SplitDocs(sharedHeader(), docs, plain, Packing{})
		if err != nil {
			t.Fatal(err)
		}
		h, body, err := ParseFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&h)
		b, err := marshalFrame(h, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ParseFrame(b); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWrongHashSpoilsTheFrame(t *testing.T) {
	docs, plain := shared(4)
	docs[1].SHA256 = Digest(nil)
	frame, err := SplitDocs(sharedHeader(), docs, plain, Packing{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Docs(*assemble(t, [][]byte{frame}, BootKey{})); !errors.Is(err, ErrFrame) || got != nil {
		t.Fatalf("%d documents: %v", len(got), err)
	}
}

func TestRoomIsEnough(t *testing.T) {
	docs, _ := shared(MaxDocs)
	room := 0
	for i := range docs {
		docs[i].Flags = append(docs[i].Flags, FlagWarnings, FlagMalformed)
		docs[i].Size = docs[i].Size % 10
		room += docs[i].Room()
	}
	var plain []byte
	for i := range docs {
		if !docs[i].bare() {
			plain = append(plain, make([]byte, docs[i].Size)...)
		}
	}
	frame, err := SplitDocs(sharedHeader(), docs, plain, Packing{})
	if err == nil && len(frame) > room+1000 {
		t.Fatalf("a frame of %d bytes, its documents were to take %d", len(frame), room)
	}
	if err != nil && room+1000 < maxHeader {
		t.Fatalf("%d bytes did not fit: %v", room, err)
	}
}

func FuzzDocs(f *testing.F) {
	docs, plain := shared(7)
	frame, err := SplitDocs(sharedHeader(), docs, plain, Packing{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame, plain)
	f.Add(frame, plain[:5])
	f.Add([]byte("LWF1\x00\x00\x00\x02{}"), []byte{})
	f.Fuzz(func(t *testing.T, frame, plain []byte) {
		h, _, err := ParseFrame(frame)
		if err != nil {
			return
		}
		got, err := Docs(Whole{Header: h, Plain: plain})
		if err != nil {
			if got != nil {
				t.Fatal("documents and an error")
			}
			return
		}
		total := 0
		for _, w := range got {
			total += len(w.Plain)
		}
		if len(h.Docs) > 0 && (len(got) != len(h.Docs) || total != len(plain)) {
			t.Fatalf("%d documents of %d, %d bytes of %d", len(got), len(h.Docs), total, len(plain))
		}
	})
}
