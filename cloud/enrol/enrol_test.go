package enrol_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/gate"
	"lwc/cloud/pki"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const site = "site-a-001"

// end is a cloud end that enrols, on a real TLS listener.
type end struct {
	t     *testing.T
	store *edp.Store
	pki   *pki.PKI
	url   string
	log   bytes.Buffer // read after the server stopped only
}

func start(t *testing.T) *end {
	t.Helper()
	dir := t.TempDir()
	e := &end{t: t, store: must(edp.Open(t.Context(), filepath.Join(dir, "edp.db"))), pki: must(pki.Open(dir))}
	h := must(enrol.New(enrol.Config{PKI: e.pki, Registry: e.store, Logger: slog.New(slog.NewTextHandler(&e.log, nil)),
		Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "cloud.example:443", ALPN: true}}}))
	g := must(gate.New(gate.Config{PKI: e.pki, Registry: e.store, HTTP: h}))
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	e.url = "https://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := e.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func key() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func csr(name string, k crypto.Signer) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, k))
}

type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends one request, over a connection of its own.
func (e *end) ask(method, path string, body []byte, cert *tls.Certificate, edit func(*http.Request)) reply {
	e.t.Helper()
	conf := &tls.Config{RootCAs: e.pki.CAPool()}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{TLSClientConfig: conf}
	defer tr.CloseIdleConnections()
	r := must(http.NewRequestWithContext(e.t.Context(), method, e.url+path, bytes.NewReader(body)))
	if edit != nil {
		edit(r)
	}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	return reply{resp.StatusCode, resp.Header, string(must(io.ReadAll(resp.Body)))}
}

type token struct {
	id  string
	sec secret.Text
}

func (tok token) authorise(r *http.Request) {
	r.SetBasicAuth(tok.id, base64.RawURLEncoding.EncodeToString(tok.sec.Reveal()))
}

func (e *end) token(spec edp.EnrolTokenSpec) token {
	e.t.Helper()
	id, sec, err := e.store.NewEnrolToken(e.t.Context(), spec)
	if err != nil {
		e.t.Fatal(err)
	}
	return token{id, sec}
}

// mime is base64 with line breaks, as openssl makes it.
func mime(der []byte) []byte {
	text := base64.StdEncoding.EncodeToString(der)
	var b strings.Builder
	for ; len(text) > 64; text = text[64:] {
		b.WriteString(text[:64] + "\r\n")
	}
	return []byte(b.String() + text + "\r\n")
}

func (e *end) enrol(tok token, name string, k crypto.Signer) reply {
	return e.ask(http.MethodPost, wire.PathEnroll, mime(csr(name, k)), nil, tok.authorise)
}

func (e *end) certificate(r reply, k crypto.Signer) *tls.Certificate {
	e.t.Helper()
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/pkcs7-mime") {
		e.t.Fatalf("%d %s", r.status, r.body)
	}
	p7 := must(pkcs7.Parse(must(base64.StdEncoding.DecodeString(strings.TrimSpace(r.body)))))
	if len(p7.Certificates) != 1 {
		e.t.Fatalf("%d certificates", len(p7.Certificates))
	}
	c := p7.Certificates[0]
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, Leaf: c, PrivateKey: k}
}

func TestFromTokenToBootstrapToRenewal(t *testing.T) {
	e, k := start(t), key()
	cert := e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{}), site, k), k)
	if cert.Leaf.Subject.CommonName != site || cert.Leaf.CheckSignatureFrom(e.pki.CA()) != nil {
		t.Fatalf("%v", cert.Leaf.Subject)
	}
	var b wire.Bootstrap
	r := e.ask(http.MethodGet, wire.PathBootstrap, nil, cert, nil)
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		t.Fatal(r, err)
	}
	pub := must(wire.ParsePublicKey(b.ConfigKey))
	if b.Collector != site || b.Prefix != wire.DefaultPrefix || len(b.Endpoints) != 1 || !e.pki.ConfigKey().Public().(interface {
		Equal(crypto.PublicKey) bool
	}).Equal(pub) {
		t.Fatalf("%+v", b)
	}
	renewed := e.certificate(e.ask(http.MethodPost, wire.PathReenroll, mime(csr(site, k)), cert, nil), k)
	c := must(e.store.Collector(t.Context(), site))
	if renewed.Leaf.SerialNumber.Cmp(cert.Leaf.SerialNumber) == 0 || c.Serial != renewed.Leaf.SerialNumber.Text(16) {
		t.Fatalf("serial %v, registry %s", renewed.Leaf.SerialNumber, c.Serial)
	}
}

func TestCACertsNeedsNoCredential(t *testing.T) {
	e := start(t)
	c := e.certificate(e.ask(http.MethodGet, wire.PathCACerts, nil, nil, nil), nil)
	if wire.SPKIHash(c.Leaf) != e.pki.CAPin() {
		t.Fatal("not the pinned authority")
	}
}

