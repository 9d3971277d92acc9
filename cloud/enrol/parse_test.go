package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"lwc/cloud/pki"
)

func header(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestBasicToken(t *testing.T) {
	key := base64.RawURLEncoding.EncodeToString([]byte("0123456789\xff\xfe2345"))
	for _, c := range []struct {
		name, header string
		ok           bool
	}{
		{"good", header("id:" + key), true},
		{"another case", "bAsIc " + header("id:" + key)[6:], true},
		{"empty", "", false},
		{"bearer", "Bearer " + header("id:" + key)[6:], false},
		{"no id", header(":" + key), false},
		{"no colon", header("id" + key), false},
		{"a short secret", header("id:" + key[:20]), false},
		{"a long secret", header("id:" + key + "AAAA"), false},
		{"padding", header("id:" + key + "=="), false},
		{"the other alphabet", header("id:+/////////////////////"), false},
		{"not base64", "Basic !!!", false},
	} {
		id, sec, err := basicToken(c.header)
		if (err == nil) != c.ok || (c.ok && (id != "id" || string(sec.Reveal()) != "0123456789\xff\xfe2345")) {
			t.Errorf("%s: %q, %v", c.name, id, err)
		}
	}
}

func FuzzBasicToken(f *testing.F) {
	f.Add(header("id:MDEyMzQ1Njc4OWFiY2RlZg"))
	f.Add("Basic Og==")
	f.Fuzz(func(t *testing.T, h string) {
		id, sec, err := basicToken(h)
		if err != nil {
			if id != "" || !sec.Empty() {
				t.Fatal("a refused header gives values")
			}
			return
		}
		if id == "" || len(sec.Reveal()) != tokenSecretLen {
			t.Fatalf("accepted %q", h)
		}
	})
}

func FuzzParseBody(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(base64.StdEncoding.EncodeToString(der)))
	f.Add([]byte(" TUlJ\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseBody(body)
		if err == nil && (r.Key == nil || (r.ID != "" && pki.CheckID(r.ID) != nil)) {
			t.Fatalf("accepted %+v", r)
		}
		if err != nil && statusOf(err) != 400 {
			t.Fatalf("status %d for %v", statusOf(err), err)
		}
	})
}
