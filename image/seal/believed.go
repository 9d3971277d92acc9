package seal

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"lwc/image/release"
	"lwc/image/sitefile"
)

// ErrStranded is what Believed and Release return where boxes would refuse all that
// comes after the release.
var ErrStranded = errors.New("boxes that install this release would refuse every later one that these keys sign")

// Believed sees that a box which runs the image takes the next release, signed by the
// keys of a folder: one of them has to be in the image's root. A box believes nothing
// but the keys of what it runs.
func Believed(ctx context.Context, image, keys string) error {
	signers, err := ReleaseKeys(keys)
	if err != nil {
		return err
	}
	d, err := openDisk(image)
	if err != nil {
		return err
	}
	w, err := newWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	inside, err := d.releaseKeys(ctx, w)
	if err != nil {
		return fmt.Errorf("reading the release keys in the image: %w", err)
	}
	var ours []ed25519.PublicKey
	for _, s := range signers {
		k, ok := s.Public().(ed25519.PublicKey)
		if ok && slices.ContainsFunc(inside, func(in ed25519.PublicKey) bool { return in.Equal(k) }) {
			return nil
		}
		ours = append(ours, k)
	}
	return fmt.Errorf("%w: the keys in the image are %s, those of %s are %s", ErrStranded, ids(inside), keys, ids(ours))
}

func ids(keys []ed25519.PublicKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, release.KeyID(k))
	}
	return strings.Join(all, ", ")
}

// releaseKeys reads the keys in the root, an erofs file system. The tools of Debian 12
// unpack all of it or nothing.
func (d disk) releaseKeys(ctx context.Context, w workshop) ([]ed25519.PublicKey, error) {
	raw, tree := w.path("root.raw"), w.path("root")
	if err := d.copyOut(ctx, raw); err != nil {
		return nil, err
	}
	if _, err := tool(ctx, "fsck.erofs", "--extract="+tree, "--no-preserve", raw); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(strings.TrimPrefix(sitefile.ReleaseKeysPath, "/"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys))
	if err != nil {
		return nil, err
	}
	return release.ParseKeys(text)
}

// maxKeys is more than release.ParseKeys takes.
const maxKeys = 1 << 20

// copyOut writes the root to a file of its own.
func (d disk) copyOut(ctx context.Context, to string) error {
	in, closeIn, err := d.open(d.root)
	if err != nil {
		return err
	}
	defer closeIn()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), context.Cause(ctx))
}
