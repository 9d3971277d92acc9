package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// ErrTooLarge says that a body is larger than its receiver takes, or inflates
// to more than its header says.
var ErrTooLarge = errors.New("the body is too large")

const (
	// zstdWindow keeps an encoder at 3.7 MiB instead of 17.7 at the default
	// window; replies of show commands compress alike.
	zstdWindow = 1 << 20
	// usualRatio is what few replies of show commands go beyond; they compress to a
	// tenth.
	usualRatio = 24
	// maxDecoderMemory bounds what a hostile window size can ask for.
	maxDecoderMemory = 32 << 20
)

// encoder is at the fastest level: on replies of show commands it makes two per
// cent more bytes than the default for a third of the time. A checksum of its own
// would add nothing to the SHA-256 that the receiver checks.
var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

// packs are buffers for compressed bodies on their way into frames. One that grew
// far beyond a block is left to the garbage collector.
var packs = sync.Pool{New: func() any { return new([]byte) }}

func returnPack(b *[]byte) {
	if cap(*b) <= 4*blockSize {
		packs.Put(b)
	}
}

// deflate appends a compressed body to dst.
func deflate(dst, plain []byte) []byte { return encoder().EncodeAll(plain, dst) }

// inflate undoes the compression named by enc. It returns exactly size bytes or
// an error, and never holds more than size+1.
func inflate(enc string, body []byte, size int64) ([]byte, error) {
	r, err := Inflater(enc, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// The buffer grows with what really comes, not with what a header claims; it
	// begins with what replies of show commands inflate to at most.
	var out bytes.Buffer
	out.Grow(int(min(size, usualRatio*int64(len(body)))) + bytes.MinRead)
	n, err := io.Copy(&out, io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("inflating a body (%s): %w", enc, err)
	case n > size:
		return nil, fmt.Errorf("inflating a body: more than the %d bytes of its header: %w", size, ErrTooLarge)
	case n < size:
		return nil, fmt.Errorf("inflating a body: %d bytes where its header says %d: %w", n, size, ErrFrame)
	}
	return out.Bytes(), nil
}

// Inflater undoes the compression named by enc while the body comes. It bounds
// its own memory; the bytes that it gives are for the caller to bound, by an
// io.LimitReader of the size that the header claims. The caller closes it.
func Inflater(enc string, body io.Reader) (io.ReadCloser, error) {
	switch strings.TrimSuffix(enc, SealedSuffix) {
	case EncIdentity:
		return io.NopCloser(body), nil
	case EncGzip:
		g, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("inflating a body (gzip): %w", err)
		}
		return g, nil
	case EncZstd:
		d, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(maxDecoderMemory), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("inflating a body (zstd): %w", err)
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("encoding %.40q: %w", enc, ErrFrame)
}
