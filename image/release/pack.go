package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrFile: a file is not the one that the manifest promises.
var ErrFile = errors.New("not the file of the release")

// window is the largest window of zstd that is unpacked: what level 19 uses, and all
// the memory that a hostile frame can ask for (RFC 8878, section 3.1.1.1.2).
const window = 8 << 20

// Unpack reads the packed form of f from packed to its end and writes what it holds to
// dst. Not a byte more is read or written than the manifest promises; the error is
// ErrFile unless both forms have the size and the hash that it says. What was written
// is worth nothing then.
func Unpack(ctx context.Context, dst io.Writer, packed io.Reader, f File) error {
	in := &sum{hash: sha256.New(), limit: f.PackedSize}
	out := &sum{hash: sha256.New(), limit: f.Size}
	source := io.TeeReader(&stoppable{ctx, packed}, in)
	d, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name, err)
	}
	defer d.Close()
	if _, err := io.Copy(io.MultiWriter(out, dst), d); err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name, oneOf(err))
	}
	// The decoder may leave what stands after the last frame.
	if _, err := io.Copy(io.Discard, source); err != nil {
		return fmt.Errorf("unpacking %s: %w", f.Name, err)
	}
	if err := in.check(f.PackedName, f.PackedSHA256); err != nil {
		return err
	}
	return out.check(f.Name, f.SHA256)
}

// oneOf says what is wrong with a text that zstd does not take.
func oneOf(err error) error {
	if errors.Is(err, ErrFile) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFile, err)
}

// stoppable ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// sum takes the hash of what is written to it, up to a limit.
type sum struct {
	hash  hash.Hash
	n     int64
	limit int64
}

func (s *sum) Write(p []byte) (int, error) {
	if s.n+int64(len(p)) > s.limit {
		return 0, fmt.Errorf("%w: it is longer than the %d bytes that the manifest says", ErrFile, s.limit)
	}
	s.n += int64(len(p))
	return s.hash.Write(p)
}

func (s *sum) check(name, want string) error {
	if s.n != s.limit {
		return fmt.Errorf("%w: %s ends after %d of %d bytes", ErrFile, name, s.n, s.limit)
	}
	if hex.EncodeToString(s.hash.Sum(nil)) != want {
		return fmt.Errorf("%w: %s has another SHA-256 than the manifest says", ErrFile, name)
	}
	return nil
}

// Pack packs what r holds into w, and returns the file's entry for a manifest. The
// same bytes give the same packed bytes.
func Pack(ctx context.Context, w io.Writer, r io.Reader, role Role, name string) (File, error) {
	plain := &sum{hash: sha256.New(), limit: role.limit()}
	packed := &sum{hash: sha256.New(), limit: packedLimit(role.limit())}
	e, err := zstd.NewWriter(io.MultiWriter(packed, w), zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return File{}, fmt.Errorf("packing %s: %w", name, err)
	}
	if _, err := io.Copy(e, io.TeeReader(&stoppable{ctx, r}, plain)); err != nil {
		return File{}, fmt.Errorf("packing %s: %w", name, errors.Join(err, e.Close()))
	}
	if err := e.Close(); err != nil {
		return File{}, fmt.Errorf("packing %s: %w", name, err)
	}
	return File{Role: role, Name: name, Size: plain.n, SHA256: hex.EncodeToString(plain.hash.Sum(nil)),
		PackedName: name + Packing, PackedSize: packed.n, PackedSHA256: hex.EncodeToString(packed.hash.Sum(nil))}, nil
}
