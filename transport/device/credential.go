package device

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

var (
	errNoAuth  = errors.New("neither password nor private key is configured")
	errBareCrt = errors.New("a certificate is configured without its private key")
)

// parseSigner reads the private key of a credential, with its certificate where
// it has one. It returns nil for a credential without.
func parseSigner(a Auth) (ssh.Signer, error) {
	if a.PrivateKey.Empty() {
		if !a.Certificate.Empty() {
			return nil, errBareCrt
		}
		return nil, nil
	}
	signer, err := parseKey(a)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", foreign{err})
	}
	if a.Certificate.Empty() {
		return signer, nil
	}
	signer, err = certify(signer, a.Certificate.Reveal())
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return signer, nil
}

// parseKey uses the passphrase only where the key has one.
func parseKey(a Auth) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(a.PrivateKey.Reveal())
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked && !a.Passphrase.Empty() {
		return ssh.ParsePrivateKeyWithPassphrase(a.PrivateKey.Reveal(), a.Passphrase.Reveal())
	}
	return signer, err
}

// certify joins a key and its certificate. What every server would refuse is
// refused here: a refusal there counts towards the lock of the account.
func certify(signer ssh.Signer, line []byte) (ssh.Signer, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, foreign{err}
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return nil, errors.New("it is not the certificate of a user")
	}
	if err := current(cert); err != nil {
		return nil, err
	}
	joined, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, errors.New("it is not that of the private key")
	}
	return joined, nil
}

// current checks the time of a certificate.
func current(cert *ssh.Certificate) error {
	now := uint64(time.Now().Unix())
	day := func(t uint64) string { return time.Unix(int64(t), 0).UTC().Format(time.RFC3339) }
	switch {
	case cert.ValidAfter > now:
		return fmt.Errorf("it is not valid before %s", day(cert.ValidAfter))
	case cert.ValidBefore != ssh.CertTimeInfinity && cert.ValidBefore <= now:
		return fmt.Errorf("it expired at %s", day(cert.ValidBefore))
	}
	return nil
}

// keyring keeps opened private keys for a short time: to open one with a
// passphrase costs as much as ten log-ins.
type keyring struct {
	mu    sync.Mutex // guards known
	known map[digest]*opened
}

type opened struct {
	once   sync.Once
	signer ssh.Signer
	err    error
}

// signer returns the key of a credential, opened by whoever asks first. A key is
// forgotten a fixed time after that.
func (d *Dialer) signer(a Auth) (ssh.Signer, error) {
	if a.PrivateKey.Empty() {
		return parseSigner(a)
	}
	k := d.pool.digest(a.PrivateKey.Reveal(), a.Passphrase.Reveal(), a.Certificate.Reveal())
	r := &d.keys
	r.mu.Lock()
	o := r.known[k]
	if o == nil {
		o = &opened{}
		if r.known == nil {
			r.known = map[digest]*opened{}
		}
		r.known[k] = o
		time.AfterFunc(d.idle(), func() { r.forget(k, o) })
	}
	r.mu.Unlock()
	o.once.Do(func() { o.signer, o.err = parseSigner(a) })
	return o.signer, o.err
}

func (r *keyring) forget(k digest, o *opened) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[k] == o {
		delete(r.known, k)
	}
}

func (r *keyring) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
}
