package boottest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"lwc/testdata/need"
)

// ImageVariable names the image to be tested: a raw image, or one packed with zstd.
const ImageVariable = "LWC_IMAGE_TEST"

// Image returns the path of the image to be tested. Without one the test is
// skipped, as is said on the line: booting takes minutes, `make image-test` does it.
func Image(t testing.TB) string {
	t.Helper()
	file := os.Getenv(ImageVariable)
	if file == "" {
		t.Skip("make image-test runs this")
	}
	need.Root(t)
	if _, err := os.Stat(file); err != nil {
		need.Missing(t, "the image "+file+" (make image)")
	}
	return file
}

// DiskSize has room for the second slot and the state beside the image.
const DiskSize = 2 << 30

// NewDisk makes a disk of 2 GiB that begins with the image, and returns its path. It is
// removed when the test ends.
func NewDisk(t testing.TB, image string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	err := copyFile(disk, image)
	if err == nil {
		err = os.Truncate(disk, DiskSize)
	}
	if err != nil {
		t.Fatalf("making a disk: %v", err)
	}
	return disk
}

// copyFile copies a file, unpacked if its name ends with .zst, and leaves out what is
// zero: most of an image is.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	var source io.Reader = in
	if strings.HasSuffix(from, ".zst") {
		unpacked, err := zstd.NewReader(in)
		if err != nil {
			return err
		}
		defer unpacked.Close()
		source = unpacked
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	size, err := copySparse(out, source)
	if err == nil {
		err = out.Truncate(size)
	}
	return errors.Join(err, out.Close())
}

func copySparse(out io.WriterAt, in io.Reader) (size int64, err error) {
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(in, buf)
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := out.WriteAt(buf[:n], size); err != nil {
				return size, err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}
