package seal

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"lwc/image/gpt"
	"lwc/image/release"
	"lwc/image/verity"
)

// Words are what a release says beside its files.
type Words struct {
	// Floor is the oldest version that may take this step; empty: any.
	Floor string
	// Security makes boxes take it that defer updates.
	Security bool
	// Notes for the administrator, plain text; may be empty.
	Notes string
	// Created is when it was made.
	Created time.Time
	// Rotate makes a release that Believed has an objection to: the image is the first
	// that believes other keys. It is not written into the release.
	Rotate bool
}

// Release takes the release out of a raw image and writes its bundle to out, a file
// that is replaced only when the bundle is whole. All release keys of the folder keys
// sign, and one of them has to be in the image (Believed). The kernel is the one that is
// in the image: sign the image first where Secure Boot is used.
func Release(ctx context.Context, image, keys, out string, words Words) (release.Manifest, error) {
	signers, err := ReleaseKeys(keys)
	if err != nil {
		return release.Manifest{}, err
	}
	d, err := openDisk(image)
	if err != nil {
		return release.Manifest{}, err
	}
	if !words.Rotate {
		if err := Believed(ctx, image, keys); err != nil {
			return release.Manifest{}, err
		}
	}
	w, err := newWorkshop()
	if err != nil {
		return release.Manifest{}, err
	}
	defer w.close()
	m := release.Manifest{V: release.Format, Version: d.version, Floor: words.Floor, Security: words.Security,
		Notes: words.Notes, Created: words.Created.UTC().Truncate(time.Second)}
	if m.Files, err = d.pack(ctx, w); err != nil {
		return release.Manifest{}, err
	}
	if err := signManifest(w, m, signers); err != nil {
		return release.Manifest{}, err
	}
	return m, writeBundle(ctx, w, m, out)
}

// pack packs the three files of a release into the workshop.
func (d disk) pack(ctx context.Context, w workshop) ([]release.File, error) {
	kernel := w.path("kernel")
	if err := d.takeKernel(ctx, kernel); err != nil {
		return nil, fmt.Errorf("taking the kernel out of the image: %w", err)
	}
	sources := []struct {
		role release.Role
		name string
		open func() (io.Reader, func() error, error)
	}{
		{release.Root, "lwc_" + d.version + ".root-" + identity(d.root) + ".raw", d.opener(d.root)},
		{release.Verity, "lwc_" + d.version + ".verity-" + identity(d.verity) + ".raw", d.opener(d.verity)},
		{release.UKI, "lwc_" + d.version + ".efi", func() (io.Reader, func() error, error) {
			f, err := os.Open(kernel)
			return f, f.Close, err
		}},
	}
	var files []release.File
	for _, s := range sources {
		f, err := packOne(ctx, w, s.role, s.name, s.open)
		if err != nil {
			return nil, fmt.Errorf("packing the %s: %w", s.role, err)
		}
		files = append(files, f)
	}
	return files, nil
}

func (d disk) opener(p gpt.Partition) func() (io.Reader, func() error, error) {
	return func() (io.Reader, func() error, error) { return d.open(p) }
}

func packOne(ctx context.Context, w workshop, role release.Role, name string, open func() (io.Reader, func() error, error)) (f release.File, err error) {
	in, closeIn, err := open()
	if err != nil {
		return f, err
	}
	defer closeIn()
	out, err := os.Create(w.path(name + release.Packing))
	if err != nil {
		return f, err
	}
	f, err = release.Pack(ctx, out, in, role, name)
	return f, errors.Join(err, out.Close())
}

// takeKernel copies the image's one kernel out, and sees that it starts the root
// that the release has: a mismatch would never boot.
func (d disk) takeKernel(ctx context.Context, to string) error {
	kernels, err := d.system().kernels(ctx)
	if err != nil {
		return err
	}
	if len(kernels) != 1 {
		return fmt.Errorf("there are %d instead of one: %q", len(kernels), kernels)
	}
	if err := d.system().take(ctx, kernels[0], to); err != nil {
		return err
	}
	kernel, err := os.Open(to)
	if err != nil {
		return err
	}
	defer kernel.Close()
	named, err := verity.Named(kernel)
	if want := identity(d.root) + identity(d.verity); err == nil && named != want {
		err = fmt.Errorf("its command line says roothash=%s, and the root's partitions are of %s", named, want)
	}
	return err
}

func signManifest(w workshop, m release.Manifest, signers []ed25519.PrivateKey) error {
	signed, err := release.Sign(m, signers...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path(release.ManifestName), signed, 0o600); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

func writeBundle(ctx context.Context, w workshop, m release.Manifest, out string) error {
	f, err := os.Create(out + ".part")
	if err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	err = errors.Join(release.WriteBundle(ctx, f, string(w), m), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(out+".part", out)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out+".part"))
	}
	return nil
}
