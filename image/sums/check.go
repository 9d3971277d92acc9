package sums

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lwc/image/release"
)

// What is wrong with a file that was checked.
var (
	ErrNoList    = errors.New("no list of checksums names the file")
	ErrUnsigned  = errors.New("the list of checksums is not signed")
	ErrSignature = errors.New("no key that is trusted has signed the list of checksums")
	ErrDiffers   = errors.New("it is not the file that was released: fetch it again, and do not use this one")
)

const (
	signature = ".sig"
	// maxSignatures bounds what lies beside a list: one while all is well, two while a
	// key is being replaced.
	maxSignatures = 16
)

// SignatureName is the name of the signature beside a list, by the name of the key that
// made it: release.key.pem makes LIST.sig, release-2.key.pem LIST-2.sig.
func SignatureName(list, key string) string {
	which := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(key), ".key.pem"), "release")
	return list + which + signature
}

// Sign returns the signature of a list.
func Sign(text []byte, key ed25519.PrivateKey) ([]byte, error) {
	if _, err := Parse(text); err != nil {
		return nil, err
	}
	return ed25519.Sign(key, text), nil
}

// Checked is what was found out about a file.
type Checked struct {
	SHA256 string
	List   string            // the list that names it
	Key    ed25519.PublicKey // that signed the list; nil: not asked for
}

// Check sees that a file is the one that a list of checksums names, and that one of the
// trusted keys has signed the list. With list empty it is looked for beside the file.
// Without keys, who made the list is not looked at.
func Check(ctx context.Context, file, list string, trusted []ed25519.PublicKey) (Checked, error) {
	lists := []string{list}
	if list == "" {
		var err error
		if lists, err = beside(file); err != nil {
			return Checked{}, fmt.Errorf("looking for the checksums of %s: %w", file, err)
		}
	}
	var gravest error
	worst := 0
	for _, path := range lists { // an older release's may lie there, too
		c, err := check(ctx, file, path, trusted)
		if err == nil {
			return c, nil
		}
		if g := gravity(err, about(path, file)); g > worst {
			gravest, worst = err, g
		}
	}
	if gravest == nil {
		gravest = fmt.Errorf("%w: there is no file that ends with %s beside %s: put the list of its release there, and the signature (%s%s)", ErrNoList, Suffix, file, Suffix, signature)
	}
	return Checked{}, gravest
}

// gravity is how much an error says of the file itself, from 1. Where no list is good,
// the gravest is told, and none of a list that has nothing to do with the file.
func gravity(err error, about bool) int {
	kinds := []error{ErrDiffers, ErrSignature, ErrUnsigned, nil, ErrNoList}
	at := slices.IndexFunc(kinds, func(e error) bool { return e != nil && errors.Is(err, e) })
	if at < 0 {
		at = slices.Index(kinds, nil)
	}
	if about {
		at -= len(kinds)
	}
	return len(kinds) - at
}

// about tells whether a list names a file, or the one that it was unpacked from. This
// chooses what is told, and not what is believed.
func about(path, file string) bool {
	text, err := bounded(path, maxList)
	if err != nil {
		return false
	}
	list, err := Parse(text)
	_, as := list.Sum(filepath.Base(file))
	_, packed := list.Sum(filepath.Base(file) + release.Packing)
	return err == nil && (as || packed)
}

// beside lists the lists of checksums in the folder of a file.
func beside(file string) (out []string, err error) {
	folder := filepath.Dir(file)
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), Suffix) {
			out = append(out, filepath.Join(folder, e.Name()))
		}
	}
	return out, err
}

func check(ctx context.Context, file, path string, trusted []ed25519.PublicKey) (c Checked, err error) {
	c.List = path
	text, err := bounded(path, maxList)
	if err != nil {
		return c, fmt.Errorf("reading the checksums: %w", err)
	}
	if len(trusted) > 0 { // before a line of it is believed
		if c.Key, err = signer(path, text, trusted); err != nil {
			return c, err
		}
	}
	list, err := Parse(text)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	want, ok := list.Sum(filepath.Base(file))
	if !ok {
		return c, unnamed(list, file, path)
	}
	if c.SHA256, err = digest(ctx, file); err != nil {
		return c, fmt.Errorf("checking %s: %w", file, err)
	}
	if c.SHA256 != want {
		return c, fmt.Errorf("checking %s: %w\nits SHA-256 is %s\n%s says %s", file, ErrDiffers, c.SHA256, path, want)
	}
	return c, nil
}

// unnamed says what to do about a file that the list does not know.
func unnamed(list List, file, path string) error {
	name := filepath.Base(file)
	if _, ok := list.Sum(name + release.Packing); ok {
		return fmt.Errorf("%w: %s has %s%s: check that one, before it is unpacked", ErrNoList, path, name, release.Packing)
	}
	var known []string
	for _, e := range list {
		known = append(known, e.Name)
	}
	return fmt.Errorf("%w: %s is not among %s of %s: give it back the name that it was downloaded under", ErrNoList, name, strings.Join(known, ", "), path)
}

// signer returns the key that signed a list.
func signer(path string, text []byte, trusted []ed25519.PublicKey) (ed25519.PublicKey, error) {
	files, err := signatures(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signature of %s: %w", path, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: there is no %s%s: fetch it from where the list is", ErrUnsigned, path, signature)
	}
	for _, f := range files {
		sig, err := bounded(f, ed25519.SignatureSize)
		if err != nil {
			continue // what is too long is no signature; another one may be
		}
		if i := slices.IndexFunc(trusted, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, text, sig) }); i >= 0 {
			return trusted[i], nil
		}
	}
	return nil, fmt.Errorf("%w: %s is not what they signed: fetch it and its signature again, and do not use the files until this check succeeds", ErrSignature, path)
}

// signatures are the files beside a list that are called as its signatures are.
func signatures(list string) (out []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(list))
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(list))
		if ok && strings.HasSuffix(rest, signature) && len(out) < maxSignatures {
			out = append(out, filepath.Join(filepath.Dir(list), e.Name()))
		}
	}
	return out, err
}

// bounded reads a file of at most so many bytes.
func bounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, err
}
