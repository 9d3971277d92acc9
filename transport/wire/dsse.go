package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ErrSignature says that a signed message was not signed by the key it must
// be signed by. A receiver drops the message and reports it.
var ErrSignature = errors.New("the signature does not match")

// maxSigned bounds a signed message before it is parsed. It is the frame limit:
// nothing larger passes a public broker.
const maxSigned = MaxFrame

// Envelope is a DSSE envelope (https://github.com/secure-systems-lab/dsse,
// envelope.md) with its payload in base64.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature of an Envelope.
type Signature struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   []byte `json:"sig"`
}

// payloadType is the type that binds a signature to one kind of message, so
// that a signed hello can never pass for a signed manifest.
func payloadType(k Kind) string { return "application/vnd.lwc." + string(k) + ".v1+json" }

// pae is the pre-authentication encoding of DSSE v1 (protocol.md).
func pae(typ string, payload []byte) []byte {
	b := make([]byte, 0, len(typ)+len(payload)+40)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(typ)), 10)
	b = append(b, ' ')
	b = append(b, typ...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// KeyID names a public key: the first 16 hexadecimal digits of the SHA-256 of
// its PKIX form.
func KeyID(pub crypto.PublicKey) string {
	der, err := marshalPKIX(pub)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(der))[:16]
}

// signEnvelope signs payload as a message of kind k. The key is ECDSA P-256 (a
// collector's identity; the signature is ASN.1 over SHA-256) or Ed25519 (the
// config-signing key of the cloud).
func signEnvelope(k Kind, payload []byte, key crypto.Signer) (Envelope, error) {
	typ := payloadType(k)
	msg, opts := pae(typ, payload), crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		d := sha256.Sum256(msg)
		msg, opts = d[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, msg, opts)
	if err != nil {
		return Envelope{}, fmt.Errorf("signing a %s: %w", k, err)
	}
	return Envelope{PayloadType: typ, Payload: payload,
		Signatures: []Signature{{KeyID: KeyID(key.Public()), Sig: sig}}}, nil
}

// verify returns the payload if one of the signatures is of pub.
func (e Envelope) verify(k Kind, pub crypto.PublicKey) ([]byte, error) {
	if e.PayloadType != payloadType(k) {
		return nil, fmt.Errorf("reading a signed %s: the payload type is %.80q: %w", k, e.PayloadType, ErrSignature)
	}
	msg := pae(e.PayloadType, e.Payload)
	for _, s := range e.Signatures {
		if verifyOne(pub, msg, s.Sig) {
			return e.Payload, nil
		}
	}
	return nil, fmt.Errorf("reading a signed %s: %w", k, ErrSignature)
}

func verifyOne(pub crypto.PublicKey, msg, sig []byte) bool {
	switch p := pub.(type) {
	case ed25519.PublicKey:
		return len(p) == ed25519.PublicKeySize && ed25519.Verify(p, msg, sig)
	case *ecdsa.PublicKey:
		d := sha256.Sum256(msg)
		return ecdsa.VerifyASN1(p, d[:], sig)
	}
	return false
}

// Sign returns v as signed JSON: a DSSE envelope around the JSON of v.
func Sign(k Kind, v any, key crypto.Signer) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a %s: %w", k, err)
	}
	e, err := signEnvelope(k, payload, key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// Verify checks signed JSON of kind k against pub and decodes its payload into
// v. It leaves v alone unless the signature is good. Unknown fields are
// ignored; a version other than Version is refused.
func Verify(k Kind, msg []byte, pub crypto.PublicKey, v any) error {
	if len(msg) > maxSigned {
		return fmt.Errorf("reading a signed %s: %d bytes, more than %d", k, len(msg), maxSigned)
	}
	var e Envelope
	if err := json.Unmarshal(msg, &e); err != nil {
		return fmt.Errorf("reading a signed %s: %w", k, err)
	}
	payload, err := e.verify(k, pub)
	if err != nil {
		return err
	}
	return decodeVersioned(k, payload, v)
}

// Decode reads an unsigned JSON message (health, event, bye) into v.
func Decode(k Kind, msg []byte, v any) error {
	if len(msg) > maxSigned {
		return fmt.Errorf("reading a %s: %d bytes, more than %d", k, len(msg), maxSigned)
	}
	return decodeVersioned(k, msg, v)
}

func decodeVersioned(k Kind, b []byte, v any) error {
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("reading a %s: %w", k, err)
	}
	if head.V != Version {
		return fmt.Errorf("reading a %s: protocol version %d, this side speaks %d: update the older side", k, head.V, Version)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading a %s: %w", k, err)
	}
	return nil
}
