package shelf_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/shelf"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// kit is a shelf over a real store.
type kit struct {
	*shelf.Shelf
	store *edp.Store
	dir   string
}

func newKit(t *testing.T) *kit {
	t.Helper()
	dir := t.TempDir()
	k := &kit{store: must(edp.Open(t.Context(), filepath.Join(dir, "edp.db")))(t), dir: dir}
	t.Cleanup(func() { _ = k.store.Close() })
	shelftest.Trust(t, filepath.Join(dir, "keys.pem"), shelftest.Key(1), shelftest.Key(2))
	k.open(t)
	return k
}

func (k *kit) open(t *testing.T) {
	t.Helper()
	k.Shelf = must(shelf.Open(t.Context(), shelf.Config{Dir: k.releases(), Keys: filepath.Join(k.dir, "keys.pem"), Store: k.store}))(t)
}

func (k *kit) releases() string { return filepath.Join(k.dir, "releases") }

// folders lists what lies in the folder of releases.
func (k *kit) folders(t *testing.T) string {
	t.Helper()
	var names []string
	for _, e := range must(os.ReadDir(k.releases()))(t) {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestAddAndWithdraw(t *testing.T) {
	k := newKit(t)
	first, second := shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil), shelftest.Bundle(t, "1.0.1", shelftest.Key(2),
		func(m *release.Manifest) { m.Security, m.Floor, m.Notes = true, "1.0.0", "It closes a hole." })
	r := must(k.Add(t.Context(), bytes.NewReader(first), "ada"))(t)
	if r.Version != "1.0.0" || r.State != edp.ReleasePublished || r.PublishedBy != "ada" || r.PublishedAt.IsZero() || r.Security {
		t.Errorf("%+v", r)
	}
	again := must(k.Add(t.Context(), bytes.NewReader(first), "bob"))(t)
	if !again.PublishedAt.Equal(r.PublishedAt) || again.PublishedBy != "ada" {
		t.Errorf("to add it again changed it: %+v", again)
	}
	if r = must(k.Add(t.Context(), bytes.NewReader(second), "ada"))(t); !r.Security || r.Floor != "1.0.0" || r.Notes == "" {
		t.Errorf("%+v", r)
	}
	if got := k.folders(t); got != "1.0.0 1.0.1" {
		t.Errorf("there are %s", got)
	}
	if r = must(k.Withdraw(t.Context(), "1.0.0", "ada", "it is slow"))(t); r.State != edp.ReleaseWithdrawn || r.Reason != "it is slow" {
		t.Errorf("%+v", r)
	}
	if got := k.folders(t); got != "1.0.1" {
		t.Errorf("after the withdrawal there are %s", got)
	}
	if _, err := k.Withdraw(t.Context(), "1.0.0", "ada", "again"); !errors.Is(err, edp.ErrConflict) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if _, err := k.Withdraw(t.Context(), "../edp.db", "ada", "x"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("a path: %v", err)
	}
	if r = must(k.Add(t.Context(), bytes.NewReader(first), "bob"))(t); r.State != edp.ReleasePublished || r.Reason != "" || r.PublishedBy != "bob" {
		t.Errorf("published again: %+v", r)
	}
	if got := k.folders(t); got != "1.0.0 1.0.1" {
		t.Errorf("at last there are %s", got)
	}
}

// What is no release of ours leaves nothing behind, and is told from our own trouble.
func TestBadBundles(t *testing.T) {
	k := newKit(t)
	good := shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)
	must(k.Add(t.Context(), bytes.NewReader(good), "ada"))(t)
	for name, c := range map[string]struct {
		bundle []byte
		want   error
	}{
		"empty":                     {nil, edp.ErrInvalid},
		"no tar":                    {bytes.Repeat([]byte("lwc"), 1000), edp.ErrInvalid},
		"a key nobody trusts":       {shelftest.Bundle(t, "1.0.1", shelftest.Key(9), nil), edp.ErrInvalid},
		"cut short":                 {shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil)[:200_000], edp.ErrInvalid},
		"one bit of a file":         {flip(shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil), 150_000), edp.ErrInvalid},
		"one bit of the manifest":   {flip(shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil), 700), edp.ErrInvalid},
		"another file in its place": {renamed(t, shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil)), edp.ErrInvalid},
		"a version that was used":   {shelftest.Bundle(t, "1.0.0", shelftest.Key(1), func(m *release.Manifest) { m.Notes = "another" }), edp.ErrConflict},
	} {
		if _, err := k.Add(t.Context(), bytes.NewReader(c.bundle), "ada"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := k.folders(t); got != "1.0.0" {
		t.Errorf("there are %s", got)
	}
	if list := must(k.store.Releases(t.Context()))(t); len(list) != 1 || list[0].Notes != "" {
		t.Errorf("%+v", list)
	}
}

func flip(b []byte, at int) []byte {
	b[at] ^= 1
	return b
}

// renamed gives the second file of a bundle a name that points out of the folder.
func renamed(t *testing.T, bundle []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(bundle)), tar.NewWriter(&out)
	for i := 0; ; i++ {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if i == 1 {
			h.Name = "../../evil"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWithoutKeysNothingIsPublished(t *testing.T) {
	k := newKit(t)
	if err := os.Remove(filepath.Join(k.dir, "keys.pem")); err != nil {
		t.Fatal(err)
	}
	_, err := k.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)), "ada")
	if !errors.Is(err, shelf.ErrNoKeys) || !strings.Contains(err.Error(), "release-keys") {
		t.Errorf("%v", err)
	}
}

