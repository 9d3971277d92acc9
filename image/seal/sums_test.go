package seal

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lwc/image/sums"
)

// releaseKeys makes a folder with the release keys of these names.
func releaseKeys(t *testing.T, names ...string) (dir string, trusted []ed25519.PublicKey) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		public, private, err := ed25519.GenerateKey(nil)
		if err == nil {
			err = writePrivate(filepath.Join(dir, name), private)
		}
		if err != nil {
			t.Fatal(err)
		}
		trusted = append(trusted, public)
	}
	return dir, trusted
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Who downloads a file checks it by either key while one is replaced.
func TestSums(t *testing.T) {
	keys, trusted := releaseKeys(t, "release.key.pem", "release-2.key.pem")
	dir := t.TempDir()
	image, list := write(t, filepath.Join(dir, "lwc_1.2.3.signed.img.zst"), "image"), filepath.Join(dir, "lwc_1.2.3.signed.SHA256SUMS")
	if err := MakeSums(t.Context(), list, []string{image}); err != nil {
		t.Fatal(err)
	}
	made, err := Sums(t.Context(), list, keys)
	slices.Sort(made)
	if want := []string{list + "-2.sig", list + ".sig"}; err != nil || !slices.Equal(made, want) {
		t.Errorf("%q, %v", made, err)
	}
	for _, k := range trusted {
		if c, err := sums.Check(t.Context(), image, "", []ed25519.PublicKey{k}); err != nil || !k.Equal(c.Key) {
			t.Errorf("%+v, %v", c, err)
		}
	}
	if err := MakeSums(t.Context(), list, []string{image}); err != nil {
		t.Errorf("once more: %v", err)
	}
	write(t, image, "another image")
	if err := MakeSums(t.Context(), list, []string{image}); !errors.Is(err, ErrListExists) {
		t.Errorf("over another list: %v", err)
	}
}

// A signature vouches for files, so each has to be there and to be what the list says.
func TestWhatIsNotSigned(t *testing.T) {
	keys, _ := releaseKeys(t, "release.key.pem")
	dir := t.TempDir()
	image, list := write(t, filepath.Join(dir, "lwc_1.2.3.img.zst"), "image"), filepath.Join(dir, "lwc_1.2.3.SHA256SUMS")
	if err := MakeSums(t.Context(), list, []string{image}); err != nil {
		t.Fatal(err)
	}
	refused := func(want string) {
		t.Helper()
		made, err := Sums(t.Context(), list, keys)
		if err == nil || !strings.Contains(err.Error(), want) || len(made) > 0 {
			t.Errorf("%q, %v, want %s", made, err, want)
		}
		if _, err := os.Stat(list + ".sig"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("there is a signature: %v", err)
		}
	}
	write(t, image, "changed")
	refused("the list says")
	if err := os.Remove(image); err != nil {
		t.Fatal(err)
	}
	refused("no such file")
	write(t, list, "no list")
	refused("line 1 is not one of sha256sum")
	for _, name := range []string{"sums.txt", ".SHA256SUMS"} {
		if err := MakeSums(t.Context(), filepath.Join(dir, name), []string{list}); err == nil {
			t.Errorf("%s is the name of a list", name)
		}
	}
	if err := MakeSums(t.Context(), filepath.Join(dir, "a.SHA256SUMS"), []string{write(t, filepath.Join(dir, "a b"), "x")}); err == nil {
		t.Error("a name with a blank is taken")
	}
}
