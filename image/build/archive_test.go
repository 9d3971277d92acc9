package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// released is a cache and a dist after a release was built.
func released(t *testing.T) *build {
	t.Helper()
	b := outcome(t, "257.13")
	for name, text := range map[string]string{
		sourcesFile: "Types: deb\n", "tools.list": debian + " " + strings.Join(toolPackages, " ") + "\n",
		"tools/usr/bin/mkosi": "#!", "keys/release.pub.pem": "public", "packages/cache/apt/pkgcache.bin": "made anew",
	} {
		path := filepath.Join(b.cache, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("mkosi", filepath.Join(b.cache, "tools/usr/bin/link")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.provenance(t.Context(), []string{b.result(".img.zst")}); err != nil {
		t.Fatal(err)
	}
	return b
}

// What is unpacked is all that the build was given, and no more; the cache of this
// machine has no part in it.
func TestArchiveHoldsWhatTheReleaseWasBuiltFrom(t *testing.T) {
	b := released(t)
	if err := b.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := &build{options: options{cache: t.TempDir(), packages: b.result(".packages.tar.zst"), offline: true, clean: true, keys: "mine.pem"}, log: io.Discard}
	mine := later.cache
	if err := later.unpack(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(later.cache, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(later.cache, path)
			got = append(got, name)
		}
		return err
	})
	want := []string{sourcesFile, archives + "/tar_1%3a1.0_all.deb", "packages/lib/apt/lists/x_InRelease", "py/mkosi", "tools.list", "tools/usr/bin/link", "tools/usr/bin/mkosi", "tools/var/lib/dpkg/status"}
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("unpacked (%v):\n%q, want\n%q", err, got, want)
	}
	if filepath.Dir(later.cache) != mine || !strings.HasPrefix(later.tree, later.cache) || later.keys != "mine.pem" {
		t.Errorf("it builds in %s, with the cache %s and the keys %s", later.tree, later.cache, later.keys)
	}
	if err := os.MkdirAll(filepath.Join(later.tree, "mkosi.sandbox/etc/apt/sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := later.stageSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(later.tree, "mkosi.sandbox/etc/apt/sources.list.d", sourcesFile)); err != nil || string(text) != "Types: deb\n" {
		t.Errorf("the sources are %q (%v)", text, err)
	}
}

func TestArchiveOfAnotherBuildIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(b *build) error{
		"another package": func(b *build) error {
			return os.WriteFile(filepath.Join(b.cache, archives, "tar_1%3a1.0_all.deb"), []byte("newer"), 0o644)
		},
		"no package": func(b *build) error { return os.Remove(filepath.Join(b.cache, archives, "tar_1%3a1.0_all.deb")) },
		"other tools": func(b *build) error {
			return os.WriteFile(filepath.Join(b.cache, "tools/var/lib/dpkg/status"), []byte("Package: mkosi\nVersion: 26\n"), 0o644)
		},
		"other lists": func(b *build) error {
			return os.WriteFile(filepath.Join(b.cache, listsFolder, "x_InRelease"), []byte("newer"), 0o644)
		},
		"no lists":  func(b *build) error { return os.RemoveAll(filepath.Join(b.cache, "packages/lib")) },
		"no papers": func(b *build) error { return os.Remove(b.result(".provenance.json")) },
	} {
		b := released(t)
		if err := spoil(b); err != nil {
			t.Fatal(err)
		}
		if err := b.keep(t.Context()); err == nil {
			t.Errorf("%s: there is an archive", name)
		}
		if left, err := filepath.Glob(b.result(".packages*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q is left (%v)", name, left, err)
		}
	}
}

func TestDamagedArchiveIsRefused(t *testing.T) {
	b := released(t)
	if err := b.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := b.result(".packages.tar.zst")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	later := &build{options: options{cache: t.TempDir(), packages: path, offline: true, keys: "mine.pem"}, log: io.Discard}
	mine := later.cache
	if err := later.unpack(t.Context()); err == nil {
		t.Error("half of an archive is taken")
	}
	if left, err := os.ReadDir(mine); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
