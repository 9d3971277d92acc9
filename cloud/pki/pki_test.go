package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/pki"
)

func open(t *testing.T, dir string) *pki.PKI {
	t.Helper()
	p, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func csr(name string, key crypto.Signer) []byte {
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	return must(x509.CreateCertificateRequest(rand.Reader, tmpl, key))
}

func TestAllKeysSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	a, b := open(t, dir), open(t, dir)
	if !a.CA().Equal(b.CA()) || !a.ConfigKey().Equal(b.ConfigKey()) || !bytes.Equal(a.IngestKey().Public(), b.IngestKey().Public()) {
		t.Fatal("a restart made other keys")
	}
	ca, cb := must(a.ServerCertificate([]string{"cloud.example"})), must(b.ServerCertificate([]string{"cloud.example"}))
	if !ca.Leaf.Equal(cb.Leaf) {
		t.Error("a restart made another server certificate")
	}
	for _, e := range must(os.ReadDir(dir)) {
		if fi := must(e.Info()); fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), fi.Mode())
		}
	}
}

func TestServerCertificateFollowsItsHosts(t *testing.T) {
	p := open(t, t.TempDir())
	one := must(p.ServerCertificate([]string{"cloud.example"}))
	two := must(p.ServerCertificate([]string{"cloud.example", "192.0.2.7", "2001:db8:0::1"}))
	again := must(p.ServerCertificate([]string{"2001:db8::1", "192.0.2.7", "cloud.example"}))
	if one.Leaf.Equal(two.Leaf) || !two.Leaf.Equal(again.Leaf) {
		t.Fatal("new hosts must make a new certificate, the same hosts must not")
	}
	if len(two.Certificate) != 2 || !bytes.Equal(two.Certificate[1], p.CA().Raw) {
		t.Error("the authority is not sent along")
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "cloud.example", "192.0.2.7", "2001:db8::1"} {
		if _, err := two.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: p.CAPool()}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestServerCertificateOfAnotherAuthorityIsReplaced(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	must(open(t, other).ServerCertificate(nil))
	p := open(t, dir)
	foreign := must(os.ReadFile(filepath.Join(other, "server.pem")))
	if err := os.WriteFile(filepath.Join(dir, "server.pem"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	c := must(p.ServerCertificate(nil))
	if err := c.Leaf.CheckSignatureFrom(p.CA()); err != nil {
		t.Fatal(err)
	}
}

func TestMixedUpBackupIsRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	open(t, dir)
	open(t, other)
	if err := os.WriteFile(filepath.Join(dir, pki.CAFile), must(os.ReadFile(filepath.Join(other, pki.CAFile))), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Open(dir); err == nil || !strings.Contains(err.Error(), "belong together") {
		t.Fatalf("got %v", err)
	}
}

func TestCollectorCertificate(t *testing.T) {
	p := open(t, t.TempDir())
	c := must(p.IssueCollector("site-a-001", p256(t).Public()))
	opts := x509.VerifyOptions{Roots: p.CAPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := c.Verify(opts); err != nil {
		t.Error(err)
	}
	opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if _, err := c.Verify(opts); err == nil {
		t.Error("a collector could pose as the server")
	}
	if id := must(pki.CollectorOf(c)); id != "site-a-001" {
		t.Errorf("id %q", id)
	}
	if life := time.Until(c.NotAfter); life > 90*24*time.Hour || life < 89*24*time.Hour {
		t.Errorf("lives %v", life)
	}
}

func TestTheCloudsOwnNameIsNobodyElses(t *testing.T) {
	p := open(t, t.TempDir())
	for _, id := range []string{"lwc-cloud", "lwc-cloud-2", "UPPER-CASE", "a/b/c/d/e", "short"} {
		if _, err := p.IssueCollector(id, p256(t).Public()); err == nil {
			t.Errorf("%q was given to a collector", id)
		}
	}
	own := must(p.ClientCertificate())
	if _, err := pki.CollectorOf(own.Leaf); err == nil {
		t.Error("the cloud's own certificate passes for a collector's")
	}
	if own.Leaf.Subject.CommonName != pki.CloudName {
		t.Errorf("name %q", own.Leaf.Subject.CommonName)
	}
}

func TestParseRequest(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := csr("site-a-001", p256(t))
	forged := bytes.Clone(good)
	forged[len(forged)-3] ^= 1
	for name, c := range map[string]struct {
		der  []byte
		want string // part of the error; empty: accepted
	}{
		"P-256":           {good, ""},
		"Ed25519":         {csr("site-a-001", ed), ""},
		"no name":         {csr("", p256(t)), ""},
		"P-384":           {csr("site-a-001", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))), "curve P-384"},
		"RSA":             {csr("site-a-001", must(rsa.GenerateKey(rand.Reader, 2048))), "only P-256"},
		"forged":          {forged, "signature"},
		"not DER":         {[]byte("hello"), "not PKCS #10"},
		"empty":           {nil, "not PKCS #10"},
		"a bad id":        {csr("site/a/+/#", p256(t)), "8 to 63 characters"},
		"a reserved id":   {csr("lwc-cloud", p256(t)), "reserved"},
		"more than 8 KiB": {make([]byte, 9000), "more than 8192"},
	} {
		r, err := pki.ParseRequest(c.der)
		if c.want == "" {
			if err != nil || r.Key == nil || r.SPKI == "" {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		if !errors.Is(err, pki.ErrRequest) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestBrokerCertificates(t *testing.T) {
	p := open(t, t.TempDir())
	server, client, err := p.IssueBroker([]string{"mqtt.example"})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]pki.Pair{"server": server, "client": client} {
		if bytes.Count(pair.Certificate, []byte("BEGIN CERTIFICATE")) != 2 || !bytes.Contains(pair.Key, []byte("BEGIN PRIVATE KEY")) {
			t.Errorf("%s: not a chain of two and a key", name)
		}
	}
	if _, _, err := p.IssueBroker(nil); err == nil {
		t.Error("a broker without a name was accepted")
	}
}

func FuzzParseRequest(f *testing.F) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	f.Add(csr("site-a-001", key))
	f.Add(csr("", key))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := pki.ParseRequest(der)
		if err != nil {
			if r.Key != nil || r.ID != "" {
				t.Fatal("a refused request gives values")
			}
			return
		}
		if r.ID != "" && pki.CheckID(r.ID) != nil {
			t.Fatalf("accepted id %q", r.ID)
		}
	})
}
