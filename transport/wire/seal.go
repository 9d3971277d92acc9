package wire

import (
	"crypto/hpke"
	"errors"
	"fmt"
)

// ErrSealed says that a sealed value cannot be opened here: it was sealed to
// another key (another boot), or for another purpose, or it was changed.
var ErrSealed = errors.New("the sealed value was not made for this key and purpose")

// The HPKE suite of protocol version 1 (RFC 9180): a hybrid post-quantum KEM.
func kem() hpke.KEM   { return hpke.MLKEM768X25519() }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.AES256GCM() }

// BootKey is an HPKE key pair that lives in RAM for one boot of a collector,
// or one generation of a cloud's ingest key.
type BootKey struct{ k hpke.PrivateKey }

// NewBootKey makes a key pair.
func NewBootKey() (BootKey, error) {
	k, err := kem().GenerateKey()
	if err != nil {
		return BootKey{}, fmt.Errorf("making an HPKE key: %w", err)
	}
	return BootKey{k}, nil
}

// LoadBootKey reads the form that Bytes returns. Only a cloud's ingest key is
// ever kept.
func LoadBootKey(b []byte) (BootKey, error) {
	k, err := kem().NewPrivateKey(b)
	if err != nil {
		return BootKey{}, fmt.Errorf("reading an HPKE key: %w", err)
	}
	return BootKey{k}, nil
}

// String keeps the key out of logs.
func (b BootKey) String() string { return "[HPKE key]" }

// GoString keeps the key out of logs.
func (b BootKey) GoString() string { return b.String() }

// Bytes returns the private key, for LoadBootKey.
func (b BootKey) Bytes() ([]byte, error) { return b.k.Bytes() }

// Public returns the public key as it stands in hello and welcome (1,216 bytes).
func (b BootKey) Public() []byte { return b.k.PublicKey().Bytes() }

// Open opens what SealTo sealed to this key for the same info.
func (b BootKey) Open(info string, sealed []byte) ([]byte, error) {
	if b.k == nil {
		return nil, fmt.Errorf("opening: no key: %w", ErrSealed)
	}
	p, err := hpke.Open(b.k, kdf(), aead(), []byte(info), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening for %q: %w", info, ErrSealed)
	}
	return p, nil
}

// SealTo seals plain to a public key for one purpose, named by info.
func SealTo(public []byte, info string, plain []byte) ([]byte, error) {
	pk, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("sealing for %q: the public key is none: %w", info, err)
	}
	return hpke.Seal(pk, kdf(), aead(), []byte(info), plain)
}

// CredentialInfo is the HPKE info of a sealed credential: it opens only in one
// boot of one collector, as one version of one credential.
func CredentialInfo(collector, boot, credential, version string) string {
	return "lwc-cred/v1|" + collector + "|" + boot + "|" + credential + "|" + version
}

// MaskingInfo is the HPKE info of a sealed masking key.
func MaskingInfo(collector, boot, version string) string {
	return "lwc-mask/v1|" + collector + "|" + boot + "|" + version
}

// bodyInfo is the HPKE info of a sealed frame body.
func bodyInfo(h Header) string {
	return fmt.Sprintf("lwc-body/v1|%s|%s|%s|%d", h.Collector, h.Boot, h.ID, h.Part)
}
