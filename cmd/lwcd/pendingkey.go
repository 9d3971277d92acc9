package main

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lwc/image/trial"
	"lwc/transport/boxkey"
)

// pendingFile holds the key of an enrolment that is under way. A token is used
// up by the first answer of the cloud; if the power fails before the answer is
// saved, the same key may ask again with the same token, and no other.
const pendingFile = "enrolling.key"

// enrolKey is the key to enrol with.
type enrolKey struct {
	crypto.Signer
	// whyFile is what kept a new key out of the TPM; nil: nothing, or it is no new one.
	whyFile error
	// lost is why the key of an enrolment that was cut off is given up; nil: it is this
	// one, or there was none.
	lost error
}

// pendingKey reads the key of an enrolment that was cut off, or makes one: in the
// TPM where there is one. A key may have used the token up, so that it is given up only
// where it is gone for good: its text is damaged, or another TPM made it. One that
// cannot be read now, and one in a TPM that cannot be used now (boxkey.ErrNoTPM), is an
// error and stays.
func pendingKey(dir, tpm string) (enrolKey, error) {
	text, err := os.ReadFile(filepath.Join(dir, pendingFile))
	defer clear(text)
	var lost error
	switch {
	case err == nil:
		var key crypto.Signer
		if key, lost = boxkey.Parse(tpm, text); lost == nil || errors.Is(lost, boxkey.ErrNoTPM) {
			return enrolKey{Signer: key}, lost
		}
	case !errors.Is(err, fs.ErrNotExist):
		return enrolKey{}, fmt.Errorf("reading the key of the enrolment that is under way: %w", err)
	}
	key, why := boxkey.Create(tpm)
	if key == nil {
		return enrolKey{}, why
	}
	if err := writePending(dir, key); err != nil {
		return enrolKey{}, fmt.Errorf("keeping the new identity key in %s: %w", dir, err)
	}
	return enrolKey{key, why, lost}, nil
}

// writePending replaces the file so that after a power cut the old key is there or the
// new one, whole.
func writePending(dir string, key crypto.Signer) (err error) {
	text, err := boxkey.Marshal(key)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+pendingFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, pendingFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return trial.SyncFolder(dir)
}

// dropPending removes the key when it is part of the identity.
func dropPending(dir string) error { return erase(filepath.Join(dir, pendingFile), nil) }
