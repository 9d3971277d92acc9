package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// estServer is the enrolment end of a cloud.
type estServer struct {
	*httptest.Server
	t      *testing.T
	ca     *authority
	config []byte
	secret string

	refuse   atomic.Pointer[string] // answer to an enrolment, in words
	approve  atomic.Int32           // enrolments that are answered with 202 first
	unready  atomic.Int32           // bootstraps that are answered with 503 first
	life     time.Duration          // of certificates
	age      time.Duration          // of new certificates
	asName   string                 // CN of certificates; empty: as asked
	enrolled atomic.Int32
	renewed  atomic.Int32
}

func newESTServer(t *testing.T, chain func(*authority) tls.Certificate) *estServer {
	t.Helper()
	s := &estServer{t: t, ca: newAuthority(t, "est authority"), secret: "0123456789abcdef", life: 90 * 24 * time.Hour}
	_, s.config = configSigner(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathCACerts, func(w http.ResponseWriter, _ *http.Request) { s.answer(w, s.ca.cert) })
	mux.HandleFunc("POST "+wire.PathEnroll, s.enroll)
	mux.HandleFunc("POST "+wire.PathReenroll, s.reenroll)
	mux.HandleFunc("GET "+wire.PathBootstrap, s.bootstrap)
	s.Server = httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{chain(s.ca)}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: s.ca.pool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func goodChain(a *authority) tls.Certificate { return a.pair("cloud") }

func (s *estServer) answer(w http.ResponseWriter, c *x509.Certificate) {
	der, err := pkcs7.DegenerateCertificate(c.Raw)
	if err != nil {
		s.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	text := base64.StdEncoding.EncodeToString(der)
	for ; len(text) > 76; text = text[76:] {
		fmt.Fprintf(w, "%s\r\n", text[:76])
	}
	fmt.Fprintf(w, "%s\r\n", text)
}

func (s *estServer) enroll(w http.ResponseWriter, r *http.Request) {
	id, pass, _ := r.BasicAuth()
	if raw, err := base64.RawURLEncoding.DecodeString(pass); id != "token-1" || err != nil || string(raw) != s.secret {
		http.Error(w, "no such enrolment token: ask for a new one", http.StatusUnauthorized)
		return
	}
	if why := s.refuse.Load(); why != nil {
		http.Error(w, *why, http.StatusForbidden)
		return
	}
	if s.approve.Add(-1) >= 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.enrolled.Add(1)
	s.issue(w, r)
}

func (s *estServer) reenroll(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no client certificate", http.StatusUnauthorized)
		return
	}
	s.renewed.Add(1)
	s.issue(w, r)
}

func (s *estServer) issue(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, r.Body))
	if err != nil {
		s.t.Error(err)
	}
	csr, err := x509.ParseCertificateRequest(body)
	if err != nil || csr.CheckSignature() != nil || r.Header.Get("Content-Type") != "application/pkcs10" {
		s.t.Errorf("the request: %v", err)
		return
	}
	cn := csr.Subject.CommonName
	if s.asName != "" {
		cn = s.asName
	}
	from := time.Now().Add(-s.age)
	s.answer(w, s.ca.issue(cn, csr.PublicKey, from, from.Add(s.life)))
}

func (s *estServer) bootstrap(w http.ResponseWriter, r *http.Request) {
	if s.unready.Add(-1) >= 0 {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	if len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "no client certificate", http.StatusUnauthorized)
		return
	}
	json.NewEncoder(w).Encode(wire.Bootstrap{V: wire.Version, Collector: r.TLS.PeerCertificates[0].Subject.CommonName,
		Prefix: wire.DefaultPrefix, ConfigKey: s.config, Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "127.0.0.1:1"}}})
}

