package site

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// keyPair is a private key as an administrator has it, and what of it is secret.
type keyPair struct {
	file, passphrase string
	authorized       string
	secrets          []string // in the forms that it has in memory
}

// newDeviceKey makes an Ed25519 key that a passphrase locks. Its secrets are the seed,
// and what RFC 8032 section 5.1.5 makes of it.
func newDeviceKey(t *testing.T) keyPair {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	k := keyPair{passphrase: rand.Text()}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(k.passphrase))
	must(t, err)
	expanded := sha512.Sum512(private.Seed())
	k.secrets = append(pieces(string(private.Seed()), 4), pieces(string(expanded[32:]), 4)...)
	k.secrets = append(k.secrets, traces(k.passphrase)...)
	return k.write(t, block, public)
}

// newBastionKey makes an RSA key. Its secrets are its primes and its exponent, as they
// are written and as package math/big and crypto/rsa hold them: the last byte first.
func newBastionKey(t *testing.T) keyPair {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	var k keyPair
	for _, n := range [][]byte{private.D.Bytes(), private.Primes[0].Bytes(), private.Primes[1].Bytes()} {
		k.secrets = append(k.secrets, pieces(string(n[:48]), 8)...)
		slices.Reverse(n)
		k.secrets = append(k.secrets, pieces(string(n[:48]), 8)...)
	}
	return k.write(t, block, private.Public())
}

// pieces are parts of 12 bytes of a secret, one each step bytes.
func pieces(secret string, step int) []string {
	const piece = 12
	var out []string
	for i := 0; i+piece <= len(secret); i += step {
		out = append(out, secret[i:i+piece])
	}
	return out
}

// write saves the key. Its text is a secret too.
func (k keyPair) write(t *testing.T, block *pem.Block, public crypto.PublicKey) keyPair {
	t.Helper()
	text := pem.EncodeToMemory(block)
	lines := strings.Split(string(text), "\n")
	for _, line := range lines[len(lines)/2 : len(lines)-2] { // in front of these is the public key
		k.secrets = append(k.secrets, pieces(line, 12)...)
	}
	k.file = filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(k.file, text, 0o600))
	authorized, err := ssh.NewPublicKey(public)
	must(t, err)
	k.authorized = string(ssh.MarshalAuthorizedKey(authorized))
	return k
}

// useKeys has the devices and the bastions be logged in to by keys.
func (s *Site) useKeys(ctx context.Context, t *testing.T, device, bastion keyPair) {
	t.Helper()
	login := regexp.MustCompile(`\{id: (lab|bastion-\d+), kind: [a-z-]+, username: (\S+), .*\}`)
	s.changeFleet(ctx, t, func(b []byte) []byte {
		return login.ReplaceAllFunc(b, func(line []byte) []byte {
			m := login.FindSubmatch(line)
			key, phrase := bastion, ""
			if string(m[1]) == "lab" {
				key, phrase = device, fmt.Sprintf(", passphrase: %q", device.passphrase)
			}
			return fmt.Appendf(nil, "{id: %s, kind: private-key, username: %s, private_key_file: %q%s}", m[1], m[2], key.file, phrase)
		})
	})
}

// Private keys, one of them with a passphrase, are replaced after a run that used
// them: an image of the collector half holds no piece of them, neither of their text
// nor of the numbers that the libraries made of it.
func TestReplacedCredentialKeysLeaveNoTrace(t *testing.T) {
	volatile(t)
	device, bastion, nextDevice, nextBastion := newDeviceKey(t), newBastionKey(t), newDeviceKey(t), newBastionKey(t)
	keys := filepath.Join(t.TempDir(), "authorized")
	must(t, os.WriteFile(keys, []byte(device.authorized+bastion.authorized+nextDevice.authorized+nextBastion.authorized), 0o600))
	ctx, s := running(t, Config{Devices: 12, Behind: 4, SimArgs: []string{"--authorized-keys", keys}})
	s.useKeys(ctx, t, device, bastion)
	half := s.knows(ctx, t, device.passphrase, "collect", "--collector", Collector, "--wait")
	for name, k := range map[string]keyPair{"device": device, "bastion": bastion} {
		if found := image(ctx, t, half, k.secrets); len(found) < 6 {
			t.Errorf("of the key of the %s only %d of %d pieces are found while it is in use: the search shows little", name, len(found), len(k.secrets))
		}
	}
	s.useKeys(ctx, t, nextDevice, nextBastion)
	s.awaitGone(ctx, t, half, append(device.secrets, bastion.secrets...), nextDevice.passphrase)
}
