package uplink

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lwc/transport/wire"
)

const (
	collectorID = "branch-berlin-1"
	// patience is how long a test waits for what must happen.
	patience = 20 * time.Second
)

func TestMain(m *testing.M) {
	// The compressor is made by the first who needs it, which must not be a test in
	// a bubble of synctest: its channels would belong there.
	if _, err := wire.Split(wire.Header{ID: wire.NewID(), Boot: wire.NewID(), Type: wire.KindFact, Collector: collectorID},
		[]byte("x"), wire.Packing{}); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// authority is a certification authority of a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newECKey(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	return &authority{t, signCert(t, tmpl, tmpl, key.Public(), key), key}
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signCert(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes a certificate that is valid between the two times.
func (a *authority) issue(cn string, pub crypto.PublicKey, from, to time.Time) *x509.Certificate {
	a.t.Helper()
	return signCert(a.t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: from, NotAfter: to,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs: []*url.URL{{Scheme: "urn", Opaque: "lwc:" + cn}},
	}, a.cert, pub, a.key)
}

// pair makes a key with a certificate for the next day, CA included.
func (a *authority) pair(cn string) tls.Certificate {
	a.t.Helper()
	key := newECKey(a.t)
	leaf := a.issue(cn, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// configSigner is the key pair that signs what comes down.
func configSigner(t testing.TB) (key ed25519.PrivateKey, pkix []byte) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// identityOf is what enrolment would give the test's collector.
func identityOf(a *authority, config []byte, endpoints ...string) Identity {
	pair := a.pair(collectorID)
	id := Identity{Collector: collectorID, Key: pair.PrivateKey.(crypto.Signer), Certificate: pair,
		CA: []*x509.Certificate{a.cert}, URL: "https://127.0.0.1:1",
		Bootstrap: wire.Bootstrap{V: wire.Version, Collector: collectorID, Prefix: wire.DefaultPrefix, ConfigKey: config}}
	for _, e := range endpoints {
		id.Bootstrap.Endpoints = append(id.Bootstrap.Endpoints, wire.Endpoint{Kind: wire.EndpointMQTT, Host: e})
	}
	return id
}

// recorder is the Handler of the tests.
type recorder struct {
	welcomed chan wire.Welcome
	desired  chan wire.Desired
	jobs     chan wire.Job
}

func newRecorder() *recorder {
	return &recorder{make(chan wire.Welcome, 64), make(chan wire.Desired, 64), make(chan wire.Job, 64)}
}

func (r *recorder) Welcomed(w wire.Welcome)                  { r.welcomed <- w }
func (r *recorder) Desired(d wire.Desired, _ wire.ConfigRef) { r.desired <- d }
func (r *recorder) Job(j wire.Job)                           { r.jobs <- j }

// wait receives from a channel, or ends the test.
func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing within %v: %s", patience, what)
		panic("unreachable")
	}
}

// none fails if something comes on c before the fence has passed.
func none[T any](t testing.TB, c <-chan T, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %+v", what, v)
	default:
	}
}

// newUplink makes an Uplink with short intervals.
func newUplink(t testing.TB, id Identity, h Handler) *Uplink {
	t.Helper()
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	u := New(Config{Dial: new(net.Dialer).DialContext, Identity: id, BootKey: key, Firmware: "test", Handler: h,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	u.time.retry, u.time.retryMax = 10*time.Millisecond, 100*time.Millisecond
	u.time.heartbeat = time.Hour
	u.out.resend, u.out.resendMax = time.Hour, time.Hour
	return u
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// start runs an Uplink until the test ends, or until the returned function is
// called.
func start(t testing.TB, u *Uplink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("Run did not return after its context ended")
		}
	})
	t.Cleanup(stop)
	return stop
}
