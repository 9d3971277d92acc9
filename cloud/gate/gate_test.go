package gate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/gate"
	"lwc/cloud/pki"
	"lwc/transport/wire"
)

const site = "site-a-001"

// echo is a broker that says who it talks to, then repeats what it reads.
type echo struct{ served chan string }

// ServeConn implements gate.Broker.
func (e echo) ServeConn(ctx context.Context, c net.Conn, collector string) error {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	e.served <- collector
	fmt.Fprintf(c, "hello %s\n", collector)
	_, err := io.Copy(c, c)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

type kit struct {
	t      *testing.T
	store  *edp.Store
	pki    *pki.PKI
	addr   string
	plain  string // of the listener for collectors
	broker echo
	stop   func() error
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func start(t *testing.T, h http.Handler, foreign bool) *kit {
	t.Helper()
	dir := t.TempDir()
	k := &kit{t: t, store: must(edp.Open(t.Context(), filepath.Join(dir, "edp.db"))), pki: must(pki.Open(dir)),
		broker: echo{make(chan string, 8)}}
	conf := gate.Config{PKI: k.pki, Hosts: []string{"cloud.example"}, Registry: k.store, HTTP: h, Broker: k.broker}
	if foreign {
		conf.Broker = nil
	}
	g := must(gate.New(conf))
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	k.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var more []net.Listener
	if !foreign {
		more = append(more, must(net.Listen("tcp", "127.0.0.1:0")))
		k.plain = more[0].Addr().String()
	}
	go func() { ended <- g.Serve(ctx, l, more...) }()
	k.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() {
		if err := errors.Join(k.stop(), k.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return k
}

// collector enrols one, past all tokens.
func (k *kit) collector(id string) *tls.Certificate {
	k.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := must(k.pki.IssueCollector(id, key.Public()))
	err := k.store.Enrolled(k.t.Context(), edp.Enrolment{Collector: id, SPKI: pki.SPKI(c.RawSubjectPublicKeyInfo), NotAfter: c.NotAfter})
	if err != nil {
		k.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// replace gives a collector another key, as an enrolment with a bound token does.
func (k *kit) replace(id string) {
	k.t.Helper()
	tok, sec, err := k.store.NewEnrolToken(k.t.Context(), edp.EnrolTokenSpec{Collector: id})
	if err == nil {
		err = k.store.Admit(k.t.Context(), edp.Admission{Token: tok, Secret: sec, SPKI: "another key",
			Issue: func(c string) (edp.Enrolment, error) {
				return edp.Enrolment{Collector: c, SPKI: "another key"}, nil
			}})
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

// dial connects as a collector does and reads what it gets, up to a line's end.
func (k *kit) dial(cert *tls.Certificate, protos ...string) (*tls.Conn, string, error) {
	conf := &tls.Config{RootCAs: k.pki.CAPool(), ServerName: "cloud.example", NextProtos: protos}
	if cert != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	d := tls.Dialer{Config: conf, NetDialer: &net.Dialer{Timeout: 10 * time.Second}}
	c, err := d.DialContext(k.t.Context(), "tcp", k.addr)
	if err != nil {
		return nil, "", err
	}
	k.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, "", err
	}
	b := make([]byte, 64)
	n, err := c.Read(b) // in TLS 1.3 a refusal shows here
	return c.(*tls.Conn), string(b[:n]), err
}

func TestACollectorReachesTheBroker(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	c, got, err := k.dial(k.collector(site), wire.ALPN)
	if err != nil || got != "hello "+site+"\n" {
		t.Fatalf("%q, %v", got, err)
	}
	s := c.ConnectionState()
	if s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != wire.ALPN || len(s.PeerCertificates) != 2 {
		t.Fatalf("TLS %x, %q, %d certificates", s.Version, s.NegotiatedProtocol, len(s.PeerCertificates))
	}
}

func TestWhoIsTurnedAwayInTheHandshake(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	revoked := k.collector("site-r-009")
	if err := k.store.Revoke(t.Context(), "site-r-009", "ada"); err != nil {
		t.Fatal(err)
	}
	replaced := k.collector("site-x-008")
	k.replace("site-x-008")
	unknownKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	unknown := must(k.pki.IssueCollector("site-u-007", unknownKey.Public()))
	foreign := must(pki.Open(t.TempDir()))
	foreignKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	forged := must(foreign.IssueCollector(site, foreignKey.Public()))
	k.collector(site)
	for name, cert := range map[string]*tls.Certificate{
		"no certificate":    nil,
		"revoked":           revoked,
		"another key":       replaced,
		"unknown":           {Certificate: [][]byte{unknown.Raw}, PrivateKey: unknownKey},
		"another authority": {Certificate: [][]byte{forged.Raw}, PrivateKey: foreignKey},
		"the cloud's own":   must(k.pki.ClientCertificate()),
		"the server's own":  must(k.pki.ServerCertificate([]string{"cloud.example"})),
	} {
		if _, got, err := k.dial(cert, wire.ALPN); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if len(k.broker.served) != 0 {
		t.Errorf("the broker saw %s", <-k.broker.served)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	d := tls.Dialer{Config: &tls.Config{RootCAs: k.pki.CAPool(), MaxVersion: tls.VersionTLS12}}
	if c, err := d.DialContext(t.Context(), "tcp", k.addr); err == nil {
		c.Close()
		t.Fatal("TLS 1.2 was accepted")
	}
}

func TestBehindAForeignBrokerNobodySpeaksMQTT(t *testing.T) {
	k := start(t, http.NotFoundHandler(), true)
	if _, got, err := k.dial(k.collector(site), wire.ALPN); err == nil {
		t.Fatalf("got %q", got)
	}
}

func (k *kit) client(cert *tls.Certificate, h2 bool) *http.Client {
	conf := &tls.Config{RootCAs: k.pki.CAPool()}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: h2}
	k.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body)))
}

func TestHTTPInBothVersions(t *testing.T) {
	k := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s, %d chains", r.Proto, len(r.TLS.VerifiedChains))
	}), false)
	for want, c := range map[string]*http.Client{
		"HTTP/1.1, 0 chains": k.client(nil, false),
		"HTTP/2.0, 0 chains": k.client(nil, true),
		"HTTP/2.0, 1 chains": k.client(k.collector(site), true),
	} {
		if got := get(t, c, "https://"+k.addr); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A client that connects and says nothing must not keep others out.
func TestSilentConnectionsDoNotBlock(t *testing.T) {
	k := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }), false)
	for range 50 {
		c := must(net.Dial("tcp", k.addr))
		defer c.Close()
	}
	if got := get(t, k.client(nil, true), "https://"+k.addr); got != "here" {
		t.Fatal(got)
	}
	c := must(net.Dial("tcp", k.addr))
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, "GET / HTTP/1.1\r\n\r\n")
	if b, _ := io.ReadAll(c); bytes.Contains(b, []byte("here")) {
		t.Fatalf("plain HTTP was answered: %q", b)
	}
}

func TestStoppingLetsRequestsFinishAndEndsSessions(t *testing.T) {
	started, finish := make(chan bool), make(chan bool)
	k := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-finish
		io.WriteString(w, "finished")
	}), false)
	session, _, err := k.dial(k.collector(site), wire.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string)
	go func() { answer <- get(t, k.client(nil, true), "https://"+k.addr) }()
	<-started
	stopped := make(chan error, 1)
	go func() { stopped <- k.stop() }()
	if _, err := io.ReadAll(session); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the session went on")
	}
	close(finish)
	if got := <-answer; got != "finished" {
		t.Error(got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", k.addr); err == nil {
		t.Error("still listening")
	}
}

func TestTheServerCertificateIsOfThePinnedAuthority(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	var chain []*x509.Certificate
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		chain = s.PeerCertificates
		return nil
	}}}
	c := must(d.DialContext(t.Context(), "tcp", k.addr))
	defer c.Close()
	if len(chain) != 2 || wire.SPKIHash(chain[1]) != k.pki.CAPin() {
		t.Fatalf("a chain of %d without the authority", len(chain))
	}
}
