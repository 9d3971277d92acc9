package seal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
)

// believing makes an image whose root has the release keys of folders.
func believing(t *testing.T, cmdline string, folders ...string) string {
	t.Helper()
	var text []byte
	for _, dir := range folders {
		b, err := os.ReadFile(filepath.Join(dir, ReleasePublic))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	return imageOf(t, rootWith(t, text), cmdline)
}

// rootWith makes a file system with the text as its release keys, and something to
// unpack beside it.
func rootWith(t *testing.T, text []byte) []byte {
	t.Helper()
	need.Program(t, "fsck.erofs")
	need.Program(t, "mkfs.erofs")
	dir, raw := t.TempDir(), filepath.Join(t.TempDir(), "root.erofs")
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "usr/lib/lwc"), 0o755), os.Symlink("usr/lib", filepath.Join(dir, "lib")),
		os.WriteFile(filepath.Join(dir, "usr/lib/lwc/release-keys"), text, 0o644), os.WriteFile(filepath.Join(dir, "usr/secret"), []byte("x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	mtool(t, "mkfs.erofs", "-zlz4hc", raw, dir)
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, -len(b)&(sector-1))...)
}

// A box that installs a release believes nothing but the keys in it from then on.
func TestStrandingRelease(t *testing.T) {
	dir, next := keys(t), keys(t)
	file := believing(t, goodLine, next)
	out := filepath.Join(t.TempDir(), "r.tar")
	_, err := Release(t.Context(), file, dir, out, Words{Created: time.Now()})
	if !errors.Is(err, ErrStranded) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a release that leaves its boxes behind: %v", err)
	}
	if left, _ := filepath.Glob(out + "*"); len(left) != 0 {
		t.Errorf("left %q behind", left)
	}
	if _, err := Release(t.Context(), file, dir, out, Words{Created: time.Now(), Rotate: true}); err != nil {
		t.Errorf("the key is replaced in one step: %v", err)
	}
	readBundle(t, out, dir)
	if _, err := Release(t.Context(), file, next, out, Words{Created: time.Now()}); err != nil {
		t.Errorf("by the key in the image: %v", err)
	}
}
