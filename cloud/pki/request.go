package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"lwc/transport/wire"
)

// ErrRequest says that a certificate request cannot be granted, whoever sends
// it.
var ErrRequest = errors.New("the certificate request cannot be used")

// maxRequest bounds a PKCS #10 request; one for P-256 has about 300 bytes.
const maxRequest = 8 << 10

// Request is a certificate request that proved to hold its private key.
type Request struct {
	ID   string // the proposed collector id; empty: the server names it
	Key  crypto.PublicKey
	SPKI string // the key in PKIX form, in base64
}

// ParseRequest reads a PKCS #10 request (RFC 2986). It checks its signature and
// the kind of key; all else that it asks for is ignored.
func ParseRequest(der []byte) (Request, error) {
	if len(der) > maxRequest {
		return Request{}, fmt.Errorf("reading a certificate request: %d bytes, more than %d: %w", len(der), maxRequest, ErrRequest)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Request{}, fmt.Errorf("reading a certificate request: it is not PKCS #10 in DER: %w", ErrRequest)
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return Request{}, fmt.Errorf("reading a certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("reading a certificate request: its signature is not of its own key: %w", ErrRequest)
	}
	r := Request{ID: csr.Subject.CommonName, Key: csr.PublicKey, SPKI: SPKI(csr.RawSubjectPublicKeyInfo)}
	if r.ID == "" {
		return r, nil
	}
	if err := CheckID(r.ID); err != nil {
		return Request{}, fmt.Errorf("reading a certificate request: %w: %w", err, ErrRequest)
	}
	return r, nil
}

// SPKI returns a SubjectPublicKeyInfo in the form that the registry keeps.
func SPKI(der []byte) string { return base64.StdEncoding.EncodeToString(der) }

func checkKey(k crypto.PublicKey) error {
	switch k := k.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
		return fmt.Errorf("its key is on curve %s; only P-256 and Ed25519 are accepted: %w", k.Curve.Params().Name, ErrRequest)
	}
	return fmt.Errorf("its key is a %T; only P-256 and Ed25519 are accepted: %w", k, ErrRequest)
}

// CheckID returns an error unless id may be given to a collector: a collector id
// that does not begin with the cloud's own name, which foreign brokers give
// rights over all topics.
func CheckID(id string) error {
	if err := wire.CheckCollectorID(id); err != nil {
		return err
	}
	if strings.HasPrefix(id, CloudName) {
		return fmt.Errorf("collector ids that begin with %s are reserved: choose another than %q", CloudName, id)
	}
	return nil
}

// CollectorOf returns the id in a certificate that was verified against the
// authority; an error if it is not of a collector.
func CollectorOf(c *x509.Certificate) (string, error) {
	id := c.Subject.CommonName
	if err := CheckID(id); err != nil {
		return "", fmt.Errorf("reading a collector certificate: %w", err)
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != "urn:lwc:"+id {
		return "", fmt.Errorf("reading a collector certificate: it is not of a collector")
	}
	return id, nil
}
