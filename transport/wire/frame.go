package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// MaxFrame bounds a frame, header included: public brokers cap a payload
	// at 128 KB, and MQTT's own overhead has to fit too.
	MaxFrame = 120 << 10
	// magic opens every frame.
	magic = "LWF1"
	// maxHeader bounds the JSON header: the largest carries a signature over a
	// digest, about 1 KiB.
	maxHeader = 16 << 10
)

// ErrFrame says that bytes are not a frame of this protocol.
var ErrFrame = errors.New("not a valid frame")

// The encodings of a body. Each may be followed by SealedSuffix.
const (
	EncZstd      = "zstd"
	EncGzip      = "gzip"
	EncIdentity  = "identity"
	SealedSuffix = "+hpke"
)

// The flags of a document.
const (
	FlagPartial   = "partial"       // the device ended before the reply did
	FlagRepaired  = "repaired-utf8" // invalid UTF-8 was replaced by U+FFFD
	FlagMalformed = "malformed"     // not well-formed XML; the bytes are as they came
	FlagMasked    = "masked"        // values were replaced before sending
	FlagWarnings  = "warnings"      // the reply carries warnings
	FlagUnchanged = "unchanged"     // no body: its bytes are those of the last one that has a receipt
	FlagHeld      = "held"          // no body yet: it waits for an approval
)

// Header describes one frame: a whole document, manifest or desired
// configuration, or one part of it.
type Header struct {
	V           int       `json:"v"`
	ID          string    `json:"id"`   // ULID; the same in every part and every redelivery
	Type        Kind      `json:"type"` // fact, run or desired
	Collector   string    `json:"collector"`
	Boot        string    `json:"boot"`
	Seq         uint64    `json:"seq"` // counts the frames of a boot
	Run         string    `json:"run,omitempty"`
	Device      string    `json:"device,omitempty"`
	Item        string    `json:"item,omitempty"`
	CollectedAt time.Time `json:"collected_at,omitzero"`
	Outcome     string    `json:"outcome,omitempty"` // what the scan of the reply found
	SHA256      string    `json:"sha256,omitempty"`  // of the whole plain body, hexadecimal
	Size        int64     `json:"size"`              // bytes of the whole plain body
	Enc         string    `json:"enc"`
	Part        int       `json:"part"`  // from 0
	Parts       int       `json:"parts"` // 0 while the sender does not know yet
	Flags       []string  `json:"flags,omitempty"`
	// RawSHA256 and RawSize are of the bytes as the device sent them, where masking
	// or the repair of invalid UTF-8 changed them.
	RawSHA256 string `json:"raw_sha256,omitempty"`
	RawSize   int64  `json:"raw_size,omitempty"`
	// Docs are the documents that share this frame; the header's own id, size and
	// sha256 are of all their bodies together, one after the other.
	Docs []Doc `json:"docs,omitempty"`
	// Envelope signs the digest of the body, for manifests and desired
	// configurations. Documents are vouched for by their run's manifest.
	Envelope *Envelope `json:"envelope,omitempty"`
}

// Doc describes one of several documents of a device that share a frame. Each
// has a receipt of its own.
type Doc struct {
	ID          string    `json:"id"`
	Item        string    `json:"item"`
	CollectedAt time.Time `json:"collected_at,omitzero"`
	Outcome     string    `json:"outcome,omitempty"`
	SHA256      string    `json:"sha256"`
	Size        int64     `json:"size"`
	RawSHA256   string    `json:"raw_sha256,omitempty"`
	RawSize     int64     `json:"raw_size,omitempty"`
	Flags       []string  `json:"flags,omitempty"`
	Offset      int64     `json:"offset"` // of its bytes in the plain body
	Length      int64     `json:"length"` // Size, or 0 where the flags say that it has no body
}

// bodyClaim is what the envelope of a framed document signs.
type bodyClaim struct {
	Kind      Kind   `json:"kind"`
	Collector string `json:"collector"`
	Boot      string `json:"boot"`
	Version   uint64 `json:"version"`
	SHA256    string `json:"sha256"`
	Size      int64  `json:"size"`
}

// check refuses a header that no sender of version 1 makes.
func (h Header) check() error {
	switch {
	case h.V != Version:
		return fmt.Errorf("protocol version %d, this side speaks %d: %w", h.V, Version, ErrFrame)
	case h.Type != KindFact && h.Type != KindRun && h.Type != KindDesired:
		return fmt.Errorf("type %.40q: %w", h.Type, ErrFrame)
	case h.Part < 0 || h.Parts < 0 || h.Parts > maxParts || h.Part >= maxParts,
		h.Parts > 0 && h.Part >= h.Parts:
		return fmt.Errorf("part %d of %d: %w", h.Part, h.Parts, ErrFrame)
	case h.Size < 0:
		return fmt.Errorf("size %d: %w", h.Size, ErrFrame)
	case len(h.Run) > maxName, len(h.Device) > maxName, len(h.Item) > maxName, len(h.Outcome) > maxName, len(h.Flags) > 16:
		return fmt.Errorf("a field of the header is too long: %w", ErrFrame)
	}
	if err := CheckCollectorID(h.Collector); err != nil {
		return fmt.Errorf("collector: %w: %w", err, ErrFrame)
	}
	for _, id := range []string{h.ID, h.Boot} {
		if err := CheckID(id); err != nil {
			return fmt.Errorf("%w: %w", err, ErrFrame)
		}
	}
	return h.checkDocs()
}

const (
	maxName  = 255     // run, device and item names
	maxParts = 1 << 16 // 7.5 GB of compressed reply
)

// marshalFrame lays out a header and a body: "LWF1", the header's length as a
// big-endian u32, the header as JSON, the body.
func marshalFrame(h Header, body []byte) ([]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding a frame header: %w", err)
	}
	if len(head) > maxHeader {
		return nil, fmt.Errorf("encoding a frame: a header of %d bytes, more than %d: %w", len(head), maxHeader, ErrFrame)
	}
	b := make([]byte, 0, len(magic)+4+len(head)+len(body))
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	return append(b, body...), nil
}

// ParseFrame takes a frame apart. The body shares memory with b. The header's
// fields are checked for form; whether the sender may use these ids is for the
// caller to check.
func ParseFrame(b []byte) (Header, []byte, error) {
	fixed := len(magic) + 4
	if len(b) > MaxFrame {
		return Header{}, nil, fmt.Errorf("reading a frame: %d bytes, more than %d: %w", len(b), MaxFrame, ErrFrame)
	}
	if len(b) < fixed || string(b[:len(magic)]) != magic {
		return Header{}, nil, fmt.Errorf("reading a frame: it does not begin with %q: %w", magic, ErrFrame)
	}
	n := binary.BigEndian.Uint32(b[len(magic):fixed])
	if n > maxHeader || int(n) > len(b)-fixed {
		return Header{}, nil, fmt.Errorf("reading a frame: a header of %d bytes in a frame of %d: %w", n, len(b), ErrFrame)
	}
	var h Header
	if err := json.Unmarshal(b[fixed:fixed+int(n)], &h); err != nil {
		return Header{}, nil, fmt.Errorf("reading a frame header: %w: %w", err, ErrFrame)
	}
	if err := h.check(); err != nil {
		return Header{}, nil, fmt.Errorf("reading a frame header: %w", err)
	}
	return h, b[fixed+int(n):], nil
}
