package wire

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// MaxDocs is the most documents of one frame: their headers, of about 400 bytes
// each, share the 16 KiB of a frame's header.
const MaxDocs = 32

// bare tells whether a document leaves without its body.
func (d Doc) bare() bool {
	return slices.Contains(d.Flags, FlagUnchanged) || slices.Contains(d.Flags, FlagHeld)
}

// Room is what the document takes of a frame's header, at most: the longest form
// of its numbers and times, and names that JSON writes as they are. Names that
// JSON escapes may take more, and then SplitDocs says so.
func (d Doc) Room() int {
	n := 400 + len(d.Item) + len(d.Outcome) + len(d.RawSHA256)
	for _, f := range d.Flags {
		n += len(f) + 3
	}
	return n
}

// SplitDocs makes the one frame of several documents of a device. plain is their
// bodies, one after the other, without those that the flags say not to leave. It
// fills in each document's Offset and Length, and of the frame what Split does. Of
// h it needs ID, which is the frame's own, Type, Collector, Boot, Seq, Run and
// Device. ErrTooLarge says that they do not fit a frame together.
func SplitDocs(h Header, docs []Doc, plain []byte, p Packing) ([]byte, error) {
	at := int64(0)
	for i := range docs {
		docs[i].Offset, docs[i].Length = at, docs[i].Size
		if docs[i].bare() {
			docs[i].Length = 0
		}
		at += docs[i].Length
	}
	h.V, h.Enc, h.Part, h.Parts, h.Docs = Version, EncZstd, 0, 1, docs
	h.SHA256, h.Size = Digest(plain), int64(len(plain))
	if at != h.Size {
		return nil, fmt.Errorf("sharing a frame: documents of %d bytes, and %d bytes of bodies: %w", at, h.Size, ErrFrame)
	}
	body := packs.Get().(*[]byte)
	defer returnPack(body)
	*body = deflate((*body)[:0], plain)
	limit, err := p.limit(h.ID)
	if err != nil {
		return nil, err
	}
	frame, err := p.frame(h, *body)
	if err == nil && len(frame) > limit {
		return nil, fmt.Errorf("sharing a frame: %d bytes, more than %d: %w", len(frame), limit, ErrTooLarge)
	}
	return frame, err
}

// limit is what a frame may have before it is sealed, header included.
func (p Packing) limit(id string) (int, error) {
	room, err := p.room(id)
	if len(p.SealTo) > 0 {
		return room + headRoom, err
	}
	return room + headRoom - sealRoom, err
}

// checkDocs refuses a list of documents that SplitDocs does not make.
func (h Header) checkDocs() error {
	if len(h.Docs) == 0 {
		return nil
	}
	if h.Type != KindFact || h.Part != 0 || h.Parts != 1 || len(h.Docs) > MaxDocs {
		return fmt.Errorf("%d documents in part %d of %d of a %.40s: %w", len(h.Docs), h.Part, h.Parts, h.Type, ErrFrame)
	}
	at, seen := int64(0), make(map[string]bool, len(h.Docs))
	for i, d := range h.Docs {
		if err := d.check(at, h.Size-at); err != nil {
			return fmt.Errorf("document %d of %d in a frame: %w", i+1, len(h.Docs), err)
		}
		if seen[d.ID] || d.ID == h.ID {
			return fmt.Errorf("document %d of %d in a frame: its id stands there twice: %w", i+1, len(h.Docs), ErrFrame)
		}
		seen[d.ID] = true
		at += d.Length
	}
	if at != h.Size {
		return fmt.Errorf("the documents in a frame have %d bytes, the frame has %d: %w", at, h.Size, ErrFrame)
	}
	return nil
}

// check looks at one document; at is where its body must begin, room what is left.
func (d Doc) check(at, room int64) error {
	want := d.Size
	if d.bare() {
		want = 0
	}
	switch {
	case CheckID(d.ID) != nil:
		return fmt.Errorf("its id %.40q is not a ULID: %w", d.ID, ErrFrame)
	case len(d.Item) > maxName, len(d.Outcome) > maxName, len(d.Flags) > 16, len(d.SHA256) != 2*sha256.Size, len(d.RawSHA256) > 2*sha256.Size:
		return fmt.Errorf("a field of its header is too long or too short: %w", ErrFrame)
	case slices.Contains(d.Flags, FlagUnchanged) && slices.Contains(d.Flags, FlagHeld):
		return fmt.Errorf("it is held and unchanged: %w", ErrFrame)
	case d.Size < 0 || d.RawSize < 0 || d.Offset != at || d.Length != want || d.Length > room:
		return fmt.Errorf("%d bytes of %d at %d, where %d may stand at %d: %w", d.Length, d.Size, d.Offset, room, at, ErrFrame)
	}
	return nil
}

// Docs takes the documents out of a frame that several share, each with a header
// as if it had come alone. Their bodies share memory with plain; those that the
// flags say not to be there are nil. A frame of one document is that document. One
// body whose hash is not that of its header spoils the frame.
func Docs(w Whole) ([]Whole, error) {
	if len(w.Docs) == 0 {
		return []Whole{w}, nil
	}
	if err := w.checkDocs(); err != nil {
		return nil, err
	}
	if w.Size != int64(len(w.Plain)) {
		return nil, fmt.Errorf("frame %s: %d bytes where its header says %d: %w", w.ID, len(w.Plain), w.Size, ErrFrame)
	}
	out := make([]Whole, 0, len(w.Docs))
	for _, d := range w.Docs {
		one := Whole{Header: d.header(w.Header)}
		if !d.bare() {
			one.Plain = w.Plain[d.Offset : d.Offset+d.Length : d.Offset+d.Length]
			if got := Digest(one.Plain); got != d.SHA256 {
				return nil, fmt.Errorf("document %s: its SHA-256 is %s, its header says %.64q: %w", d.ID, got, d.SHA256, ErrFrame)
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// header is the document's header as if it had come in frame h alone.
func (d Doc) header(h Header) Header {
	h.ID, h.Item, h.CollectedAt, h.Outcome, h.Docs = d.ID, d.Item, d.CollectedAt, d.Outcome, nil
	h.SHA256, h.Size, h.RawSHA256, h.RawSize, h.Flags = d.SHA256, d.Size, d.RawSHA256, d.RawSize, d.Flags
	return h
}

// DocOf is what a shared frame says of the document of h.
func DocOf(h Header) Doc {
	return Doc{ID: h.ID, Item: h.Item, CollectedAt: h.CollectedAt, Outcome: h.Outcome, SHA256: h.SHA256,
		Size: h.Size, RawSHA256: h.RawSHA256, RawSize: h.RawSize, Flags: h.Flags}
}
