package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// packing is how a name says that the file is packed.
const packing = ".zst"

// maxImage bounds what a packed image may unpack to.
const maxImage = 16 << 30

// rawCopy copies an image beside out, unpacked, has it changed, and makes out of it,
// packed if its name says so. out appears only when all went well.
func rawCopy(ctx context.Context, from, out string, change func(raw string) error) (err error) {
	raw, err := os.CreateTemp(filepath.Dir(out), ".sign-*.img")
	if err != nil {
		return fmt.Errorf("making a copy of the image: %w", err)
	}
	defer os.Remove(raw.Name()) // it is out by then, or worth nothing
	err = errors.Join(readImage(ctx, raw, from), raw.Chmod(0o644), raw.Close())
	if err != nil {
		return err
	}
	if err := change(raw.Name()); err != nil {
		return err
	}
	if !strings.HasSuffix(out, packing) {
		return os.Rename(raw.Name(), out)
	}
	part := out + ".part"
	if err := pack(ctx, part, raw.Name()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, out)
}

// unpacked returns a raw file with the image's content; done removes it, if it is a
// copy.
func unpacked(ctx context.Context, image string) (raw string, done func(), err error) {
	if !strings.HasSuffix(image, packing) {
		return image, func() {}, nil
	}
	f, err := os.CreateTemp("", "lwc-sign-*.img")
	if err != nil {
		return "", nil, fmt.Errorf("unpacking the image: %w", err)
	}
	done = func() { os.Remove(f.Name()) }
	if err := errors.Join(readImage(ctx, f, image), f.Close()); err != nil {
		done()
		return "", nil, err
	}
	return f.Name(), done, nil
}

// readImage writes the image's raw content to a file, without what is zero.
func readImage(ctx context.Context, to *os.File, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	defer in.Close()
	var source io.Reader = in
	if strings.HasSuffix(from, packing) {
		d, err := zstd.NewReader(in)
		if err != nil {
			return fmt.Errorf("unpacking the image: %w", err)
		}
		defer d.Close()
		source = d
	}
	if err := copySparse(ctx, to, source); err != nil {
		return fmt.Errorf("copying the image: %w", err)
	}
	return nil
}

func copySparse(ctx context.Context, to *os.File, from io.Reader) error {
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at <= maxImage; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := fill(from, buf)
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := to.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return to.Truncate(at)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it is cut off: fetch it again, or build it again")
		case err != nil:
			return err
		}
	}
	return fmt.Errorf("it has more than %d bytes", int64(maxImage))
}

// fill reads as far as there is something. Unlike io.ReadFull it keeps the end of what
// is whole (io.EOF) apart from that of a packed file which is cut off.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// pack packs as the build does.
func pack(ctx context.Context, to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("packing the image: %w", err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("packing the image: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	e, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return fmt.Errorf("packing the image: %w", err)
	}
	if _, err := io.Copy(e, stoppable{ctx, in}); err != nil {
		return fmt.Errorf("packing the image: %w", errors.Join(err, e.Close()))
	}
	return errors.Join(e.Close(), out.Sync())
}

// stoppable ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
