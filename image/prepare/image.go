package prepare

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/image/fat"
	"lwc/image/gpt"
	"lwc/image/sitefile"
)

// Errors that tell what to do, apart from those of the file itself, which are
// sitefile.Problems.
var (
	ErrExists = errors.New("it exists: remove it, or name another file with --out")
	ErrFolder = errors.New("it is a folder: name a file in it")
	ErrCutOff = errors.New("it is cut off")
	ErrImage  = errors.New("it has no partition LWCCONF: give an image of the appliance (lwc_VERSION.img or .img.zst), or a disk with one")
)

// Image writes the file text into an image and returns where the result is. The
// image is raw, or raw and packed with zstd. With out empty, a raw image, or a disk,
// is changed itself, and of a packed one the raw image is made beside it. Otherwise out
// is made, and the image stays. A result that exists is never replaced.
func Image(ctx context.Context, image, out string, text []byte) (result string, err error) {
	if _, err := sitefile.Parse(sitefile.Name, text); err != nil {
		return "", err
	}
	kind, err := sniff(image)
	if err != nil {
		return "", err
	}
	if kind == raw && out == "" {
		return image, inPlace(image, text)
	}
	out = cmp.Or(out, strings.TrimSuffix(image, ".zst"))
	if out == image {
		out += ".img" // a packed image without the name of one
	}
	if err := free(out); err != nil {
		return "", fmt.Errorf("making %s: %w", out, err)
	}
	return out, makeCopy(ctx, image, kind, out, text)
}

// free says why a result cannot be made at a path.
func free(path string) error {
	switch info, err := os.Lstat(path); {
	case err == nil && info.IsDir():
		return ErrFolder
	case err == nil:
		return ErrExists
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: make it first, or name another with --out", folder)
	} else if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is no folder: name another with --out", folder)
	}
	return nil
}

// inPlace changes a raw image, or a disk that nobody uses.
func inPlace(path string, text []byte) (err error) {
	flags := os.O_RDWR
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	device := info.Mode()&fs.ModeDevice != 0
	if device {
		flags |= os.O_EXCL // open(2): fails while the disk is mounted
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if !device {
		if err := f.Chmod(0o600); err != nil { // before the token is in it
			return err
		}
	}
	if err := install(f, text); err != nil {
		err = fmt.Errorf("preparing %s: %w", path, err)
		if !device && (errors.Is(err, ErrImage) || errors.Is(err, ErrCutOff)) { // nothing was written
			err = errors.Join(err, f.Chmod(info.Mode().Perm()))
		}
		return err
	}
	return nil
}

// makeCopy makes out whole or not at all.
func makeCopy(ctx context.Context, image string, kind form, out string, text []byte) (err error) {
	// A new file, which nobody else has opened: mode 0600.
	f, err := os.CreateTemp(filepath.Dir(out), filepath.Base(out)+".*.part")
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(temp, out)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	if err := unpack(ctx, f, image, kind); err != nil {
		return fmt.Errorf("copying %s: %w", image, err)
	}
	if err := install(f, text); err != nil {
		return fmt.Errorf("preparing %s: %w", image, err)
	}
	return nil
}

// install writes the file into the partition, reads it back and syncs.
func install(f *os.File, text []byte) error {
	size, err := f.Seek(0, io.SeekEnd) // a disk has no other size
	if err != nil {
		return err
	}
	parts, err := gpt.Read(f, max(size, gpt.Extent(f))) // all of them, also of one that is cut off
	if whole := wholeSize(f, parts); size < whole {
		return cutOff(size, whole)
	}
	if errors.Is(err, gpt.ErrTable) {
		return ErrImage
	} else if err != nil {
		return err
	}
	p, ok := gpt.Find(parts, sitefile.VolumeLabel)
	if !ok {
		return ErrImage
	}
	return put(f, p.Start, p.Size, text)
}

// imageSize is what the build gives the disk of an appliance: behind its partitions is
// room for those that the first start makes.
const imageSize = 1 << 30

// wholeSize is what a disk has at least.
func wholeSize(disk io.ReaderAt, parts []gpt.Partition) int64 {
	if _, starts := gpt.FindType(parts, gpt.ESP); starts {
		return max(gpt.Extent(disk), imageSize)
	}
	return gpt.Extent(disk)
}

// cutOff says how much is missing, and what to do. The sizes are those that a folder
// shows, and in words.
func cutOff(size, whole int64) error {
	return fmt.Errorf("%w: it has %d bytes (%s) of %d (%s): download it again and unpack it whole; lwc-cloud image check tells whether the download is what was released. A disk that was flashed is cut off too when it is too small",
		ErrCutOff, size, humanize.IBytes(uint64(size)), whole, humanize.IBytes(uint64(whole)))
}

// put writes the file into a volume and reads it back.
func put(f *os.File, start, size int64, text []byte) error {
	v, err := fat.Open(f, start, size)
	if err != nil {
		return err
	}
	if err := v.WriteFile(sitefile.Name, text, time.Now()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	got, err := v.ReadFile(sitefile.Name, sitefile.MaxSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, text) {
		return errors.New("reading back what was written: it differs: use another disk")
	}
	return nil
}
