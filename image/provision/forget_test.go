package provision

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestForgetOverwritesAndRemoves(t *testing.T) {
	dir := t.TempDir()
	key, other := filepath.Join(dir, "key.pem"), filepath.Join(t.TempDir(), "other")
	err := errors.Join(os.WriteFile(key, []byte("secret"), 0o600), os.Mkdir(filepath.Join(dir, "sub"), 0o700),
		os.WriteFile(filepath.Join(dir, "sub", "blob"), make([]byte, 200<<10), 0o600), os.WriteFile(other, []byte("kept"), 0o600), os.Symlink(other, filepath.Join(dir, "link")))
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for range 2 {
		if err := Forget(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 6)
	if n, _ := held.ReadAt(b, 0); n != 6 || string(b) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the file's blocks hold %q", b[:n])
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "kept" {
		t.Errorf("what a link leads to is %q (%v)", text, err)
	}
}

// Who may write to the folder can put a pipe in the place of a file that is about to be
// overwritten: opening it for writing would wait for ever.
func TestForgetWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	if err := mkfifo(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := zero(root, "key.pem"); !errors.Is(err, unix.ENXIO) {
		t.Error(err)
	}
}
