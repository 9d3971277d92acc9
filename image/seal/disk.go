package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"lwc/image/gpt"
)

// disk is a raw image and where its parts lie.
type disk struct {
	file string
	// version is the one of the root's label, lwc_VERSION.
	version           string
	esp, root, verity gpt.Partition
}

// rootLabel is the label of a slot that holds something.
var rootLabel = regexp.MustCompile(`^lwc_([0-9]+\.[0-9]+\.[0-9]+)$`)

// openDisk looks for the parts of an image. A disk that has run has a second slot
// and is refused: which of the two is meant would be a guess.
func openDisk(file string) (disk, error) {
	d := disk{file: file}
	f, err := os.Open(file)
	if err != nil {
		return d, fmt.Errorf("opening the image: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return d, fmt.Errorf("opening the image: %w", err)
	}
	parts, err := gpt.Read(f, size)
	if err != nil {
		return d, fmt.Errorf("opening the image %s: %w", file, err)
	}
	if err := d.choose(parts); err != nil {
		return d, fmt.Errorf("opening the image %s: %w", file, err)
	}
	return d, nil
}

func (d *disk) choose(parts []gpt.Partition) error {
	for _, want := range []struct {
		kind string
		to   *gpt.Partition
	}{{gpt.ESP, &d.esp}, {gpt.RootX64, &d.root}, {gpt.VerityX64, &d.verity}} {
		n := 0
		for _, p := range parts {
			if p.Type == want.kind {
				*want.to = p
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("it has %d partitions of type %s instead of one: is it an image as it was built?", n, want.kind)
		}
	}
	m := rootLabel.FindStringSubmatch(d.root.Label)
	if m == nil || d.verity.Label != d.root.Label {
		return fmt.Errorf("its root is labelled %q and its hashes %q: lwc_VERSION is expected", d.root.Label, d.verity.Label)
	}
	d.version = m[1]
	return nil
}

// identity is a partition's UUID in 32 digits, which is half of the root hash.
func identity(p gpt.Partition) string { return strings.ReplaceAll(p.UUID, "-", "") }

// open returns a partition's bytes; close ends it.
func (d disk) open(p gpt.Partition) (r io.Reader, close func() error, err error) {
	f, err := os.Open(d.file)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the image: %w", err)
	}
	return io.NewSectionReader(f, p.Start, p.Size), f.Close, nil
}

// sync brings what was written to the image to its medium.
func (d disk) sync() error {
	f, err := os.OpenFile(d.file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("syncing the image: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}
