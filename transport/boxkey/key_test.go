package boxkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"lwc/transport/boxkey/boxkeytest"
)

// sign has a key sign something, and judges the signature by its public half.
func sign(t *testing.T, key crypto.Signer) error {
	t.Helper()
	digest := sha256.Sum256([]byte("what the box says"))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Error("the signature is wrong")
	}
	return err
}

func text(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	b, err := Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t *testing.T, device string, b []byte) crypto.Signer {
	t.Helper()
	key, err := Parse(device, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if k, ok := key.(*tpmKey); ok {
			k.Close() //nolint:errcheck // never fails
		}
	})
	return key
}

// A key stays the same over power cycles of its TPM, and signs what x509 wants signed.
func TestKeyInTPM(t *testing.T) {
	tpm := boxkeytest.Start(t)
	key, err := Create(tpm.Device)
	if err != nil || PlaceOf(key) != InTPM {
		t.Fatalf("%v in %s", err, PlaceOf(key))
	}
	if err := sign(t, key); err != nil {
		t.Fatal(err)
	}
	kept := text(t, key)
	key.(*tpmKey).Close() //nolint:errcheck // never fails
	tpm.Off()
	tpm.On()
	back := parse(t, tpm.Device, kept)
	if !back.Public().(*ecdsa.PublicKey).Equal(key.Public()) || PlaceOf(back) != InTPM || !bytes.Equal(text(t, back), kept) {
		t.Error("another key came back")
	}
	if _, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "site-0001"}}, back); err != nil {
		t.Error(err)
	}
	long := sha512.Sum512(nil)
	if _, err := back.Sign(nil, long[:], crypto.SHA512); err == nil {
		t.Error("a digest of another kind is signed")
	}
}

// The private half is nowhere: the TPM refuses to tell it, and to seal it for
// another parent (fixedTPM).
func TestKeyDoesNotLeave(t *testing.T) {
	tpm := boxkeytest.Start(t)
	made, err := Create(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	key := parse(t, tpm.Device, text(t, made)).(*tpmKey)
	area, err := key.blob.public.Contents()
	if err != nil {
		t.Fatal(err)
	}
	if a := area.ObjectAttributes; !a.FixedTPM || !a.FixedParent || !a.SensitiveDataOrigin || a.Decrypt || a.Restricted {
		t.Errorf("%+v", a)
	}
	key.mu.Lock()
	defer key.mu.Unlock()
	_, err = tpm2.Duplicate{ObjectHandle: key.handle, NewParentHandle: tpm2.TPMRHNull, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(key.tpm)
	if !errors.Is(err, tpm2.TPMRCAttributes) && !errors.Is(err, tpm2.TPMRCAuthType) {
		t.Errorf("duplicating: %v", err)
	}
}

// A TPM that was cleared, and that of another machine, do not have the key; nobody
// makes another one in its place.
func TestKeyOfAnotherTPM(t *testing.T) {
	tpm, other := boxkeytest.Start(t), boxkeytest.Start(t)
	key, err := Create(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	kept := text(t, key)
	if key, err := Parse(other.Device, kept); !errors.Is(err, ErrForeign) || key != nil {
		t.Errorf("on another machine: %v, %v", key, err)
	}
	tpm.Clear()
	if _, err := Parse(tpm.Device, kept); !errors.Is(err, ErrForeign) {
		t.Errorf("after clearing: %v", err)
	}
	if err := sign(t, key); !errors.Is(err, ErrForeign) {
		t.Errorf("a key that was held over a clearing: %v", err)
	}
	if key, err := Create(tpm.Device); err != nil || PlaceOf(key) != InTPM {
		t.Errorf("a cleared TPM takes no new key: %v", err)
	}
}

// A TPM that goes away is an error, and when it is back the key works again.
func TestTPMGoesAway(t *testing.T) {
	tpm := boxkeytest.Start(t)
	made, err := Create(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	kept := text(t, made)
	key := parse(t, tpm.Device, kept)
	tpm.Off()
	if err := sign(t, key); !errors.Is(err, ErrNoTPM) {
		t.Errorf("signing without a TPM: %v", err)
	}
	if _, err := Parse(tpm.Device, kept); !errors.Is(err, ErrNoTPM) {
		t.Errorf("reading without a TPM: %v", err)
	}
	tpm.On()
	if err := sign(t, key); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

// Many sign at a time, and leave no handles behind: a TPM has three.
func TestSignTogether(t *testing.T) {
	tpm := boxkeytest.Start(t)
	made, err := Create(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	kept := text(t, made)
	for range 5 {
		key, err := Parse(tpm.Device, kept)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := sign(t, key); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		key.(*tpmKey).Close() //nolint:errcheck // never fails
	}
	began := time.Now()
	if err := sign(t, parse(t, tpm.Device, kept)); err != nil {
		t.Fatal(err)
	}
	t.Logf("one signature: %v", time.Since(began))
}

// Without a TPM the key lies in a file, and why is told.
func TestKeyInFile(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "tpm")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{"", filepath.Join(t.TempDir(), "none"), plain} {
		key, err := Create(device)
		if !errors.Is(err, ErrNoTPM) || key == nil || PlaceOf(key) != InFile {
			t.Fatalf("%q: %v, %v", device, key, err)
		}
		back := parse(t, device, text(t, key))
		if err := sign(t, back); err != nil || !back.Public().(*ecdsa.PublicKey).Equal(key.Public()) {
			t.Errorf("%q: %v", device, err)
		}
	}
}

// A register that nothing was measured into is zero; another value shows.
func TestPCR(t *testing.T) {
	tpm := boxkeytest.Start(t)
	got, err := PCR(tpm.Device, 12)
	if err != nil || !bytes.Equal(got, make([]byte, 32)) {
		t.Fatalf("%x, %v", got, err)
	}
	conn, err := open(tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(12), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: bytes.Repeat([]byte{1}, 32)}}}}.Execute(conn)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := PCR(tpm.Device, 12); err != nil || bytes.Equal(got, make([]byte, 32)) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := PCR("", 12); !errors.Is(err, ErrNoTPM) {
		t.Errorf("%v", err)
	}
}

// Whatever the file holds, reading it says what it is or fails, and what it takes
// it writes again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("0"))
	if b, err := os.ReadFile("testdata/key.der"); err == nil {
		f.Add(b)
	} else {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		b, err := decode(der)
		if err != nil {
			return
		}
		again, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(again)
		if err != nil || !back.key.Equal(b.key) {
			t.Fatalf("%x became %x: %v", der, again, err)
		}
	})
}
