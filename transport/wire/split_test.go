package wire

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

// A document that was hashed while it was read is not hashed again; what is of
// another length, or is signed, always is.
func TestSplitTakesAKnownDigest(t *testing.T) {
	plain, key := []byte("<x>1</x>"), ed(t)
	other := strings.Repeat("0a", 32)
	for name, c := range map[string]struct {
		sha256 string
		size   int64
		key    ed25519.PrivateKey
		want   string
	}{
		"known":        {other, int64(len(plain)), nil, other},
		"of no length": {other, 0, nil, Digest(plain)},
		"of another":   {other, int64(len(plain)) + 1, nil, Digest(plain)},
		"no digest":    {"0a", int64(len(plain)), nil, Digest(plain)},
		"signed":       {other, int64(len(plain)), key, Digest(plain)},
	} {
		p := Packing{}
		if c.key != nil {
			p.Key = c.key
		}
		h := Header{ID: NewID(), Type: KindFact, Collector: "site-0001", Boot: NewID(), Run: NewID(), Device: "edge-1",
			Item: "show-version", SHA256: c.sha256, Size: c.size}
		frames, err := Split(h, plain, p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, _, err := ParseFrame(frames[0])
		if err != nil || got.SHA256 != c.want || got.Size != int64(len(plain)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
