package device

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

var (
	errNoAuth  = errors.New("neither password nor private key is configured")
	errBareCrt = errors.New("a certificate is configured without its private key")
)

// parseSigner reads the private key of a credential, with its certificate where
// it has one, and gives the key itself too. It returns nil for a credential
// without.
func parseSigner(a Auth) (raw any, signer ssh.Signer, err error) {
	if a.PrivateKey.Empty() {
		if !a.Certificate.Empty() {
			return nil, nil, errBareCrt
		}
		return nil, nil, nil
	}
	raw, err = parseKey(a)
	if err == nil {
		signer, err = ssh.NewSignerFromKey(raw)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the private key: %w", foreign{err})
	}
	if a.Certificate.Empty() {
		return raw, signer, nil
	}
	signer, err = certify(signer, a.Certificate.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return raw, signer, nil
}

// parseKey uses the passphrase only where the key has one.
func parseKey(a Auth) (any, error) {
	raw, err := ssh.ParseRawPrivateKey(a.PrivateKey.Reveal())
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked && !a.Passphrase.Empty() {
		return ssh.ParseRawPrivateKeyWithPassphrase(a.PrivateKey.Reveal(), a.Passphrase.Reveal())
	}
	return raw, err
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
	mu     sync.Mutex // guards all below, and what each key says it guards
	known  map[digest]*opened
	closed bool // no key is kept any more
}

// opened is a private key in clear. It is wiped when the ring has forgotten it
// and nobody holds it.
type opened struct {
	ring   *keyring
	once   sync.Once
	raw    any        // as the SSH package reads it; constant after once, like the next two
	signer ssh.Signer // nil: the credential has no private key
	err    error

	// The ring's mu guards what follows.
	holders   int
	forgotten bool
}

// open returns the key of a credential, opened by whoever asks first, and held
// for the caller until drop. A key is forgotten a fixed time after that.
func (r *keyring) open(k digest, a Auth, keep time.Duration) *opened {
	r.mu.Lock()
	o := r.known[k]
	if o == nil {
		o = &opened{ring: r, forgotten: r.closed}
		if r.known == nil {
			r.known = map[digest]*opened{}
		}
		if !r.closed {
			r.known[k] = o
			time.AfterFunc(keep, func() { r.forget(k, o) })
		}
	}
	o.holders++
	r.mu.Unlock()
	o.once.Do(func() { o.raw, o.signer, o.err = parseSigner(a) })
	return o
}

func (o *opened) hold() {
	o.ring.mu.Lock()
	defer o.ring.mu.Unlock()
	o.holders++
}

func (o *opened) drop() {
	o.ring.mu.Lock()
	defer o.ring.mu.Unlock()
	o.holders--
	o.wipe()
}

// wipe overwrites a key that nobody needs any more. The ring's mu is held.
func (o *opened) wipe() {
	if o.forgotten && o.holders == 0 {
		wipeKey(o.raw)
	}
}

func (r *keyring) forget(k digest, o *opened) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[k] == o {
		delete(r.known, k)
	}
	o.forgotten = true
	o.wipe()
}

// close forgets all.
func (r *keyring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, o := range r.known {
		o.forgotten = true
		o.wipe()
	}
	clear(r.known)
}

// wipeKey overwrites the numbers of a private key. What the standard library made
// of them for itself is out of reach.
func wipeKey(raw any) {
	var numbers []*big.Int
	switch k := raw.(type) {
	case *ed25519.PrivateKey:
		clear(*k)
	case ed25519.PrivateKey:
		clear(k)
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 the number is overwritten, and the key not used after it
		numbers = []*big.Int{k.D}
	case *rsa.PrivateKey:
		numbers = append(slices.Clone(k.Primes), k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv)
	}
	for _, n := range numbers {
		if n != nil {
			clear(n.Bits())
		}
	}
}
