package boxkey

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"encoding/asn1"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// tpmKey is a key in a TPM. It stays loaded between two signatures, and is loaded
// anew after a failure: a TPM may be reset, and its driver be taken away and come
// back.
type tpmKey struct {
	device string
	blob   blob

	mu     sync.Mutex // held while the TPM is asked
	tpm    transport.TPMCloser
	handle tpm2.NamedHandle
}

// Public implements crypto.Signer.
func (k *tpmKey) Public() crypto.PublicKey { return k.blob.key }

// Sign implements crypto.Signer for digests by SHA-256, which is all that a
// certificate of this key, TLS and the messages need. The random source is the
// TPM's own.
func (k *tpmKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("signing in the TPM: the digest is not one of SHA-256")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh := k.tpm == nil
	sig, err := k.sign(digest)
	if err != nil && !fresh {
		k.drop()
		sig, err = k.sign(digest)
	}
	if err != nil {
		k.drop()
		return nil, fmt.Errorf("signing in the TPM: %w", err)
	}
	return sig, nil
}

// sign is called with mu held.
func (k *tpmKey) sign(digest []byte) ([]byte, error) {
	if err := k.load(); err != nil {
		return nil, err
	}
	answer, err := tpm2.Sign{KeyHandle: k.handle, Digest: tpm2.TPM2BDigest{Buffer: digest}, InScheme: ecdsaSHA256(),
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck}}.Execute(k.tpm)
	if err != nil {
		return nil, err
	}
	made, err := answer.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{ // RFC 3279 section 2.2.3
		new(big.Int).SetBytes(made.SignatureR.Buffer), new(big.Int).SetBytes(made.SignatureS.Buffer)})
	if err == nil && !ecdsa.VerifyASN1(k.blob.key, digest, sig) {
		err = errors.New("the TPM made a signature that is wrong")
	}
	return sig, err
}

// load is called with mu held.
func (k *tpmKey) load() error {
	if k.tpm != nil {
		return nil
	}
	t, err := open(k.device)
	if err != nil {
		return err
	}
	handle, err := k.loadInto(t)
	if err != nil {
		return errors.Join(err, t.Close())
	}
	k.tpm, k.handle = t, handle
	return nil
}

func (k *tpmKey) loadInto(t transport.TPM) (tpm2.NamedHandle, error) {
	root, err := storageRoot(t)
	if err != nil {
		return tpm2.NamedHandle{}, err
	}
	defer flush(t, root)
	loaded, err := tpm2.Load{ParentHandle: root, InPrivate: k.blob.private, InPublic: k.blob.public}.Execute(t)
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return tpm2.NamedHandle{}, ErrForeign
	}
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: loading the key: %w", ErrNoTPM, err)
	}
	return tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}, nil
}

// drop is called with mu held. What was loaded is taken out of a TPM that has no
// resource manager before it; the manager does so by itself.
func (k *tpmKey) drop() {
	if k.tpm == nil {
		return
	}
	flush(k.tpm, k.handle)
	k.tpm.Close() //nolint:errcheck // nothing was written that could be lost
	k.tpm = nil
}

// Close unloads the key; the next signature loads it again.
func (k *tpmKey) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	return nil
}

// storageRoot makes the storage root key, the same one each time: it comes of the
// TPM's seed. The hierarchy's password is the empty one that a TPM comes with.
func storageRoot(t transport.TPM) (tpm2.NamedHandle, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCHierarchy) {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: its owner hierarchy has a password, or is switched off (clear the TPM in the firmware's set-up): %w", ErrNoTPM, err)
	}
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: making the storage root key: %w", ErrNoTPM, err)
	}
	return tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, nil
}

// flush unloads; what cannot be is gone already, or goes with the connection.
func flush(t transport.TPM, h tpm2.NamedHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: h.Handle}.Execute(t)
}

func createInTPM(device string) (*tpmKey, error) {
	t, err := open(device)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	root, err := storageRoot(t)
	if err != nil {
		return nil, err
	}
	made, err := tpm2.Create{ParentHandle: root, InPublic: tpm2.New2B(template())}.Execute(t)
	flush(t, root)
	if err != nil {
		return nil, fmt.Errorf("making a key in the TPM: %w", err)
	}
	b, err := newBlob(made.OutPublic, made.OutPrivate)
	if err != nil {
		return nil, fmt.Errorf("making a key in the TPM: %w", err)
	}
	return &tpmKey{device: device, blob: b}, nil
}

// openInTPM tries the key: what is wrong shows now, not with the first signature.
func openInTPM(device string, b blob) (*tpmKey, error) {
	k := &tpmKey{device: device, blob: b}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

// template is a signing key that never leaves its TPM and was made there. noDA:
// without a password there is nothing to guess, so a lockout must not hold it up.
func template() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256,
			Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})}}),
	}
}

func ecdsaSHA256() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
		Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
}
