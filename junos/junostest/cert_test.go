package junostest

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestCertificates logs in with certificates good and bad, and checks a host's.
func TestCertificates(t *testing.T) {
	f := startFleet(t, Config{Devices: 3, Bastions: 1, HostCA: true})
	key, err := ssh.ParsePrivateKey([]byte(f.clientPEM))
	if err != nil {
		t.Fatal(err)
	}
	other := func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root"} }
	expired := func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Hour).Unix()) }
	for name, tt := range map[string]struct {
		edit []func(*ssh.Certificate)
		good bool
	}{"good": {nil, true}, "of another user": {[]func(*ssh.Certificate){other}, false}, "expired": {[]func(*ssh.Certificate){expired}, false}} {
		fresh, err := hostSigner(7, "fresh", false) // a key that nobody knows
		if err != nil {
			t.Fatal(err)
		}
		line, err := f.UserCertificate(fresh.PublicKey(), tt.edit...)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{f.Devices()[0].Addr.String(), f.Bastions()[0].Addr.String()} {
			if err := attempt(t, addr, certConfig(t, f, line, fresh, "mx-0001", "bastion-1"), 10*time.Second); (err == nil) != tt.good {
				t.Errorf("certificate %s at %s: %v", name, addr, err)
			}
		}
	}
	foreign := newFleet(t, Config{Devices: 1, Seed: 2}).Devices()[0].ClientCert
	_, theirPEM, err := clientKey(2)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ssh.ParsePrivateKey([]byte(theirPEM))
	if err != nil {
		t.Fatal(err)
	}
	if err := attempt(t, f.Devices()[0].Addr.String(), certConfig(t, f, foreign, theirs, "mx-0001"), 10*time.Second); err == nil {
		t.Error("a certificate of another authority logs in")
	}
	for _, d := range f.Devices() {
		if err := attempt(t, d.Addr.String(), certConfig(t, f, d.ClientCert, key, d.HostName), 10*time.Second); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if err := attempt(t, d.Addr.String(), certConfig(t, f, d.ClientCert, key, "elsewhere"), 10*time.Second); err == nil {
			t.Errorf("%s shows a certificate for another host", d.Name)
		}
		if err := attempt(t, d.Addr.String(), clientConfig(t, d.User, d.Password, d.HostKey), 10*time.Second); err != nil {
			t.Errorf("%s no longer shows its plain key: %v", d.Name, err)
		}
	}
}

// certConfig logs in with a certificate and takes host certificates only.
func certConfig(t *testing.T, f *Fleet, line string, key ssh.Signer, hosts ...string) *ssh.ClientConfig {
	t.Helper()
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(pub.(*ssh.Certificate), key)
	if err != nil {
		t.Fatal(err)
	}
	authority, _, _, _, err := ssh.ParseAuthorizedKey([]byte(f.HostCA()))
	if err != nil {
		t.Fatal(err)
	}
	checker := &ssh.CertChecker{IsHostAuthority: func(k ssh.PublicKey, _ string) bool { return bytes.Equal(k.Marshal(), authority.Marshal()) }}
	check := func(_ string, remote net.Addr, k ssh.PublicKey) error {
		var err error
		for _, h := range hosts {
			if err = checker.CheckHostKey(h+":22", remote, k); err == nil {
				return nil
			}
		}
		return err
	}
	return &ssh.ClientConfig{User: "lwc", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01}}
}

func TestAuthorizedKeys(t *testing.T) {
	mine, err := hostSigner(5, "ecdsa", true)
	if err != nil {
		t.Fatal(err)
	}
	key, err := seededRSA(rng(1, "rsa"))
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := startFleet(t, Config{Devices: 1, AuthorizedKeys: []string{authorizedLine(mine.PublicKey()), authorizedLine(rsa.PublicKey()) + " comment\n"}})
	d := f.Devices()[0]
	for _, signer := range []ssh.Signer{mine, rsa} {
		cfg := clientConfig(t, d.User, "", d.HostKey)
		cfg.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
		if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); err != nil {
			t.Errorf("%s: %v", signer.PublicKey().Type(), err)
		}
	}
	if _, err := NewFleet(Config{AuthorizedKeys: []string{"ssh-ed25519 x"}}); err == nil {
		t.Error("a line that is no key is taken")
	}
}
