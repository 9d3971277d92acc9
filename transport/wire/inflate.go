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

// deflate compresses a body. The result never shares memory with plain.
func deflate(plain []byte) []byte {
	return encoder().EncodeAll(plain, make([]byte, 0, len(plain)/8+64))
}

// inflate undoes the compression named by enc. It returns exactly size bytes or
// an error, and never holds more than size+1.
func inflate(enc string, body []byte, size int64) ([]byte, error) {
	r, done, err := inflater(strings.TrimSuffix(enc, SealedSuffix), body)
	if err != nil {
		return nil, err
	}
	defer done()
	// The buffer grows with what really comes, not with what a header claims.
	var out bytes.Buffer
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

func inflater(enc string, body []byte) (r io.Reader, done func(), err error) {
	switch enc {
	case EncIdentity:
		return bytes.NewReader(body), func() {}, nil
	case EncGzip:
		g, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, nil, fmt.Errorf("inflating a body (gzip): %w", err)
		}
		return g, func() {}, nil
	case EncZstd:
		d, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(maxDecoderMemory), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("inflating a body (zstd): %w", err)
		}
		return d, d.Close, nil
	}
	return nil, nil, fmt.Errorf("encoding %.40q: %w", enc, ErrFrame)
}
