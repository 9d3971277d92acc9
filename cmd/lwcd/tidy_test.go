package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
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

// A partition that is full loses nothing that is kept there, and takes new things again
// once it is tidied.
func TestFullStateKeepsWhatIsThere(t *testing.T) {
	need.Root(t)
	runtime.LockOSThread() // the thread ends with the test, and its namespace with it
	if err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"size=64k", "nr_inodes=8"} {
		f := folder{dir: filepath.Join(t.TempDir(), "lwcd")}
		if err := errors.Join(os.Mkdir(f.dir, 0o700), unix.Mount("none", f.dir, "tmpfs", 0, room)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(f.dir, 0) }) // or else the folder cannot be removed, which is told
		first, second := tokenList{Endpoints: []string{"first.example:443"}}, tokenList{Endpoints: []string{"second.example:443"}}
		key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		if err := errors.Join(f.keep(first), writePending(f.dir, key)); err != nil {
			t.Fatal(err)
		}
		before := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, pendingFile)))
		var err error
		for i := 0; err == nil; i++ {
			err = os.WriteFile(filepath.Join(f.dir, fmt.Sprintf("x%d", i)), make([]byte, 4096), 0o600)
		}
		full := len(must[[]os.DirEntry](t)(os.ReadDir(f.dir)))
		for name, err := range map[string]error{"filling": err, "the list": f.keep(second), "the key": writePending(f.dir, key)} {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%s, %s: %v", room, name, err)
			}
		}
		after := must[[]byte](t)(os.ReadFile(filepath.Join(f.dir, pendingFile)))
		if list, err := f.list(); err != nil || list.Endpoints[0] != first.Endpoints[0] || !slices.Equal(before, after) {
			t.Errorf("%s: what was kept is %v (%v)", room, list, err)
		}
		if n := len(must[[]os.DirEntry](t)(os.ReadDir(f.dir))); n != full {
			t.Errorf("%s: %d files, and then %d", room, full, n)
		}
		if err := errors.Join(f.tidy(), f.keep(second), writePending(f.dir, key)); err != nil {
			t.Errorf("%s: after it was tidied: %v", room, err)
		}
	}
}
