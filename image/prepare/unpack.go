package prepare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"
)

// form is how an image file is packed.
type form int

const (
	raw form = iota
	packed
)

const (
	// maxRaw bounds what a packed image may become: the appliance's has 1 GiB.
	maxRaw = 8 << 30
	// block is the unit of holes in the result.
	block = 64 << 10
	// maxWindow bounds the memory that a packed image may ask for (RFC 8878 section
	// 3.1.1.1.2; zstd --ultra uses up to 128 MiB).
	maxWindow = 128 << 20
)

// foreign are the files that are not taken, by what they begin with, and what to do
// instead.
func foreign() []struct {
	at   int64
	mark string
	do   string
} {
	const attach = "give a virtual machine the file on a volume of its own (lwc-cloud image volume), or prepare the .img.zst"
	const first = "unpack it first"
	return []struct {
		at   int64
		mark string
		do   string
	}{
		{0, "QFI\xfb", "it is a qcow2: " + attach},
		{0, "KDMV", "it is a VMDK: " + attach},
		{0, "# Disk DescriptorFile", "it is a VMDK: " + attach},
		{0, "vhdxfile", "it is a VHDX: " + attach},
		{257, "ustar", "it is an OVA, or another archive: " + attach},
		{0, "\x1f\x8b", "it is packed with gzip: " + first},
		{0, "\xfd7zXZ\x00", "it is packed with xz: " + first},
		{0, "PK\x03\x04", "it is packed with zip: " + first},
	}
}

// sniff tells the form of an image.
func sniff(path string) (form, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return raw, fmt.Errorf("reading the image: there is no file %s: correct its name, or the folder", path)
	} else if err != nil {
		return raw, fmt.Errorf("reading the image: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return raw, err
	}
	head = head[:n]
	for _, x := range foreign() {
		if x.at < int64(n) && bytes.HasPrefix(head[x.at:], []byte(x.mark)) {
			return raw, fmt.Errorf("reading %s: %s", path, x.do)
		}
	}
	if bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}) { // RFC 8878 section 3.1.1
		return packed, nil
	}
	return raw, nil
}

// unpack copies an image to an empty file; zeros become holes.
func unpack(ctx context.Context, to *os.File, path string, kind form) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	if kind == raw {
		return sparse(ctx, to, from)
	}
	d, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer d.Close()
	return sparse(ctx, to, d)
}

func sparse(ctx context.Context, to *os.File, from io.Reader) error {
	buf, zeros := make([]byte, block), make([]byte, block)
	for at := int64(0); at <= maxRaw; {
		n, err := whole(from, buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := to.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return to.Truncate(at)
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it is cut off: fetch it again")
		case err != nil:
			return fmt.Errorf("%w: compare the file with SHA256SUMS, and fetch it again where it differs", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	return fmt.Errorf("it has more than %d bytes: it is no image of the appliance", int64(maxRaw))
}

// whole fills the buffer as far as there is something. Unlike io.ReadFull it keeps
// the end of what is whole (io.EOF) apart from that of what is cut off.
func whole(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
