package release

import (
	"archive/tar"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrBundle: the file is no bundle of a release.
var ErrBundle = errors.New("not a bundle of a release")

// ManifestName is the signed manifest's name, in a bundle and in a folder.
const ManifestName = "manifest.json"

// WriteBundle writes the release that lies in a folder, a signed manifest and the
// packed files, as one tar (ustar). Nothing is checked but that the sizes are right.
// The same release gives the same bytes.
func WriteBundle(ctx context.Context, w io.Writer, folder string, m Manifest) error {
	signed, err := os.ReadFile(filepath.Join(folder, ManifestName))
	if err != nil {
		return fmt.Errorf("writing a bundle: %w", err)
	}
	t := tar.NewWriter(w)
	if err := t.WriteHeader(header(ManifestName, int64(len(signed)), m.Created)); err != nil {
		return fmt.Errorf("writing a bundle: %w", err)
	}
	if _, err := t.Write(signed); err != nil {
		return fmt.Errorf("writing a bundle: %w", err)
	}
	for _, f := range m.Files {
		if err := addFile(ctx, t, folder, f, m.Created); err != nil {
			return fmt.Errorf("writing a bundle: %w", err)
		}
	}
	return t.Close()
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: at.Truncate(time.Second).UTC(), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
}

func addFile(ctx context.Context, t *tar.Writer, folder string, f File, at time.Time) error {
	in, err := os.Open(filepath.Join(folder, f.PackedName))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := t.WriteHeader(header(f.PackedName, f.PackedSize, at)); err != nil {
		return err
	}
	n, err := io.Copy(t, &stoppable{ctx, in})
	if err == nil && n != f.PackedSize {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d", ErrFile, f.PackedName, n, f.PackedSize)
	}
	return err
}

// ReadBundle reads a bundle from r into a folder that is there and empty: the signed
// manifest and the packed files, under their own names, mode 0644, synced. The order in
// the bundle is that of the manifest, so that nothing is written of a release that
// no trusted key has signed. Each file is unpacked on the way, to see that it is what
// the manifest promises. With an error, what lies in the folder is worth nothing; it is
// ErrSignature, ErrManifest, ErrFile, ErrBundle, or one of the disk.
func ReadBundle(ctx context.Context, r io.Reader, folder string, trusted []ed25519.PublicKey) (Manifest, error) {
	t := tar.NewReader(&stoppable{ctx, r})
	signed, err := readManifest(t)
	if err != nil {
		return Manifest{}, err
	}
	m, err := Open(signed, trusted)
	if err != nil {
		return Manifest{}, err
	}
	for _, f := range m.Files {
		if err := takeFile(ctx, t, folder, f); err != nil {
			return Manifest{}, err
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return Manifest{}, fmt.Errorf("%w: there is more in it than the manifest says", ErrBundle)
	}
	if err := writeSynced(filepath.Join(folder, ManifestName), func(w io.Writer) error { _, err := w.Write(signed); return err }); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func readManifest(t *tar.Reader) ([]byte, error) {
	if err := next(t, ManifestName, MaxSigned); err != nil {
		return nil, err
	}
	signed, err := io.ReadAll(t)
	if err != nil {
		return nil, cut(err)
	}
	return signed, nil
}

// next goes to the entry that has to come now.
func next(t *tar.Reader, name string, limit int64) error {
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends before %s", ErrBundle, name)
	case err != nil:
		return cut(err)
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%w: %.120q stands where the file %s belongs", ErrBundle, h.Name, name)
	case h.Size > limit:
		return fmt.Errorf("%w: %s has %d bytes, at most %d are possible", ErrBundle, name, h.Size, limit)
	}
	return nil
}

// cut says that the bundle cannot be read on; an end of the context stays what it is.
func cut(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBundle, err)
}

func takeFile(ctx context.Context, t *tar.Reader, folder string, f File) error {
	if err := next(t, f.PackedName, f.PackedSize); err != nil {
		return err
	}
	return writeSynced(filepath.Join(folder, f.PackedName), func(w io.Writer) error {
		return Unpack(ctx, io.Discard, io.TeeReader(t, w), f)
	})
}

// writeSynced makes a file that is not there yet.
func writeSynced(path string, fill func(io.Writer) error) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := fill(out); err != nil {
		return err
	}
	return out.Sync()
}
