package boxkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// loadable is the type of a key that TPM2_Load takes (draft-bottomley-tpm2-keys
// section 3.1, id-loadablekey).
var loadable = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}

// ownerHierarchy is TPM_RH_OWNER: the parent is the storage root key that is made
// anew from its seed (the draft, section 3.1.7).
const ownerHierarchy = 0x40000001

// file is TPMKey of the draft, with what our keys have of it.
type file struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"optional,explicit,tag:0"`
	Parent    int64
	Public    []byte // TPM2B_PUBLIC
	Private   []byte // TPM2B_PRIVATE
}

// blob is what is kept of a key in a TPM: its public half, and its private one as
// the TPM has sealed it.
type blob struct {
	public  tpm2.TPM2BPublic
	private tpm2.TPM2BPrivate
	key     *ecdsa.PublicKey
}

func newBlob(public tpm2.TPM2BPublic, private tpm2.TPM2BPrivate) (blob, error) {
	area, err := public.Contents()
	if err != nil {
		return blob{}, fmt.Errorf("reading the public half: %w", err)
	}
	params, err := area.Parameters.ECCDetail()
	if err != nil {
		return blob{}, fmt.Errorf("reading the public half: %w", err)
	}
	point, err := area.Unique.ECC()
	if err != nil {
		return blob{}, fmt.Errorf("reading the public half: %w", err)
	}
	if params.CurveID != tpm2.TPMECCNistP256 {
		return blob{}, errors.New("the key is not one of P-256")
	}
	const size = 32 // bytes of a coordinate
	x, y := point.X.Buffer, point.Y.Buffer
	if len(x) > size || len(y) > size {
		return blob{}, errors.New("the key is not one of P-256")
	}
	flat := make([]byte, 1+2*size) // SEC 1 section 2.3.3; a TPM may leave leading zeros out
	flat[0] = 4
	copy(flat[1+size-len(x):], x)
	copy(flat[1+2*size-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), flat)
	if err != nil {
		return blob{}, fmt.Errorf("reading the public half: %w", err)
	}
	return blob{public, private, key}, nil
}

func (b blob) encode() ([]byte, error) {
	der, err := asn1.Marshal(file{Type: loadable, EmptyAuth: true, Parent: ownerHierarchy,
		Public: tpm2.Marshal(b.public), Private: tpm2.Marshal(b.private)})
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return der, nil
}

func decode(der []byte) (blob, error) {
	var f file
	rest, err := asn1.Unmarshal(der, &f)
	switch {
	case err != nil || len(rest) > 0:
		return blob{}, errors.New("it is not a key of a TPM")
	case !f.Type.Equal(loadable) || f.Parent != ownerHierarchy || !f.EmptyAuth:
		return blob{}, errors.New("it is a key of a TPM that lwcd did not make")
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](f.Public)
	if err != nil {
		return blob{}, errors.New("the public half is damaged")
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](f.Private)
	if err != nil {
		return blob{}, errors.New("the private half is damaged")
	}
	return newBlob(*public, *private)
}
