package device

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"lwc/transport/secret"
)

// FuzzHostKeys: a line is one pin or an error; what it accepts is the key it
// names, and an authority is never taken for a host's own key.
func FuzzHostKeys(f *testing.F) {
	_, pin := newKey(f, ssh.KeyAlgoED25519)
	_, other := newKey(f, ssh.KeyAlgoECDSA256)
	for _, line := range []string{pin, other + " a comment", "SHA256:abc", authorityMark + " " + pin, authorityMark + " *.lab " + pin,
		"@revoked " + pin, "r1,192.0.2.1 " + pin, pin + "\n" + other, dsaPin, authorityMark} {
		f.Add(line)
	}
	foreign, _, _, _, err := ssh.ParseAuthorizedKey([]byte(other))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := parsePins([]string{line})
		if err != nil {
			if !p.empty() || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%q: pins beside the error %q", line, err)
			}
			return
		}
		if n := len(p.keys) + len(p.fingerprints) + len(p.authorities); n != 1 {
			t.Errorf("%q is %d pins", line, n)
		}
		marked := strings.HasPrefix(strings.TrimSpace(line), authorityMark)
		if marked != (len(p.authorities) == 1) {
			t.Errorf("%q is an authority: %v", line, !marked)
		}
		for _, key := range p.authorities {
			if _, err := p.verify(key, true); err == nil {
				t.Errorf("the authority %q is taken for a host", line)
			}
		}
		if len(p.keys) == 1 && !bytes.Equal(p.keys[0].Marshal(), foreign.Marshal()) {
			if _, err := p.verify(foreign, true); err == nil {
				t.Errorf("%q accepts another key", line)
			}
		}
	})
}

// FuzzHostCertificate: only what the authority signed is accepted.
func FuzzHostCertificate(f *testing.F) {
	ca, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		f.Fatal(err)
	}
	good := &ssh.Certificate{Key: ca.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"r1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := good.SignCert(bytes.NewReader(make([]byte, 64)), ca); err != nil {
		f.Fatal(err)
	}
	p := pins{authorities: []ssh.PublicKey{ca.PublicKey()}, principals: []string{"192.0.2.1", "r1"}}
	f.Add(good.Marshal())
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, err := ssh.ParsePublicKey(raw)
		if err != nil {
			return
		}
		_, err = p.verify(key, true)
		if same := bytes.Equal(raw, good.Marshal()); err == nil && !same {
			t.Errorf("accepted %x", raw)
		} else if same && err != nil {
			t.Errorf("the good one: %v", err)
		}
	})
}

// FuzzCredential: private key, passphrase and certificate from the inventory.
// Errors do not repeat them.
func FuzzCredential(f *testing.F) {
	for _, kind := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA} {
		private, public := newKey(f, kind)
		f.Add(private.Reveal(), []byte("phrase"), []byte(public))
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(make([]byte, 32)), "", []byte("phrase"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(locked), []byte("phrase"), []byte("ssh-ed25519-cert-v01@openssh.com AAAA"))
	f.Fuzz(func(t *testing.T, private, phrase, cert []byte) {
		if costly(private) {
			return
		}
		_, s, err := parseSigner(Auth{User: "u", PrivateKey: secret.New(private), Passphrase: secret.New(phrase), Certificate: secret.New(cert)})
		if err == nil && s == nil && len(private) > 0 {
			t.Error("neither a key nor an error")
		}
		if err != nil && len(private) > 32 && strings.Contains(err.Error(), string(private)) {
			t.Error("the error repeats the key")
		}
	})
}

// costly tells a key whose passphrase function the fuzzer has made dear.
func costly(private []byte) bool {
	b, _ := pem.Decode(private)
	return b != nil && bytes.Contains(b.Bytes, []byte("bcrypt"))
}

// FuzzForeignText: the words of a server are looked at and never repeated.
func FuzzForeignText(f *testing.F) {
	f.Add("ssh: disconnect, reason 2: \"Too many authentication failures\"")
	f.Add("account locked\x1b[2J\n")
	f.Fuzz(func(t *testing.T, text string) {
		saysLocked(text)
		if got := plain(text, maxForeign); len(got) > maxForeign+3 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
