package junostest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/crypto/ssh"
)

// digest binds a seed and labels to 32 bytes.
func digest(seed uint64, labels ...string) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d/%q", seed, labels))
}

// rng is a source of numbers that seed and labels decide.
func rng(seed uint64, labels ...string) *rand.Rand {
	h := digest(seed, labels...)
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])))
}

// code fills a pattern: 9 is a digit, A and a are letters, F is a hexadecimal
// digit in lower case; the rest stands for itself.
func code(r *rand.Rand, pattern string) string {
	var b strings.Builder
	for _, c := range pattern {
		switch c {
		case '9':
			c = rune('0' + r.IntN(10))
		case 'A':
			c = rune('A' + r.IntN(26))
		case 'a':
			c = rune('a' + r.IntN(26))
		case 'F':
			c = rune("0123456789abcdef"[r.IntN(16)])
		}
		b.WriteRune(c)
	}
	return b.String()
}

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// serial is prefix + four letters + four digits, and unique: the multiplication
// by an odd number permutes the 32 bits made of the device's position and the
// number of the part, and four letters and four digits hold more than 32 bits.
func serial(seed uint64, prefix string, index, part int) string {
	n := (uint32(index)<<16 | uint32(part&0xffff)) * 0x9E3779B1
	n ^= uint32(mix(seed + 1))
	digits := n % 10000
	n /= 10000
	b := append(make([]byte, 0, 16), prefix...)
	for range 4 {
		b = append(b, byte('A'+n%26))
		n /= 26
	}
	for unit := uint32(1000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+digits/unit%10))
	}
	return string(b)
}

// hostSigner makes a host key: ed25519, or ECDSA on P-256 as devices have that
// were set up by older releases.
func hostSigner(seed uint64, name string, older bool) (ssh.Signer, error) {
	h := digest(seed, "host-key", name)
	if !older {
		return ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(h[:]))
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), h[:])
	if err != nil {
		return nil, fmt.Errorf("making an ECDSA host key: %w", err)
	}
	return ssh.NewSignerFromKey(key)
}

// clientKey makes the key pair that may log in everywhere, and its PEM form.
func clientKey(seed uint64) (ssh.PublicKey, string, error) {
	h := digest(seed, "client-key")
	key := ed25519.NewKeyFromSeed(h[:])
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, "", fmt.Errorf("making the client key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "junosim")
	if err != nil {
		return nil, "", fmt.Errorf("encoding the client key: %w", err)
	}
	return pub, string(pem.EncodeToMemory(block)), nil
}

// authorizedLine is a public key as it stands in known_hosts after the names.
func authorizedLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
