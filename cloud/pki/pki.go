package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lwc/cloud/keyfile"
	"lwc/transport/wire"
)

// The files in the folder of Open.
const (
	CAFile     = "ca.pem"
	caKeyFile  = "ca.key"
	configFile = "config.key"
	ingestFile = "ingest.key"
	serverFile = "server.pem" // certificate and key in one, so that they are replaced together
)

const (
	caLife = 20 * 365 * 24 * time.Hour
	// skew is how far the clock of a peer may be behind ours.
	skew = time.Hour
)

// PKI is the certification authority with the keys beside it. It is safe for
// concurrent use.
type PKI struct {
	dir    string
	ca     *x509.Certificate
	caKey  crypto.Signer
	config ed25519.PrivateKey
	ingest wire.BootKey

	mu     sync.Mutex       // guards the certificates below
	server *tls.Certificate // of the hosts last asked for
	client *tls.Certificate // of the cloud end itself
}

// Open loads the authority from dir; the first time it makes dir and all keys.
func Open(dir string) (*PKI, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the certification authority: %w", err)
	}
	p := &PKI{dir: dir}
	for _, step := range []func() error{p.openCA, p.openConfig, p.openIngest} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("opening the certification authority: %w", err)
		}
	}
	return p, nil
}

// openCA makes the key first: a certificate without its key would be of no use,
// a key without certificate gets one at the next start.
func (p *PKI) openCA() error {
	var err error
	if p.caKey, err = p.ensureKey(caKeyFile, newP256); err != nil {
		return err
	}
	b, err := keyfile.Ensure(p.path(CAFile), func() ([]byte, error) { return selfSign(p.caKey, time.Now()) })
	if err != nil {
		return err
	}
	if p.ca, err = parseCertificate(b); err != nil {
		return fmt.Errorf("reading %s: %w", p.path(CAFile), err)
	}
	if !samePublic(p.ca.PublicKey, p.caKey.Public()) {
		return fmt.Errorf("%s and %s do not belong together: restore both from one backup", p.path(CAFile), caKeyFile)
	}
	return nil
}

func (p *PKI) openConfig() error {
	k, err := p.ensureKey(configFile, func() (crypto.Signer, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	})
	if err != nil {
		return err
	}
	ed, ok := k.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("%s holds a %T, not an Ed25519 key", p.path(configFile), k)
	}
	p.config = ed
	return nil
}

const ingestPEM = "LWC HPKE PRIVATE KEY"

func (p *PKI) openIngest() error {
	b, err := keyfile.Ensure(p.path(ingestFile), func() ([]byte, error) {
		k, err := wire.NewBootKey()
		if err != nil {
			return nil, err
		}
		raw, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("encoding the ingest key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: ingestPEM, Bytes: raw}), nil
	})
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != ingestPEM {
		return fmt.Errorf("%s is damaged: restore it from a backup", p.path(ingestFile))
	}
	p.ingest, err = wire.LoadBootKey(block.Bytes)
	return err
}

func (p *PKI) path(name string) string { return filepath.Join(p.dir, name) }

func (p *PKI) ensureKey(name string, create func() (crypto.Signer, error)) (crypto.Signer, error) {
	b, err := keyfile.Ensure(p.path(name), func() ([]byte, error) {
		k, err := create()
		if err != nil {
			return nil, fmt.Errorf("making %s: %w", name, err)
		}
		return marshalKey(k)
	})
	if err != nil {
		return nil, err
	}
	k, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.path(name), err)
	}
	return k, nil
}

func newP256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// selfSign makes the authority's certificate. Its name carries a part of the
// key, so that two authorities in one trust store can be told apart.
func selfSign(key crypto.Signer, now time.Time) ([]byte, error) {
	tmpl := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "lwc-cloud CA " + wire.KeyID(key.Public())[:8]},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the authority's certificate: %w", err)
	}
	return certPEM(der), nil
}

// CA returns the authority's certificate.
func (p *PKI) CA() *x509.Certificate { return p.ca }

// CAPEM returns the authority's certificate in PEM form.
func (p *PKI) CAPEM() []byte { return certPEM(p.ca.Raw) }

// CAPath returns the file that CAPEM lies in.
func (p *PKI) CAPath() string { return p.path(CAFile) }

// CAPin returns what tokens pin.
func (p *PKI) CAPin() [32]byte { return wire.SPKIHash(p.ca) }

// CAPool returns a pool that holds the authority alone.
func (p *PKI) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.ca)
	return pool
}

// ConfigKey returns the key that signs what goes down to collectors.
func (p *PKI) ConfigKey() ed25519.PrivateKey { return p.config }

// IngestKey returns the key that documents are sealed to.
func (p *PKI) IngestKey() wire.BootKey { return p.ingest }

// ConfigKeyDER returns the public half of ConfigKey in PKIX form.
func (p *PKI) ConfigKeyDER() ([]byte, error) { return x509.MarshalPKIXPublicKey(p.config.Public()) }
