package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lwc/image/sums"
)

// ErrListExists is what MakeSums returns where the list is there and says something else.
var ErrListExists = errors.New("it exists and says something else: remove it, or name another one")

// MakeSums writes the list of checksums of some files. A list that is there is not
// replaced: it may be that of a build.
func MakeSums(ctx context.Context, list string, files []string) error {
	if !strings.HasSuffix(list, sums.Suffix) || filepath.Base(list) == sums.Suffix {
		return fmt.Errorf("making checksums: call the list NAME%s, so that it is found beside the files: not %s", sums.Suffix, list)
	}
	l, err := sums.Of(ctx, files)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(list)
	switch {
	case err == nil && bytes.Equal(old, l.Text()):
		return nil
	case err == nil:
		return fmt.Errorf("making %s: %w", list, ErrListExists)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("making checksums: %w", err)
	}
	if err := replace(list, l.Text()); err != nil {
		return fmt.Errorf("making checksums: %w", err)
	}
	return nil
}

// Sums signs a list of checksums with all release keys of the folder keys, and returns
// the names of the signatures, which lie beside the list. Every file of the list has to
// be there, and to be what the list says: a signature vouches for them.
func Sums(ctx context.Context, list, keys string) (made []string, err error) {
	signers, err := namedKeys(keys)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, fmt.Errorf("signing checksums: %w", err)
	}
	l, err := sums.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", list, err)
	}
	if err := l.Verify(ctx, filepath.Dir(list)); err != nil {
		return nil, fmt.Errorf("signing %s: %w", list, err)
	}
	for _, k := range signers {
		sig, err := sums.Sign(text, k.key)
		if err != nil {
			return made, fmt.Errorf("signing %s: %w", list, err)
		}
		name := sums.SignatureName(list, k.file)
		if err := replace(name, sig); err != nil {
			return made, fmt.Errorf("signing %s: %w", list, err)
		}
		made = append(made, name)
	}
	return made, nil
}

// replace writes a file that others may read, whole or not at all.
func replace(path string, b []byte) error {
	part := path + ".part"
	err := os.WriteFile(part, b, 0o644)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
