package uplink_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/pki"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// realCloud is the enrolment end of lwc-cloud over a database.
func realCloud(t *testing.T) (*pki.PKI, *edp.Store, string) {
	t.Helper()
	p, err := pki.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := edp.Open(t.Context(), filepath.Join(t.TempDir(), "lwc.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h, err := enrol.New(enrol.Config{PKI: p, Registry: store, Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "127.0.0.1:1", ALPN: true}}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := p.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: p.CAPool()}
	s.StartTLS()
	t.Cleanup(s.Close)
	return p, store, s.URL
}

// tokenFor makes a token as the command line of the cloud does.
func tokenFor(t *testing.T, p *pki.PKI, s *edp.Store, url string, spec edp.EnrolTokenSpec) wire.Token {
	t.Helper()
	id, sec, err := s.NewEnrolToken(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Token{Sort: wire.EnrolToken, URL: url, CAPin: p.CAPin(), ID: id, Secret: sec}
}

func TestEnrolmentWithTheRealCloud(t *testing.T) {
	p, store, url := realCloud(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tok := tokenFor(t, p, store, url, edp.EnrolTokenSpec{TTL: time.Hour})
	id, err := uplink.Enrol(ctx, uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: tok, CollectorID: "branch-berlin-1"})
	if err != nil {
		t.Fatal(err)
	}
	if id.Collector != "branch-berlin-1" || !id.Bootstrap.Endpoints[0].ALPN || id.CA[0].Subject.CommonName == "" {
		t.Fatalf("the identity is %+v", id)
	}
	if c, err := store.Collector(t.Context(), id.Collector); err != nil || c.State != edp.CollectorActive {
		t.Fatalf("the registry has %+v: %v", c, err)
	}
	// The token is used up now, and the cloud says so in words.
	var refused *uplink.RefusedError
	_, err = uplink.Enrol(ctx, uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: tok, CollectorID: "branch-berlin-2"})
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "used") {
		t.Fatalf("a used token: %v", err)
	}
	expired := tokenFor(t, p, store, url, edp.EnrolTokenSpec{TTL: time.Nanosecond})
	if _, err = uplink.Enrol(ctx, uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: expired}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("an expired token: %v", err)
	}
	unnamed := tokenFor(t, p, store, url, edp.EnrolTokenSpec{})
	if id, err = uplink.Enrol(ctx, uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: unnamed}); err != nil || wire.CheckCollectorID(id.Collector) != nil {
		t.Fatalf("without a proposed id: %q, %v", id.Collector, err)
	}
	bound := tokenFor(t, p, store, url, edp.EnrolTokenSpec{Collector: "branch-paris-01"})
	if id, err = uplink.Enrol(ctx, uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: bound}); err != nil || id.Collector != "branch-paris-01" {
		t.Fatalf("with a bound token: %q, %v", id.Collector, err)
	}
}
