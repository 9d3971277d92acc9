package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A small file that unpacks to very much is not unpacked to its end.
func TestUnpackIsBounded(t *testing.T) {
	var packed bytes.Buffer
	f, err := Pack(t.Context(), &packed, io.LimitReader(zeros{}, 64<<20), Root, "x")
	if err != nil {
		t.Fatal(err)
	}
	if packed.Len() > 64<<10 {
		t.Errorf("%d bytes of zeros", packed.Len())
	}
	for _, size := range []int64{f.Size - 1, f.Size + 1, 5} {
		g, out := f, &counter{}
		g.Size = size
		if err := Unpack(t.Context(), out, bytes.NewReader(packed.Bytes()), g); !errors.Is(err, ErrFile) || out.n > size {
			t.Errorf("%d: %v after %d", size, err, out.n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Unpack(ctx, io.Discard, bytes.NewReader(packed.Bytes()), f); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A frame that wants more memory than ours do is refused before it gets it, and a
// packed form that unpacks to the right bytes has to be the one that was signed too.
func TestUnpackTakesOurFormAlone(t *testing.T) {
	const size = 20 << 20
	var packed bytes.Buffer
	f, err := Pack(t.Context(), &packed, io.LimitReader(zeros{}, size), Root, "x")
	if err != nil {
		t.Fatal(err)
	}
	f.PackedSHA256 = strings.Repeat("0", 64)
	if err := Unpack(t.Context(), io.Discard, &packed, f); !errors.Is(err, ErrFile) {
		t.Errorf("another packed form: %v", err)
	}
	var wide bytes.Buffer
	e, err := zstd.NewWriter(&wide, zstd.WithWindowSize(2*window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(e, io.LimitReader(zeros{}, size)); err != nil || e.Close() != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wide.Bytes())
	f.PackedSize, f.PackedSHA256 = int64(wide.Len()), hex.EncodeToString(sum[:])
	if err := Unpack(t.Context(), io.Discard, &wide, f); !errors.Is(err, ErrFile) {
		t.Errorf("a window of %d bytes: %v", 2*window, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }
