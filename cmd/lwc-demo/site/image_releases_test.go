package site

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/image/release"
	"lwc/image/seal"
	"lwc/testdata/need"
)

// What make image-test-update makes beside the image under test: two newer images,
// the second with a program that ends at once in lwcd's place, and the keys
// that all three believe.
const (
	nextVariable   = "LWC_IMAGE_NEXT"
	brokenVariable = "LWC_IMAGE_BROKEN"
	keysVariable   = "LWC_IMAGE_KEYS"
)

// releases are bundles, and what is wrong with some.
type releases struct {
	t              *testing.T
	keys, stranger string // folders of keys
	next, broken   bundle
	unsigned       bundle // of a version above next, signed by a stranger
	older          bundle // signed well, of a version below all
}

// bundle is a release in a file.
type bundle struct {
	file string
	release.Manifest
}

// newReleases makes the bundles out of the images.
func newReleases(ctx context.Context, t *testing.T) *releases {
	t.Helper()
	r := &releases{t: t, keys: variable(t, keysVariable), stranger: filepath.Join(t.TempDir(), "stranger")}
	_, err := seal.MakeKeys(ctx, r.stranger)
	must(t, err)
	r.next = r.made(ctx, variable(t, nextVariable))
	r.broken = r.made(ctx, variable(t, brokenVariable))
	r.unsigned = r.renamed(ctx, "9999.9.9", r.stranger)
	r.older = r.renamed(ctx, "0.0.1", r.keys)
	return r
}

func variable(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, "the file in "+name+" (make image-test-update)")
	}
	return path
}

func (r *releases) made(ctx context.Context, image string) bundle {
	r.t.Helper()
	b := bundle{file: filepath.Join(r.t.TempDir(), "release.tar")}
	var err error
	b.Manifest, err = seal.Release(ctx, image, r.keys, b.file, seal.Words{Created: time.Now(), Notes: "of a test"})
	must(r.t, err)
	return b
}

// renamed makes the files of the next release one of another version, signed by the
// keys of a folder.
func (r *releases) renamed(ctx context.Context, version, keys string) bundle {
	r.t.Helper()
	dir := r.t.TempDir()
	r.unpack(ctx, r.next, dir)
	b := bundle{file: filepath.Join(r.t.TempDir(), "release.tar"), Manifest: r.next.Manifest}
	b.Version, b.Files = version, nil
	for _, f := range r.next.Files {
		old := f.PackedName
		f.Name = strings.Replace(f.Name, "lwc_"+r.next.Version+".", "lwc_"+version+".", 1)
		f.PackedName = f.Name + release.Packing
		must(r.t, os.Rename(filepath.Join(dir, old), filepath.Join(dir, f.PackedName)))
		b.Files = append(b.Files, f)
	}
	signers, err := seal.ReleaseKeys(keys)
	must(r.t, err)
	signed, err := release.Sign(b.Manifest, signers...)
	must(r.t, err)
	must(r.t, os.WriteFile(filepath.Join(dir, release.ManifestName), signed, 0o600))
	out, err := os.Create(b.file)
	must(r.t, err)
	defer out.Close()
	must(r.t, release.WriteBundle(ctx, out, dir, b.Manifest))
	return b
}

func (r *releases) unpack(ctx context.Context, b bundle, dir string) {
	r.t.Helper()
	in, err := os.Open(b.file)
	must(r.t, err)
	defer in.Close()
	_, err = release.ReadBundle(ctx, in, dir, r.trusted())
	must(r.t, err)
}

func (r *releases) trusted() []ed25519.PublicKey {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.keys, seal.ReleasePublic))
	must(r.t, err)
	keys, err := release.ParseKeys(text)
	must(r.t, err)
	return keys
}

// damaged copies a bundle and changes the copy.
func (r *releases) damaged(b bundle, change func([]byte) []byte) string {
	r.t.Helper()
	text, err := os.ReadFile(b.file)
	must(r.t, err)
	file := filepath.Join(r.t.TempDir(), "damaged.tar")
	must(r.t, os.WriteFile(file, change(text), 0o600))
	return file
}

// flipMiddle changes one bit in the middle.
func flipMiddle(b []byte) []byte { b[len(b)/2] ^= 1; return b }

// cutOff loses the last tenth.
func cutOff(b []byte) []byte { return b[:len(b)-len(b)/10] }

// trusts has the cloud believe the keys of a folder.
func (a *appliance) trusts(ctx context.Context, keys string) {
	a.t.Helper()
	_, err := a.Cloud(ctx, "release-keys", "--data", a.CloudData(), "--add", filepath.Join(keys, seal.ReleasePublic))
	must(a.t, err)
}

// publishes gives the cloud a release. It goes to no box by itself: the suite says
// when.
func (a *appliance) publishes(ctx context.Context, b bundle) {
	a.t.Helper()
	out, err := a.Cloud(ctx, "release", "add", b.file)
	must(a.t, err)
	a.t.Log(strings.TrimSpace(out))
}

// updateTime is for one release to be loaded, verified, written, and read back by an
// emulated machine, and for the starts after it.
const updateTime = 25 * time.Minute

// update has the cloud update the box, and waits for the end. The words are all that
// the cloud was told meanwhile.
func (a *appliance) update(ctx context.Context, version string) (words string, err error) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	began := time.Now()
	words, err = a.Cloud(ctx, "update", Collector, "--release", version, "--wait")
	a.t.Logf("update to %s ended after %v (%v):\n%s", version, time.Since(began).Round(time.Second), err, words)
	if err != nil {
		words += err.Error()
	}
	return words, err
}

// shelved is the place of a file of a release in the cloud's data.
func (a *appliance) shelved(name, version string) (string, error) {
	found, err := filepath.Glob(filepath.Join(a.CloudData(), "*", version, name))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("looking for %s of %s in the cloud's data: %q, %w", name, version, found, err)
	}
	return found[0], nil
}
