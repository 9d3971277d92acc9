package seal

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"lwc/image/release"
)

// The files of a folder of keys. PK, KEK and db are those of UEFI 2.10, section
// 32.3: the owner of the machine, who may change what is believed, and what is
// believed. Only db's key signs programs; PK's and KEK's are for changes of the
// firmware's own lists and are best kept elsewhere.
const (
	ReleaseKey    = "release.key.pem" // Ed25519, PKCS #8: signs releases
	ReleasePublic = "release.pub.pem" // the keys that images believe
	BootKey       = "db.key.pem"      // RSA: signs the boot loader and kernels
	BootCert      = "db.crt.pem"
)

// EnrolFiles are the files of a folder of keys that systemd-boot enrols a firmware
// in setup mode from.
func EnrolFiles() []string { return []string{"db.auth", "KEK.auth", "PK.auth"} }

const (
	// rsaBits is the only size that every firmware takes.
	rsaBits = 2048
	// validYears is long: a firmware does not look at the dates of a certificate, and one
	// that has ended only frightens.
	validYears = 30
)

// MakeKeys makes the keys that are missing in a folder, and returns the names of what
// it made. What is there stays. The folder holds secrets: mode 0700.
func MakeKeys(ctx context.Context, dir string) (made []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for keys: %w", err)
	}
	if missing(dir, ReleaseKey) && missing(dir, ReleasePublic) {
		if err := makeReleaseKey(dir); err != nil {
			return nil, fmt.Errorf("making a release key: %w", err)
		}
		made = append(made, ReleaseKey, ReleasePublic)
	}
	if !missing(dir, BootKey) || !missing(dir, BootCert) {
		return made, nil
	}
	for _, name := range []string{"PK", "KEK", "db"} {
		if err := makeBootKey(dir, name); err != nil {
			return made, fmt.Errorf("making the Secure Boot key %s: %w", name, err)
		}
		made = append(made, name+".key.pem", name+".crt.pem")
	}
	if err := makeEnrolment(ctx, dir); err != nil {
		return made, err
	}
	return append(made, EnrolFiles()...), nil
}

func missing(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return errors.Is(err, fs.ErrNotExist)
}

func makeReleaseKey(dir string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	text, err := release.MarshalKey(public)
	if err != nil {
		return err
	}
	if err := writePrivate(filepath.Join(dir, ReleaseKey), private); err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, ReleasePublic), text, 0o644)
}

// makeBootKey makes a key and its certificate, which nobody else has signed: a
// firmware believes what is in its lists.
func makeBootKey(dir, name string) error {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "lwc appliance " + name},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(validYears, 0, 0), SignatureAlgorithm: x509.SHA256WithRSA}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	if err := writePrivate(filepath.Join(dir, name+".key.pem"), key); err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return writeNew(filepath.Join(dir, name+".crt.pem"), text, 0o644)
}

func writePrivate(path string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeNew never replaces a key: what was signed by it would be lost.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// ReleaseKeys returns all keys release*.key.pem of a folder: while a key is being
// replaced the old and the new one sign.
func ReleaseKeys(dir string) ([]ed25519.PrivateKey, error) {
	named, err := namedKeys(dir)
	if err != nil {
		return nil, err
	}
	keys := make([]ed25519.PrivateKey, len(named))
	for i, k := range named {
		keys[i] = k.key
	}
	return keys, nil
}

// namedKey is a release key and the name of its file.
type namedKey struct {
	file string
	key  ed25519.PrivateKey
}

func namedKeys(dir string) ([]namedKey, error) {
	files, err := filepath.Glob(filepath.Join(dir, "release*.key.pem"))
	if err != nil {
		return nil, fmt.Errorf("looking for release keys: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("looking for release keys: there is no %s in %s", ReleaseKey, dir)
	}
	var keys []namedKey
	for _, file := range files {
		key, err := readReleaseKey(file)
		if err != nil {
			return nil, fmt.Errorf("reading release key %s: %w", file, err)
		}
		keys = append(keys, namedKey{filepath.Base(file), key})
	}
	return keys, nil
}

func readReleaseKey(file string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it holds no PRIVATE KEY in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(ed25519.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("it is a %T, no Ed25519 key", key)
}
