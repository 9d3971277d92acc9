package uplink

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lwc/transport/boxkey"
	"lwc/transport/wire"
)

// The files of an identity. They are readable by their owner only.
const (
	keyFile       = "key.pem"
	certFile      = "cert.pem"
	caFile        = "ca.pem"
	bootstrapFile = "bootstrap.json"
)

// ErrIdentity says that the files of an identity cannot be used. A folder
// without an identity gives fs.ErrNotExist instead.
var ErrIdentity = errors.New("the saved identity cannot be used: enrol again with a new token")

// Identity is what makes a box a collector: its key, what the cloud issued for
// it, and whom it believes.
type Identity struct {
	Collector   string              // id, as it stands in the certificate
	Key         crypto.Signer       // ECDSA P-256, of package boxkey
	Certificate tls.Certificate     // of Key, with its Leaf
	CA          []*x509.Certificate // the cloud's certification authorities; the only ones believed
	URL         string              // of the cloud, https://host[:port]
	Bootstrap   wire.Bootstrap

	dir string // where it is saved, so that a renewed certificate is saved too
}

// NewKey makes an identity key that lies in a file; boxkey.Create makes one in the
// TPM.
func NewKey() (crypto.Signer, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an identity key: %w", err)
	}
	return k, nil
}

// roots is the pool of the cloud's authorities.
func (id *Identity) roots() *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range id.CA {
		p.AddCert(c)
	}
	return p
}

// savedBootstrap is the form of bootstrap.json.
type savedBootstrap struct {
	URL string `json:"url"`
	wire.Bootstrap
}

// Save writes the identity to dir, which is made if need be (mode 0700). The
// certificate is written last, and an older one removed first, so that after a
// crash the folder holds a whole identity or, for Load, none. A renewed
// certificate is later saved to the same folder.
func (id *Identity) Save(dir string) error {
	key, err := boxkey.Marshal(id.Key)
	if err != nil {
		return fmt.Errorf("saving the identity key: %w", err)
	}
	defer clear(key)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("saving the identity: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, certFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("saving the identity: %w", err)
	}
	id.dir = dir
	if err := errors.Join(writeFile(dir, keyFile, key), writeFile(dir, caFile, encodeCerts(rawCerts(id.CA))),
		id.saveBootstrap()); err != nil {
		return err
	}
	return id.saveCertificate()
}

// saveBootstrap writes the bootstrap answer to the folder of the last Save or Load,
// and does nothing if there was none.
func (id *Identity) saveBootstrap() error {
	if id.dir == "" {
		return nil
	}
	boot, err := json.MarshalIndent(savedBootstrap{id.URL, id.Bootstrap}, "", "  ")
	if err != nil {
		return fmt.Errorf("saving the bootstrap answer: %w", err)
	}
	return writeFile(id.dir, bootstrapFile, append(boot, '\n'))
}

// saveCertificate writes the certificate to the folder of the last Save or
// Load, and does nothing if there was none.
func (id *Identity) saveCertificate() error {
	if id.dir == "" {
		return nil
	}
	return writeFile(id.dir, certFile, encodeCerts(id.Certificate.Certificate))
}

// Load reads the identity that Save wrote; a key in the TPM is asked for at that
// device. It returns fs.ErrNotExist if the folder holds none, boxkey.ErrNoTPM or
// boxkey.ErrForeign if the TPM that holds the key is not there, an fs.PathError if a
// file cannot be read at this moment, and ErrIdentity if what is in the folder is not
// usable: damaged, or with a key that others could have read.
func Load(dir, tpm string) (Identity, error) {
	id, err := load(dir, tpm)
	var disk *fs.PathError
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, boxkey.ErrNoTPM), errors.Is(err, boxkey.ErrForeign):
		// Whatever file is not there for it, the identity is.
		return Identity{}, err
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &disk):
		return id, err
	}
	return Identity{}, fmt.Errorf("%w: %w", err, ErrIdentity)
}

func load(dir, tpm string) (Identity, error) {
	// The certificate first: without it there is no identity.
	certs, err := readCerts(dir, certFile)
	if err != nil {
		return Identity{}, err
	}
	key, err := readKey(dir, tpm)
	if err != nil {
		return Identity{}, err
	}
	ca, err := readCerts(dir, caFile)
	if err != nil {
		return Identity{}, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, bootstrapFile))
	if err != nil {
		return Identity{}, fmt.Errorf("reading the identity: %w", err)
	}
	var boot savedBootstrap
	if err := json.Unmarshal(raw, &boot); err != nil {
		return Identity{}, fmt.Errorf("reading %s: %w", bootstrapFile, err)
	}
	id := Identity{Key: key, CA: ca, URL: boot.URL, Bootstrap: boot.Bootstrap, dir: dir}
	if err := id.adopt(certs); err != nil {
		return Identity{}, fmt.Errorf("reading %s: %w", certFile, err)
	}
	if err := checkBootstrap(id.Bootstrap, id.Collector); err != nil {
		return Identity{}, fmt.Errorf("reading %s: %w", bootstrapFile, err)
	}
	return id, nil
}

func readKey(dir, tpm string) (crypto.Signer, error) {
	path := filepath.Join(dir, keyFile)
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading %s: its mode is %04o, so that others may have copied it", path, st.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	defer clear(raw)
	key, err := boxkey.Parse(tpm, raw)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", keyFile, err)
	}
	return key, nil
}

func readCerts(dir, name string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("reading %s: no certificate in it", name)
	}
	return out, nil
}

func rawCerts(certs []*x509.Certificate) [][]byte {
	out := make([][]byte, len(certs))
	for i, c := range certs {
		out[i] = c.Raw
	}
	return out
}

func encodeCerts(ders [][]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// writeFile replaces dir/name so that after a crash it holds the old bytes or
// the new ones, whole.
func writeFile(dir, name string, b []byte) error {
	f, err := os.CreateTemp(dir, "."+name+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
