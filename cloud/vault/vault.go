// Package vault keeps the secrets of device credentials unreadable at rest.
//
// Open loads the master key of a data folder, or makes it. Encrypt seals one
// secret with AES-256-GCM, bound to the name of its credential, so that a cipher
// moved to another row of the database does not open. Whoever holds the
// database without the key file holds no secret.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"lwc/cloud/keyfile"
	"lwc/transport/wire"
)

// KeyFile is the name of the master key's file in the data folder.
const KeyFile = "vault.key"

// ErrCipher says that a cipher was not made by this vault for this name.
var ErrCipher = errors.New("the stored credential does not open with the key of this data folder")

const (
	keyLen = 32
	// formatV1 begins a cipher; a 12-byte nonce, the AES-256-GCM text and its
	// tag follow.
	formatV1 = 1
)

// Vault seals and opens credential secrets. It is safe for concurrent use.
type Vault struct {
	aead cipher.AEAD
	mac  []byte // key of Version
}

// Open returns the vault of a data folder. The first time it makes the master
// key.
func Open(dir string) (*Vault, error) {
	path := filepath.Join(dir, KeyFile)
	key, err := keyfile.Ensure(path, func() ([]byte, error) {
		k := make([]byte, keyLen)
		_, err := rand.Read(k)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	defer clear(key)
	if len(key) != keyLen {
		return nil, fmt.Errorf("opening the vault: %s has %d bytes, a key has %d: restore it from a backup", path, len(key), keyLen)
	}
	return fromKey(key)
}

func fromKey(master []byte) (*Vault, error) {
	seal, err := hkdf.Key(sha256.New, master, nil, "lwc-vault/v1 seal", keyLen)
	if err != nil {
		return nil, fmt.Errorf("deriving the vault's keys: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, master, nil, "lwc-vault/v1 version", keyLen)
	if err != nil {
		return nil, fmt.Errorf("deriving the vault's keys: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	// The nonce is random: 2^32 secrets of one key are safe.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	return &Vault{aead: aead, mac: mac}, nil
}

// Encrypt seals the secret of the credential called id.
func (v *Vault) Encrypt(id string, s wire.CredentialSecret) ([]byte, error) {
	plain, err := s.Marshal()
	if err != nil {
		return nil, fmt.Errorf("sealing credential %q: %w", id, err)
	}
	defer clear(plain)
	return v.aead.Seal([]byte{formatV1}, nil, plain, []byte(id)), nil
}

// Decrypt opens what Encrypt sealed for the same id. The caller wipes the
// result.
func (v *Vault) Decrypt(id string, sealed []byte) (wire.CredentialSecret, error) {
	if len(sealed) == 0 || sealed[0] != formatV1 {
		return wire.CredentialSecret{}, fmt.Errorf("opening credential %q: %w", id, ErrCipher)
	}
	plain, err := v.aead.Open(nil, nil, sealed[1:], []byte(id))
	if err != nil {
		return wire.CredentialSecret{}, fmt.Errorf("opening credential %q: %w", id, ErrCipher)
	}
	defer clear(plain)
	return wire.ParseCredential(plain)
}

// Seal seals bytes that are no credential, under a name of their own: it must
// not be the id of a credential.
func (v *Vault) Seal(name string, plain []byte) []byte {
	return v.aead.Seal([]byte{formatV1}, nil, plain, []byte(name))
}

// Unseal opens what Seal sealed under the same name. The caller wipes the
// result.
func (v *Vault) Unseal(name string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != formatV1 {
		return nil, fmt.Errorf("opening %q: %w", name, ErrCipher)
	}
	plain, err := v.aead.Open(nil, nil, sealed[1:], []byte(name))
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", name, ErrCipher)
	}
	return plain, nil
}

// MaskingKey is the name of the key of a collector's pseudonyms, for Seal. No
// credential is called so: their ids have no space.
func MaskingKey(collector string) string { return "masking key of " + collector }

// Version names the secret of a credential without telling it: equal secrets
// of one id have equal versions. It is a keyed hash, of no use without the
// master key.
func (v *Vault) Version(id string, s wire.CredentialSecret) (string, error) {
	plain, err := s.Marshal()
	if err != nil {
		return "", fmt.Errorf("naming the version of credential %q: %w", id, err)
	}
	defer clear(plain)
	m := hmac.New(sha256.New, v.mac)
	fmt.Fprintf(m, "%d:%s", len(id), id)
	m.Write(plain)
	return hex.EncodeToString(m.Sum(nil))[:16], nil
}
