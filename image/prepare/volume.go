package prepare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"lwc/image/fat"
	"lwc/image/sitefile"
)

// Volume makes a disk of its own that holds the file text, of fat.VolumeSize bytes
// and labelled LWCCONF: for a virtual machine, or a USB stick. A file without a token
// is good for a box that is enrolled: it gets new settings. A result that exists is not replaced.
func Volume(path string, text []byte) (err error) {
	if _, err := sitefile.ParseSettings(sitefile.Name, text); err != nil {
		return err
	}
	if err := free(path); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making %s: %w", path, ErrExists)
	} else if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := f.Truncate(fat.VolumeSize); err != nil {
		return err
	}
	now := time.Now()
	if err := fat.Format(f, sitefile.VolumeLabel, uint32(now.UnixNano()), now); err != nil {
		return err
	}
	return put(f, 0, fat.VolumeSize, text)
}