// token is the token of the server, as it comes out of its encoded form.
func (s *estServer) token() wire.Token {
	s.t.Helper()
	text := wire.Token{Sort: wire.EnrolToken, URL: s.URL, CAPin: wire.SPKIHash(s.ca.cert), ID: "token-1", Secret: secret.FromString(s.secret)}.Encode()
	tok, err := wire.ParseToken(wire.EnrolToken, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return tok
}

func enrolAt(t *testing.T, s *estServer) (Identity, error) {
	t.Helper()
	return enrolWith(t, EnrolConfig{Dial: new(net.Dialer).DialContext, Token: s.token(), CollectorID: collectorID})
}

func enrolWith(t *testing.T, c EnrolConfig) (Identity, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Enrol(ctx, c)
}

func TestEnrolmentGivesAnIdentityThatSurvivesOnDisk(t *testing.T) {
	s := newESTServer(t, goodChain)
	s.approve.Store(1) // an administrator has to approve it
	s.unready.Store(1) // and the cloud restarts in between
	id, err := enrolAt(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if id.Collector != collectorID || len(id.CA) != 1 || id.URL != s.URL || len(id.Bootstrap.Endpoints) != 1 {
		t.Fatalf("the identity is %+v", id)
	}
	dir := t.TempDir() + "/state"
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if back.Collector != id.Collector || back.URL != id.URL || !back.Certificate.Leaf.Equal(id.Certificate.Leaf) || back.Bootstrap.Endpoints[0] != id.Bootstrap.Endpoints[0] {
		t.Fatalf("saved %+v, loaded %+v", id, back)
	}
	if _, err := back.fetchBootstrap(t.Context(), (&net.Dialer{}).DialContext); err != nil {
		t.Fatalf("the loaded identity is not accepted: %v", err)
	}
}

func TestIssuedNameCounts(t *testing.T) {
	s := newESTServer(t, goodChain)
	s.asName = "bound-by-token"
	id, err := enrolWith(t, EnrolConfig{Dial: new(net.Dialer).DialContext, Token: s.token()})
	if err != nil || id.Collector != "bound-by-token" {
		t.Fatalf("enrolled as %q: %v", id.Collector, err)
	}
}

func TestRefusalsAreInTheCloudsWords(t *testing.T) {
	s := newESTServer(t, goodChain)
	why := "this enrolment token was used on\t2026-11-01:\nask for a new one\x00\x1b[31m"
	s.refuse.Store(&why)
	_, err := enrolAt(t, s)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Fatalf("got %v", err)
	}
	if want := "enrolling: the cloud refused (403): this enrolment token was used on 2026-11-01: ask for a new one [31m"; err.Error() != want {
		t.Fatalf("got  %q\nwant %q", err, want)
	}
	s.secret, s.refuse = "fedcba9876543210", atomic.Pointer[string]{}
	tok := s.token()
	s.secret = "0123456789abcdef"
	if _, err = enrolWith(t, EnrolConfig{Dial: new(net.Dialer).DialContext, Token: tok, CollectorID: collectorID}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no such enrolment token") {
		t.Fatalf("a wrong secret: %v", err)
	}
}

func TestOnlyThePinnedAuthorityIsBelieved(t *testing.T) {
	other := newAuthority(t, "another authority")
	for _, c := range []struct {
		name  string
		chain func(*authority) tls.Certificate
		want  string
	}{
		{"another authority", func(*authority) tls.Certificate { return other.pair("cloud") }, fmt.Sprintf("%x", wire.SPKIHash(other.cert))},
		{"no authority", func(a *authority) tls.Certificate {
			p := a.pair("cloud")
			p.Certificate = p.Certificate[:1]
			return p
		}, "none"},
		{"the pinned one beside a foreign certificate", func(a *authority) tls.Certificate {
			p := other.pair("cloud")
			p.Certificate[1] = a.cert.Raw
			return p
		}, "unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newESTServer(t, c.chain)
			_, err := enrolAt(t, s)
			if err == nil || !strings.Contains(err.Error(), c.want) || s.enrolled.Load() != 0 {
				t.Fatalf("got %v", err)
			}
			if c.want == "unknown authority" {
				return
			}
			if pin := fmt.Sprintf("%x", wire.SPKIHash(s.ca.cert)); !errors.Is(err, ErrWrongCA) || !strings.Contains(err.Error(), pin) {
				t.Fatalf("got %v, want ErrWrongCA that names %s", err, pin)
			}
		})
	}
}

func TestServerOfAnotherNameIsRefused(t *testing.T) {
	s := newESTServer(t, func(a *authority) tls.Certificate {
		key := newECKey(t)
		leaf := signCert(t, &x509.Certificate{SerialNumber: a.cert.SerialNumber, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
			DNSNames: []string{"elsewhere.example"}}, a.cert, key.Public(), a.key)
		return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key}
	})
	var name x509.HostnameError
	if _, err := enrolAt(t, s); !errors.As(err, &name) || s.enrolled.Load() != 0 {
		t.Fatalf("%d enrolments and %v", s.enrolled.Load(), err)
	}
}

// servedFrom is a cloud whose certificate is valid from and to then.
func servedFrom(t *testing.T, from, to time.Duration) *estServer {
	return newESTServer(t, func(a *authority) tls.Certificate {
		key := newECKey(t)
		leaf := a.issue("cloud", key.Public(), time.Now().Add(from), time.Now().Add(to))
		return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key}
	})
}

