package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lwc/transport/uplink"
)

// pendingFile holds the key of an enrolment that is under way. A token is used
// up by the first answer of the cloud; if the power fails before the answer is
// saved, the same key may ask again with the same token, and no other.
const pendingFile = "enrolling.key"

// pendingKey reads the key of an enrolment that was cut off, or makes one.
func pendingKey(dir string) (crypto.Signer, error) {
	if key, err := readPending(dir); err == nil {
		return key, nil
	}
	key, err := uplink.NewKey()
	if err != nil {
		return nil, err
	}
	if err := writePending(dir, key); err != nil {
		return nil, fmt.Errorf("keeping the new identity key in %s: %w", dir, err)
	}
	return key, nil
}

func readPending(dir string) (crypto.Signer, error) {
	b, err := os.ReadFile(filepath.Join(dir, pendingFile))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("not a PEM file")
	}
	defer clear(block.Bytes)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", k)
	}
	return key, nil
}

func writePending(dir string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	defer clear(text)
	f, err := os.OpenFile(filepath.Join(dir, pendingFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// dropPending removes the key when it is part of the identity.
func dropPending(dir string) error { return erase(filepath.Join(dir, pendingFile), nil) }
