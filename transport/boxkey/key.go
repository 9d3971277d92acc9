package boxkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// DefaultDevice is the machine's TPM behind the kernel's resource manager, which
// keeps the users of a TPM apart (Documentation/security/tpm/tpm-security.rst).
const DefaultDevice = "/dev/tpmrm0"

// Place is where a key lives.
type Place string

// The places.
const (
	InTPM  Place = "tpm"
	InFile Place = "file"
)

var (
	// ErrNoTPM: there is no TPM, or none that answers, or one that fails at this moment,
	// or this user may not use it.
	ErrNoTPM = errors.New("there is no TPM that can be used")
	// ErrForeign: the TPM that is there did not make this key, or was cleared since.
	ErrForeign = errors.New("this TPM does not know the key: " +
		"the disk was moved here from another machine, or the TPM was cleared, or the file is damaged")
)

// The PEM types of a key.
const (
	pemFile = "PRIVATE KEY"
	pemTPM  = "TSS2 PRIVATE KEY"
)

// Create makes a key in the TPM of that device. Where that cannot be, it makes one
// that will lie in a file, and why says what was in the way; a machine without a
// TPM, and an empty device, are no error but ErrNoTPM all the same.
func Create(device string) (key crypto.Signer, why error) {
	k, err := createInTPM(device)
	if err == nil {
		return k, nil
	}
	soft, serr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if serr != nil {
		return nil, errors.Join(err, fmt.Errorf("making a key: %w", serr))
	}
	return soft, err
}

// Marshal returns the PEM text of a key that Create or Parse gave. That of a key
// in a file is a secret.
func Marshal(key crypto.Signer) ([]byte, error) {
	if k, ok := key.(*tpmKey); ok {
		der, err := k.blob.encode()
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: pemTPM, Bytes: der}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemFile, Bytes: der}), nil
}

// Parse reads the text of Marshal. A key in a TPM is tried there: the error is
// ErrNoTPM or ErrForeign where it cannot be used, and another where the text is
// damaged.
func Parse(device string, text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	defer clear(block.Bytes)
	switch block.Type {
	case pemTPM:
		b, err := decode(block.Bytes)
		if err != nil {
			return nil, err
		}
		k, err := openInTPM(device, b)
		if err != nil {
			return nil, err // not a nil key in an interface that is none
		}
		return k, nil
	case pemFile:
		return parseFile(block.Bytes)
	}
	return nil, fmt.Errorf("a PEM block %.40q is not a key of a box", block.Type)
}

func parseFile(der []byte) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("not a private key")
	}
	signer, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, not ECDSA", k)
	}
	return signer, nil
}

// PlaceOf tells where a key lives.
func PlaceOf(key crypto.Signer) Place {
	if _, ok := key.(*tpmKey); ok {
		return InTPM
	}
	return InFile
}
