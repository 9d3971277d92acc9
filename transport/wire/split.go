package wire

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
)

// Packing says how Split makes frames.
type Packing struct {
	// MaxFrame bounds each frame; 0 means the protocol's MaxFrame.
	MaxFrame int
	// SealTo is the HPKE public key that bodies are sealed to; empty means
	// that they are not sealed; Seal can still do it.
	SealTo []byte
	// Next numbers the frames; nil means that they count up from the header's Seq.
	Next func() uint64
	// Key signs the body's digest into the header; nil for documents.
	Key crypto.Signer
	// Version stands in the signed claim: the version of a desired
	// configuration, 0 otherwise.
	Version uint64
}

// headRoom is kept free in a frame for the header; the largest header, with an
// envelope, takes about 1.5 KiB, and the sealing adds 1,136 bytes.
const headRoom = 4 << 10

// sealRoom is what sealing adds to a frame: the encapsulated key of 1,120 bytes
// (RFC 9180 §4, with ML-KEM-768 and X25519), the tag of 16, and the word in the
// header.
const sealRoom = 1200

// Split compresses plain and cuts it into frames that carry h. It fills in V,
// SHA256, Size, Enc, Part, Parts, Envelope and Seq. Of a
// body that it does not sign, it takes the SHA256 from h where h has one, and the
// Size agrees: who read the body has hashed it, and who receives it checks it.
// The result never shares memory with plain.
func Split(h Header, plain []byte, p Packing) ([][]byte, error) {
	if p.Key != nil || len(h.SHA256) != 2*sha256.Size || h.Size != int64(len(plain)) {
		h.SHA256, h.Size = Digest(plain), int64(len(plain))
	}
	h.V, h.Enc = Version, EncZstd
	if err := p.sign(&h); err != nil {
		return nil, err
	}
	if len(p.SealTo) > 0 {
		h.Enc += SealedSuffix
	}
	room, err := p.room(h.ID)
	if err != nil {
		return nil, err
	}
	packed := packs.Get().(*[]byte)
	defer returnPack(packed)
	*packed = deflate((*packed)[:0], plain)
	chunks := cut(*packed, room)
	h.Parts = len(chunks)
	if h.Parts > maxParts {
		return nil, fmt.Errorf("splitting %s: %d parts, more than %d", h.ID, h.Parts, maxParts)
	}
	frames := make([][]byte, 0, len(chunks))
	for i, body := range chunks {
		h.Part = i
		f, err := p.frame(h, body)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
		h.Seq++
	}
	return frames, nil
}

// room is what a frame has for its body.
func (p Packing) room(id string) (int, error) {
	limit := MaxFrame
	if p.MaxFrame > 0 {
		limit = min(limit, p.MaxFrame)
	}
	if limit <= headRoom {
		return 0, fmt.Errorf("splitting %s: a frame limit of %d bytes leaves no room for a body", id, limit)
	}
	return limit - headRoom, nil
}

func (p Packing) frame(h Header, body []byte) ([]byte, error) {
	if p.Next != nil {
		h.Seq = p.Next()
	}
	if len(p.SealTo) > 0 {
		sealed, err := SealTo(p.SealTo, bodyInfo(h), body)
		if err != nil {
			return nil, err
		}
		body = sealed
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("splitting %s: %w", h.ID, err)
	}
	return marshalFrame(h, body)
}

func (p Packing) sign(h *Header) error {
	if p.Key == nil {
		return nil
	}
	claim, err := json.Marshal(bodyClaim{h.Type, h.Collector, h.Boot, p.Version, h.SHA256, h.Size})
	if err != nil {
		return fmt.Errorf("encoding the claim of %s: %w", h.ID, err)
	}
	e, err := signEnvelope(h.Type, claim, p.Key)
	if err != nil {
		return err
	}
	h.Envelope = &e
	return nil
}

// cut returns b in pieces of at most n bytes, at least one.
func cut(b []byte, n int) [][]byte {
	var out [][]byte
	for len(b) > n {
		out = append(out, b[:n:n])
		b = b[n:]
	}
	return append(out, b)
}

// VerifyBody checks that the header's envelope was made by pub for exactly this
// plain body, and returns the version that it claims.
func VerifyBody(h Header, plain []byte, pub crypto.PublicKey) (uint64, error) {
	h.SHA256, h.Size = Digest(plain), int64(len(plain))
	return VerifyHeader(h, pub)
}

// VerifyHeader checks that the envelope was made by pub for the body that the
// header tells of, which may not be there yet: so what a stranger made is neither
// kept nor inflated. It returns the version that the envelope claims.
func VerifyHeader(h Header, pub crypto.PublicKey) (uint64, error) {
	if h.Envelope == nil {
		return 0, fmt.Errorf("reading a %s: it is not signed: %w", h.Type, ErrSignature)
	}
	payload, err := h.Envelope.verify(h.Type, pub)
	if err != nil {
		return 0, err
	}
	var c bodyClaim
	if err := json.Unmarshal(payload, &c); err != nil {
		return 0, fmt.Errorf("reading the claim of a %s: %w", h.Type, err)
	}
	want := bodyClaim{h.Type, h.Collector, h.Boot, c.Version, h.SHA256, h.Size}
	if c != want {
		return 0, fmt.Errorf("reading a %s: the signature is of another body: %w", h.Type, ErrSignature)
	}
	return c.Version, nil
}

// Seal seals the body of a frame that is not sealed yet. So frames can wait for
// the key of the connection that carries them. The result shares no memory with
// frame.
func Seal(frame, to []byte) ([]byte, error) {
	h, body, err := ParseFrame(frame)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(h.Enc, SealedSuffix) {
		return nil, fmt.Errorf("sealing %s: it is sealed already: %w", h.ID, ErrFrame)
	}
	h.Enc += SealedSuffix
	return Packing{SealTo: to}.frame(h, body)
}

// OpenBody undoes the sealing of one part; of a frame that is not sealed it returns
// the body as it is. The result is compressed still.
func OpenBody(h Header, body []byte, key BootKey) ([]byte, error) {
	if !strings.HasSuffix(h.Enc, SealedSuffix) {
		return body, nil
	}
	return key.Open(bodyInfo(h), body)
}