func TestRefusals(t *testing.T) {
	e := start(t)
	taken := key()
	e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{}), site, taken), taken)
	used := e.token(edp.EnrolTokenSpec{})
	k := key()
	e.certificate(e.enrol(used, "site-b-002", k), k)
	expired := e.token(edp.EnrolTokenSpec{TTL: time.Nanosecond})
	wrong := token{used.id, secret.New(make([]byte, 16))}
	free := e.token(edp.EnrolTokenSpec{Uses: 9})
	post := func(body []byte) reply { return e.ask(http.MethodPost, wire.PathEnroll, body, nil, free.authorise) }
	for _, c := range []struct {
		name   string
		got    reply
		status int
		says   string
	}{
		{"no token", e.ask(http.MethodPost, wire.PathEnroll, mime(csr("site-c-003", k)), nil, nil), 401, "token is needed"},
		{"a wrong secret", e.enrol(wrong, "site-c-003", k), 401, "not known here"},
		{"an expired token", e.enrol(expired, "site-c-003", k), 403, "has expired"},
		{"a used token", e.enrol(used, "site-c-003", key()), 403, "used up"},
		{"a token of another", e.enrol(e.token(edp.EnrolTokenSpec{Collector: "site-d-004"}), "site-c-003", k), 403, "bound to another"},
		{"an id of another key", e.enrol(free, site, key()), 409, "belongs to another key"},
		{"no base64", post([]byte("%%%")), 400, "not base64"},
		{"no request", post([]byte("aGVsbG8=")), 400, "not PKCS #10"},
		{"a reserved name", e.enrol(free, "lwc-cloud", k), 400, "reserved"},
		{"a large body", post(bytes.Repeat([]byte("A"), 20_000)), 413, "too large"},
		{"a GET", e.ask(http.MethodGet, wire.PathEnroll, nil, nil, free.authorise), 405, ""},
		{"bootstrap without certificate", e.ask(http.MethodGet, wire.PathBootstrap, nil, nil, nil), 403, "enrol first"},
		{"renewal without certificate", e.ask(http.MethodPost, wire.PathReenroll, nil, nil, nil), 403, "enrol first"},
	} {
		if c.got.status != c.status || !strings.Contains(c.got.body, c.says) {
			t.Errorf("%s: %d %q, want %d %q", c.name, c.got.status, c.got.body, c.status, c.says)
		}
		if n := strings.Count(strings.TrimSpace(c.got.body), "\n"); n != 0 {
			t.Errorf("%s: %d lines", c.name, n+1)
		}
	}
	if got := must(e.store.Collectors(t.Context())); len(got) != 2 {
		t.Errorf("a refusal entered a collector: %+v", got)
	}
}

func TestRenewalIsForTheSameCollectorAndKey(t *testing.T) {
	e, k := start(t), key()
	cert := e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{}), site, k), k)
	for name, body := range map[string][]byte{"another id": csr("site-b-002", k), "another key": csr(site, key()), "no id": csr("", k)} {
		if r := e.ask(http.MethodPost, wire.PathReenroll, mime(body), cert, nil); r.status != 403 || !strings.Contains(r.body, "enrol with a new token") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestARevokedCollectorGetsNothing(t *testing.T) {
	e, k := start(t), key()
	cert := e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{}), site, k), k)
	if err := e.store.Revoke(t.Context(), site, "ada"); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{wire.PathBootstrap: http.MethodGet, wire.PathReenroll: http.MethodPost} {
		if r := e.ask(method, path, mime(csr(site, k)), cert, nil); r.status != 403 || !strings.Contains(r.body, "revoked") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestTheOldKeyOfAReplacedCollectorGetsNothing(t *testing.T) {
	e, old, k := start(t), key(), key()
	cert := e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{}), site, old), old)
	e.certificate(e.enrol(e.token(edp.EnrolTokenSpec{Collector: site}), "", k), k)
	if r := e.ask(http.MethodGet, wire.PathBootstrap, nil, cert, nil); r.status != 409 || !strings.Contains(r.body, "replaced") {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

func TestTheCloudsOwnCertificateIsNoCollectors(t *testing.T) {
	e := start(t)
	if r := e.ask(http.MethodGet, wire.PathBootstrap, nil, must(e.pki.ClientCertificate()), nil); r.status != 403 {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

func TestACollectorWithoutANameGetsOne(t *testing.T) {
	e, k := start(t), key()
	tok := e.token(edp.EnrolTokenSpec{})
	one := e.certificate(e.enrol(tok, "", k), k)
	two := e.certificate(e.enrol(tok, "", k), k)
	if n := one.Leaf.Subject.CommonName; !strings.HasPrefix(n, "lwc-") || n != two.Leaf.Subject.CommonName {
		t.Fatalf("%q, then %q", n, two.Leaf.Subject.CommonName)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	e, k := start(t), key()
	wrong := token{"0123456789abcdef", secret.New(make([]byte, 16))}
	for range 11 {
		if r := e.enrol(wrong, site, k); r.status != 401 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if r := e.enrol(wrong, site, k); r.status != 429 || r.header.Get("Retry-After") == "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
}
