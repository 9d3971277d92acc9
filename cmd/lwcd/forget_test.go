package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The wish for a reset is taken back as the kernel shows it: kept from being removed,
// where the file system of the test and the user can do that.
func TestDropVariable(t *testing.T) {
	path := filepath.Join(t.TempDir(), resetVariable)
	if err := dropVariable(path); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable); err == nil {
		if err := os.Remove(path); err == nil {
			t.Fatal("it was not kept from being removed")
		}
	} else {
		t.Logf("tested without the flag: %v", err)
	}
	if err := dropVariable(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
