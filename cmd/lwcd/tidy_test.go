package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a half that was taken over may leave, goes; the identity stays, and what a link
// leads to.
func TestTidyLeavesTheIdentityAlone(t *testing.T) {
	f, elsewhere := folder{dir: filepath.Join(t.TempDir(), "lwcd")}, t.TempDir()
	var want []string
	err := os.Mkdir(f.dir, 0o700)
	for _, name := range append(halfFiles(), listFile) {
		if name == "bootstrap.json" { // this one is a folder full of files
			continue
		}
		want = append(want, name)
		err = errors.Join(err, os.WriteFile(filepath.Join(f.dir, name), []byte(name), 0o600))
	}
	for i := range 100 {
		err = errors.Join(err, os.WriteFile(filepath.Join(f.dir, fmt.Sprintf(".key.pem-%d", i)), nil, 0o600), os.WriteFile(filepath.Join(f.dir, fmt.Sprintf("x%d", i)), nil, 0o400))
	}
	err = errors.Join(err, os.MkdirAll(filepath.Join(f.dir, "bootstrap.json/deep/deeper"), 0o700), os.WriteFile(filepath.Join(f.dir, "bootstrap.json/deep/x"), nil, 0o600),
		os.WriteFile(filepath.Join(elsewhere, "kept"), nil, 0o600), os.Symlink(elsewhere, filepath.Join(f.dir, "link")), os.Symlink("loop", filepath.Join(f.dir, "loop")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.tidy(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range must[[]os.DirEntry](t)(os.ReadDir(f.dir)) {
			got = append(got, e.Name())
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("it holds %q, want %q", got, want)
		}
	}
	for _, name := range want {
		if text, err := os.ReadFile(filepath.Join(f.dir, name)); err != nil || string(text) != name {
			t.Errorf("%s is %q (%v)", name, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "kept")); err != nil {
		t.Error(err)
	}
	if err := (folder{dir: filepath.Join(elsewhere, "none")}).tidy(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
