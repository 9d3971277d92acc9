package wire

import (
	"errors"
	"fmt"
	"sync"
)

// blockSize is how much of a document a Splitter compresses at once. Each block
// is a zstd frame of its own (RFC 8878 §3: frames may be concatenated), so that
// a document under way costs one block and no state of an encoder, which is 30
// times as large. Replies compress about as well as with the whole window.
const blockSize = 128 << 10

var blocks = sync.Pool{New: func() any { return new([]byte) }}

// Splitter makes frames of a document while it arrives. Write the document into
// it and call Finish once; or Abort. Documents of up to 128 KiB, and larger ones
// that compress well, are one frame, as Split makes it. A longer one has parts,
// of which only the last says how many there are, and carries what is known at
// the end. It is not safe for concurrent use.
type Splitter struct {
	h      Header
	p      Packing
	room   int // for the body of one frame
	emit   func(frame []byte) error
	block  *[]byte // not yet compressed; nil: none
	packed *[]byte // compressed, not yet sent; nil: none
	size   int64
	err    error // the first; all calls after it return it
}

var (
	errFinished = errors.New("the document is finished")
	errSigned   = errors.New("a signed body cannot be streamed")
)

// NewSplitter begins a document. Of h, the fields that Split fills in are
// ignored. emit takes each frame over, in order; its error ends the
// document. Memory: one block of 128 KiB, and one frame.
func NewSplitter(h Header, p Packing, emit func(frame []byte) error) (*Splitter, error) {
	if p.Key != nil {
		return nil, fmt.Errorf("splitting %s: %w", h.ID, errSigned)
	}
	room, err := p.room(h.ID)
	if err != nil {
		return nil, err
	}
	h.V, h.Enc, h.Part, h.Parts = Version, EncZstd, 0, 0
	if len(p.SealTo) > 0 {
		h.Enc += SealedSuffix
	}
	return &Splitter{h: h, p: p, room: room, emit: emit}, nil
}

// Write implements io.Writer. It does not keep b.
func (s *Splitter) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if s.err != nil {
			return n, s.err
		}
		if s.block == nil {
			s.block = blocks.Get().(*[]byte)
			*s.block = (*s.block)[:0]
		}
		if len(*s.block) == blockSize {
			s.err = s.pack()
			continue
		}
		take := min(len(b)-n, blockSize-len(*s.block))
		*s.block = append(*s.block, b[n:n+take]...)
		n += take
		s.size += int64(take)
	}
	return n, s.err
}

// pack compresses the block, and sends what fills a frame and is not the end.
func (s *Splitter) pack() error {
	if s.packed == nil {
		s.packed = packs.Get().(*[]byte)
		*s.packed = (*s.packed)[:0]
	}
	out := deflate(*s.packed, *s.block)
	*s.packed, *s.block = out, (*s.block)[:0]
	for len(out) > s.room {
		if err := s.send(out[:s.room]); err != nil {
			return err
		}
		out = out[s.room:]
	}
	*s.packed = append((*s.packed)[:0], out...)
	return nil
}

func (s *Splitter) send(body []byte) error {
	s.h.Size = s.size
	f, err := s.p.frame(s.h, body)
	if err != nil {
		return err
	}
	s.h.Part++
	s.h.Seq++
	return s.emit(f)
}

// Finish sends what is left. last tells what is known at the end: its Outcome,
// SHA256 (of all that was written), Flags, RawSHA256 and RawSize are taken over, and
// its CollectedAt if it has one.
func (s *Splitter) Finish(last Header) error {
	if s.err != nil {
		return s.err
	}
	if s.block == nil || len(*s.block) > 0 || s.packed == nil {
		if s.block == nil {
			s.block = new([]byte)
		}
		s.err = s.pack()
	}
	if s.err == nil {
		s.h.Outcome, s.h.SHA256, s.h.Flags = last.Outcome, last.SHA256, last.Flags
		s.h.RawSHA256, s.h.RawSize = last.RawSHA256, last.RawSize
		if !last.CollectedAt.IsZero() {
			s.h.CollectedAt = last.CollectedAt
		}
		s.h.Parts = s.h.Part + 1
		s.err = s.send(*s.packed)
	}
	err := s.err
	s.Abort()
	return err
}

// Abort forgets the document. The receiver forgets the parts that it has by
// itself. It may be called after Finish.
func (s *Splitter) Abort() {
	if s.block != nil {
		blocks.Put(s.block)
	}
	if s.packed != nil {
		returnPack(s.packed)
	}
	s.block, s.packed = nil, nil
	if s.err == nil {
		s.err = errFinished
	}
}

// Size is the number of bytes that were written.
func (s *Splitter) Size() int64 { return s.size }

// Sent is the number of frames that were handed to emit.
func (s *Splitter) Sent() int { return s.h.Part }
