package main

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lwc/transport/boxkey"
)

// pendingFile holds the key of an enrolment that is under way. A token is used
// up by the first answer of the cloud; if the power fails before the answer is
// saved, the same key may ask again with the same token, and no other.
const pendingFile = "enrolling.key"

// pendingKey reads the key of an enrolment that was cut off, or makes one: in the
// TPM where there is one. why tells what kept a new key out of it. One that is in a
// TPM which is not there now is waited for (boxkey.ErrNoTPM): it may have used the
// token up.
func pendingKey(dir, tpm string) (key crypto.Signer, why, err error) {
	key, err = readPending(dir, tpm)
	if err == nil || errors.Is(err, boxkey.ErrNoTPM) {
		return key, nil, err
	}
	if key, why = boxkey.Create(tpm); key == nil {
		return nil, nil, why
	}
	if err := writePending(dir, key); err != nil {
		return nil, nil, fmt.Errorf("keeping the new identity key in %s: %w", dir, err)
	}
	return key, why, nil
}

func readPending(dir, tpm string) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, pendingFile))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return boxkey.Parse(tpm, b)
}

func writePending(dir string, key crypto.Signer) error {
	text, err := boxkey.Marshal(key)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, pendingFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// dropPending removes the key when it is part of the identity.
func dropPending(dir string) error { return erase(filepath.Join(dir, pendingFile), nil) }
