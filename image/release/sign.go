package release

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// ErrSignature: no key that is trusted has signed this text as it stands.
var ErrSignature = errors.New("not signed by a key that is trusted")

const (
	// PayloadType is signed with the payload: a text of another kind, signed by the
	// same key, is no manifest.
	PayloadType = "application/vnd.lwc.release+json"
	// MaxSigned bounds a signed manifest.
	MaxSigned = 64 << 10
	// maxSignatures and MaxKeys bound what one signed text has us compute.
	maxSignatures = 16
	// MaxKeys is how many keys a box trusts at most.
	MaxKeys = 16
	// maxKeyFile bounds what ParseKeys reads.
	maxKeyFile = 64 << 10
)

// envelope is a DSSE envelope; []byte is base64 in JSON.
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	// KeyID is a hint that is not signed, and is not believed.
	KeyID string `json:"keyid,omitempty"`
	Sig   []byte `json:"sig"`
}

// encode is what is signed: DSSE's pre-authentication encoding, in which no two
// pairs of type and payload are the same bytes.
func encode(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// KeyID names a public key: the first 16 digits of its SHA-256.
func KeyID(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:8])
}

// Sign returns the manifest in an envelope that each of the keys has signed. The
// manifest is checked first.
func Sign(m Manifest, keys ...ed25519.PrivateKey) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if len(keys) == 0 || len(keys) > maxSignatures {
		return nil, fmt.Errorf("signing the manifest: %d keys, from 1 to %d are possible", len(keys), maxSignatures)
	}
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("signing the manifest: %w", err)
	}
	e := envelope{Payload: payload, PayloadType: PayloadType}
	for _, k := range keys {
		sig := ed25519.Sign(k, encode(PayloadType, payload))
		e.Signatures = append(e.Signatures, signature{KeyID(k.Public().(ed25519.PublicKey)), sig})
	}
	text, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return nil, fmt.Errorf("signing the manifest: %w", err)
	}
	if text = append(text, '\n'); len(text) > MaxSigned {
		return nil, bad("signed, it has %d bytes, at most %d are possible", len(text), MaxSigned)
	}
	return text, nil
}

// Open returns the manifest that one of the trusted keys has signed, checked whole.
// The error is ErrSignature when none has, ErrManifest when what was signed is no
// release. Nothing is returned with an error.
func Open(signed []byte, trusted []ed25519.PublicKey) (Manifest, error) {
	if len(signed) > MaxSigned {
		return Manifest{}, fmt.Errorf("%w: it has more than %d bytes", ErrSignature, MaxSigned)
	}
	var e envelope
	if err := json.Unmarshal(signed, &e); err != nil {
		return Manifest{}, fmt.Errorf("%w: it is no envelope: %w", ErrSignature, err)
	}
	if e.PayloadType != PayloadType {
		return Manifest{}, fmt.Errorf("%w: it holds %.60q instead of a release", ErrSignature, e.PayloadType)
	}
	if len(e.Signatures) > maxSignatures || len(trusted) > MaxKeys {
		return Manifest{}, fmt.Errorf("%w: %d signatures and %d keys are too many", ErrSignature, len(e.Signatures), len(trusted))
	}
	if !e.signedBy(trusted) {
		return Manifest{}, ErrSignature
	}
	var m Manifest
	if err := json.Unmarshal(e.Payload, &m); err != nil {
		return Manifest{}, bad("%v", err)
	}
	if err := m.Check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func (e envelope) signedBy(trusted []ed25519.PublicKey) bool {
	text := encode(e.PayloadType, e.Payload)
	return slices.ContainsFunc(trusted, func(k ed25519.PublicKey) bool {
		return len(k) == ed25519.PublicKeySize && slices.ContainsFunc(e.Signatures, func(s signature) bool {
			return ed25519.Verify(k, text, s.Sig)
		})
	})
}

// ParseKeys reads Ed25519 public keys, one block of PEM for each ("PUBLIC KEY", RFC
// 8410); text between the blocks is for people. It is an error when there is none, or
// one that is not understood.
func ParseKeys(text []byte) ([]ed25519.PublicKey, error) {
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("reading release keys: more than %d bytes", maxKeyFile)
	}
	var keys []ed25519.PublicKey
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		k, err := parseKey(block)
		if err != nil {
			return nil, fmt.Errorf("reading release key %d: %w", len(keys)+1, err)
		}
		if keys = append(keys, k); len(keys) > MaxKeys {
			return nil, fmt.Errorf("reading release keys: more than %d", MaxKeys)
		}
	}
	// A block that is cut off is passed over by pem.Decode.
	if n := bytes.Count(text, []byte("-----BEGIN")); n != len(keys) || n == 0 {
		return nil, fmt.Errorf("reading release keys: %d blocks begin, %d are whole", n, len(keys))
	}
	return keys, nil
}

func parseKey(block *pem.Block) (ed25519.PublicKey, error) {
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("it is a %.40q, no PUBLIC KEY", block.Type)
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if k, ok := k.(ed25519.PublicKey); ok {
		return k, nil
	}
	return nil, fmt.Errorf("it is a key of type %T, no Ed25519 key", k)
}

// MarshalKey writes a public key so that ParseKeys reads it.
func MarshalKey(k ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("writing a release key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