// A crash leaves folders that no release is published of.
func TestACrashLeavesNothing(t *testing.T) {
	k := newKit(t)
	must(k.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)), "ada"))(t)
	for _, name := range []string{".incoming-123", "9.9.9", "notes-of-somebody"} {
		if err := os.MkdirAll(filepath.Join(k.releases(), name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	k.open(t)
	if got := k.folders(t); got != "1.0.0 notes-of-somebody" {
		t.Errorf("there are %s", got)
	}
	// Between the word of the store and the files.
	must(k.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "0.9.0", shelftest.Key(1), nil)), "ada"))(t)
	must(k.Withdraw(t.Context(), "0.9.0", "ada", "bad"))(t)
	if err := os.Mkdir(filepath.Join(k.releases(), "0.9.0"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.open(t)
	if got := k.folders(t); got != "1.0.0 notes-of-somebody" {
		t.Errorf("there are %s", got)
	}
	// Between the files and the word of the store.
	next := shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil)
	if err := os.MkdirAll(filepath.Join(k.releases(), "1.0.1", "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	must(k.Add(t.Context(), bytes.NewReader(next), "ada"))(t)
	if _, err := os.Stat(filepath.Join(k.releases(), "1.0.1", "old")); !os.IsNotExist(err) {
		t.Errorf("files of another release are served: %v", err)
	}
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.pem")
	if keys := must(shelf.Keys(file))(t); len(keys) != 0 {
		t.Fatalf("%d keys", len(keys))
	}
	other := filepath.Join(t.TempDir(), "other.pem")
	shelftest.Trust(t, other, shelftest.Key(1), shelftest.Key(2))
	for range 2 {
		if err := shelf.AddKeys(file, must(os.ReadFile(other))(t)); err != nil {
			t.Fatal(err)
		}
	}
	keys := must(shelf.Keys(file))(t)
	if len(keys) != 2 {
		t.Fatalf("%d keys", len(keys))
	}
	if err := shelf.AddKeys(file, []byte("no key")); !errors.Is(err, edp.ErrInvalid) {
		t.Errorf("%v", err)
	}
	var many []ed25519.PrivateKey
	for i := range release.MaxKeys - 1 {
		many = append(many, shelftest.Key(byte(100+i)))
	}
	shelftest.Trust(t, other, many...)
	if err := shelf.AddKeys(file, must(os.ReadFile(other))(t)); !errors.Is(err, edp.ErrInvalid) || !strings.Contains(err.Error(), "remove old ones first") {
		t.Errorf("too many keys: %v", err)
	}
	for _, k := range keys {
		if err := shelf.RemoveKey(file, release.KeyID(k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := shelf.RemoveKey(file, release.KeyID(keys[0])); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if keys = must(shelf.Keys(file))(t); len(keys) != 0 {
		t.Errorf("%d keys are left", len(keys))
	}
}

// A bad release is withdrawn while another one is still on its way.
func TestToWithdrawWaitsForNoUpload(t *testing.T) {
	k := newKit(t)
	must(k.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)), "ada"))(t)
	next := shelftest.Bundle(t, "1.0.1", shelftest.Key(1), nil)
	r, w := io.Pipe()
	added := make(chan error, 1)
	go func() { _, err := k.Add(t.Context(), r, "ada"); added <- err }()
	if _, err := w.Write(next[:len(next)/2]); err != nil { // then it is being read
		t.Fatal(err)
	}
	must(k.Withdraw(t.Context(), "1.0.0", "bob", "bad"))(t)
	if _, err := w.Write(next[len(next)/2:]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), <-added); err != nil {
		t.Fatal(err)
	}
	if got := k.folders(t); got != "1.0.1" {
		t.Errorf("there are %s", got)
	}
}

// Files that are lost are put back by adding the release again.
func TestLostFilesArePutBack(t *testing.T) {
	bundle := shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)
	for name, lose := range map[string]func(folder string, r edp.Release) error{
		"the folder": func(folder string, _ edp.Release) error { return os.RemoveAll(folder) },
		"the manifest": func(folder string, _ edp.Release) error {
			return os.Remove(filepath.Join(folder, release.ManifestName))
		},
		"a part of a file": func(folder string, r edp.Release) error {
			return os.Truncate(filepath.Join(folder, r.Files[1].PackedName), 7)
		},
	} {
		k := newKit(t)
		r := must(k.Add(t.Context(), bytes.NewReader(bundle), "ada"))(t)
		folder := filepath.Join(k.releases(), "1.0.0")
		if err := lose(folder, r); err != nil {
			t.Fatal(err)
		}
		k.open(t)
		again := must(k.Add(t.Context(), bytes.NewReader(bundle), "bob"))(t)
		if !again.PublishedAt.Equal(r.PublishedAt) || again.PublishedBy != "ada" {
			t.Errorf("%s: published anew: %+v", name, again)
		}
		for _, f := range r.Files {
			if info := must(os.Stat(filepath.Join(folder, f.PackedName)))(t); info.Size() != f.PackedSize {
				t.Errorf("%s: %s has %d bytes", name, f.PackedName, info.Size())
			}
		}
		must(os.Stat(filepath.Join(folder, release.ManifestName)))(t)
	}
}
