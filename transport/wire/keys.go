package wire

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
)

func marshalPKIX(pub crypto.PublicKey) ([]byte, error) { return x509.MarshalPKIXPublicKey(pub) }

// SPKIHash is the SHA-256 of a certificate's SubjectPublicKeyInfo: what an
// enrolment token pins (RFC 7469 §2.4 defines the input).
func SPKIHash(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// Digest returns the SHA-256 of b in hexadecimal, the form that every message
// uses for a hash.
func Digest(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// ParsePublicKey reads a public key in PKIX form, as the bootstrap answer
// carries it.
func ParsePublicKey(der []byte) (crypto.PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	return k, nil
}