func TestClockFarAheadIsNamed(t *testing.T) {
	_, err := enrolAt(t, servedFrom(t, -2*time.Hour, -time.Hour))
	if !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "set the clock if it is wrong") {
		t.Fatalf("got %v", err)
	}
}

// A box without a clock of its own comes up in 1970, when no certificate is valid
// yet: it enrols, and connects, and only then can learn the time.
func TestClockFarBehindEnrols(t *testing.T) {
	if _, err := enrolAt(t, servedFrom(t, time.Hour, 2*time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func TestJudge(t *testing.T) {
	a, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	now := time.Now()
	leaf := a.issue("cloud", newECKey(t).Public(), now.Add(-time.Hour), now.Add(time.Hour))
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	for about, c := range map[string]struct {
		host string
		ca   *authority
		now  time.Time
		good func(error) bool
	}{
		"good":                     {"127.0.0.1", a, now, func(err error) bool { return err == nil }},
		"in 1970":                  {"127.0.0.1", a, time.Unix(0, 0), func(err error) bool { return err == nil }},
		"ended":                    {"127.0.0.1", a, now.Add(2 * time.Hour), func(err error) bool { return errors.Is(err, ErrClock) }},
		"of another name, in 1970": {"elsewhere.example", a, time.Unix(0, 0), func(err error) bool { return errors.As(err, &name) }},
		"of another authority, in 1970": {"127.0.0.1", other, time.Unix(0, 0), func(err error) bool {
			return err != nil && !errors.As(err, &unknown) && strings.Contains(err.Error(), "not of the cloud's authority")
		}},
	} {
		if err := judge([]*x509.Certificate{leaf, a.cert}, c.host, c.ca.pool(), c.now); !c.good(err) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestRenewalAtTwoThirdsKeepsTheSession(t *testing.T) {
	s := newSite(t)
	est := newESTServer(t, goodChain)
	est.life, est.age = 90*24*time.Hour, 70*24*time.Hour // past two thirds
	id, err := enrolAt(t, est)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	old := id.Certificate.Leaf
	// The broker belongs to another authority than the enrolment of this test.
	id.CA, id.Bootstrap.Endpoints[0].Host = append(id.CA, s.ca.cert), s.broker
	est.age = 0
	u := newUplink(t, id, newRecorder())
	u.time.welcome = 200 * time.Millisecond
	start(t, u)
	for end := time.Now().Add(patience); u.identity().Certificate.Leaf.Equal(old); {
		if time.Now().After(end) {
			t.Fatal("the certificate was not renewed")
		}
		<-time.After(5 * time.Millisecond)
	}
	// Renewal on request, while the certificate is young.
	young := u.identity().Certificate.Leaf
	until, err := u.Renew(t.Context())
	if err != nil || !until.Equal(u.identity().Certificate.Leaf.NotAfter) {
		t.Fatalf("renewed until %v, %v", until, err)
	}
	for end := time.Now().Add(patience); u.identity().Certificate.Leaf.Equal(young); {
		if time.Now().After(end) {
			t.Fatal("the certificate was not renewed on request")
		}
		<-time.After(5 * time.Millisecond)
	}
	for end := time.Now().Add(patience); ; {
		back, err := Load(dir, "")
		if err == nil && back.Certificate.Leaf.Equal(u.identity().Certificate.Leaf) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the renewed certificate is not on disk: %v", err)
		}
	}
	if n := est.renewed.Load(); n != 2 {
		t.Fatalf("%d renewals", n)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 30 * time.Second, "5": 5 * time.Second, "0": time.Second, "-3": time.Second, "99999999": 10 * time.Minute,
		"Sun, 01 Nov 2026 12:01:00 GMT": time.Minute, "soon": 30 * time.Second,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

// FuzzParseCerts reads what a cloud answers.
func FuzzParseCerts(f *testing.F) {
	der, err := pkcs7.DegenerateCertificate(newAuthority(f, "ca").cert.Raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(base64.StdEncoding.EncodeToString(der)))
	f.Add([]byte("MAA="))
	f.Fuzz(func(t *testing.T, body []byte) {
		certs, err := parseCerts(body)
		if (err == nil) == (len(certs) == 0) {
			t.Fatalf("%d certificates and %v", len(certs), err)
		}
		if w := words(body); len([]rune(w)) > maxWords+1 || strings.ContainsAny(w, "\n\x1b\x00") {
			t.Fatalf("%q", w)
		}
	})
}
