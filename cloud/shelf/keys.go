package shelf

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"lwc/cloud/edp"
	"lwc/cloud/keyfile"
	"lwc/image/release"
)

// Keys reads the keys that may sign releases; a file that is not there has none.
func Keys(file string) ([]ed25519.PublicKey, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of releases: %w", err)
	}
	return release.ParseKeys(text)
}

// AddKeys adds the keys of a PEM text to those of a file, each once. The file is
// looked at with each release that is added: no restart is needed.
func AddKeys(file string, text []byte) error {
	more, err := release.ParseKeys(text)
	if err != nil {
		return fmt.Errorf("%w: %w", err, edp.ErrInvalid)
	}
	keys, err := Keys(file)
	if err != nil {
		return err
	}
	for _, k := range more {
		if !slices.ContainsFunc(keys, func(o ed25519.PublicKey) bool { return o.Equal(k) }) {
			keys = append(keys, k)
		}
	}
	if len(keys) > release.MaxKeys {
		return fmt.Errorf("that would be %d keys, at most %d are possible: remove old ones first: %w", len(keys), release.MaxKeys, edp.ErrInvalid)
	}
	return writeKeys(file, keys)
}

// RemoveKey takes the key of that id out of a file. What it signed stays published.
func RemoveKey(file, id string) error {
	keys, err := Keys(file)
	if err != nil {
		return err
	}
	n := len(keys)
	keys = slices.DeleteFunc(keys, func(k ed25519.PublicKey) bool { return release.KeyID(k) == id })
	if len(keys) == n {
		return fmt.Errorf("key %.40q: %w", id, edp.ErrNotFound)
	}
	return writeKeys(file, keys)
}

func writeKeys(file string, keys []ed25519.PublicKey) error {
	var out []byte
	for _, k := range keys {
		block, err := release.MarshalKey(k)
		if err != nil {
			return err
		}
		out = append(out, block...)
	}
	return keyfile.Write(file, out)
}
