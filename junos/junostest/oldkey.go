package junostest

import (
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"

	"golang.org/x/crypto/ssh"
)

const oldKeyBits = 2048

// oldSigner is the host key of every host with OldAlgorithms: RSA, which signs
// with SHA-1 only. It takes some tenths of a second to find, once.
func (f *Fleet) oldSigner() (ssh.Signer, error) {
	f.oldOnce.Do(func() { f.old, f.oldErr = makeOldSigner(f.cfg.Seed) })
	return f.old, f.oldErr
}

func makeOldSigner(seed uint64) (ssh.Signer, error) {
	key, err := seededRSA(rng(seed, "old-host-key"))
	if err != nil {
		return nil, fmt.Errorf("making an RSA host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("making an RSA host key: %w", err)
	}
	return ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
}

// seededRSA makes a key that the seed decides, which crypto/rsa does for no one.
// It guards nothing: whoever has the seed has the key.
func seededRSA(r *rand.Rand) (*rsa.PrivateKey, error) {
	e, one := big.NewInt(65537), big.NewInt(1)
	for {
		p, q := seededPrime(r, oldKeyBits/2), seededPrime(r, oldKeyBits/2)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		n := new(big.Int).Mul(p, q)
		if d == nil || p.Cmp(q) == 0 || n.BitLen() != oldKeyBits {
			continue
		}
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key, key.Validate()
	}
}

// seededPrime looks upwards from a random odd number whose two high bits are set.
func seededPrime(r *rand.Rand, bits int) *big.Int {
	start := make([]byte, bits/8)
	for i := 0; i < len(start); i += 8 {
		binary.BigEndian.PutUint64(start[i:], r.Uint64())
	}
	start[0] |= 0xc0
	start[len(start)-1] |= 1
	p := new(big.Int).SetBytes(start)
	for two := big.NewInt(2); !p.ProbablyPrime(10); {
		p.Add(p, two)
	}
	return p
}
