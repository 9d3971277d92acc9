// Package apitest runs a whole cloud end without a broker: a real store, vault
// and certification authority, the API and the portal, on one TLS listener of
// the loopback. Tests of the API, the portal and the command line share it.
package apitest

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lwc/cloud/api"
	"lwc/cloud/api/apitype"
	"lwc/cloud/api/issue"
	"lwc/cloud/edp"
	"lwc/cloud/fleet/keeper"
	"lwc/cloud/pki"
	"lwc/cloud/portal"
	"lwc/cloud/shelf"
	"lwc/cloud/vault"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Cloud is a running cloud end.
type Cloud struct {
	Store  *edp.Store
	Vault  *vault.Vault
	Keeper *keeper.Keeper
	PKI    *pki.PKI
	Issuer issue.Issuer
	Hub    *Hub
	Shelf  *shelf.Shelf
	URL    string
	// ReleaseKeys is the file with the keys that may sign releases.
	ReleaseKeys string

	tb    testing.TB
	key   *ecdsa.PrivateKey // of the collectors
	boots int
}

// Hub records what it is told.
type Hub struct {
	mu    sync.Mutex // guards Calls
	Calls []string   // "job ID", "fleet ID", "revoked ID"
	OnJob func(collector string)
}

func (h *Hub) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Calls = append(h.Calls, s)
}

// Told returns what the hub was told so far.
func (h *Hub) Told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.Calls...)
}

// JobCreated implements the hub of the API and the portal.
func (h *Hub) JobCreated(collector string) {
	h.note("job " + collector)
	if h.OnJob != nil {
		h.OnJob(collector)
	}
}

// HeldDecided implements the hub of the API and the portal.
func (h *Hub) HeldDecided(collector string) { h.note("held " + collector) }

// Revoked implements the hub of the API and the portal.
func (h *Hub) Revoked(collector string) { h.note("revoked " + collector) }

// Look implements the planner of the API and the portal.
func (h *Hub) Look() { h.note("look") }

// Start runs a cloud until the test is over.
func Start(t testing.TB) *Cloud {
	t.Helper()
	dir := t.TempDir()
	c := &Cloud{tb: t, Hub: &Hub{}}
	c.Store = must(edp.Open(t.Context(), filepath.Join(dir, "lwc.db")))(t)
	t.Cleanup(func() { _ = c.Store.Close() })
	c.Vault = must(vault.Open(dir))(t)
	c.PKI = must(pki.Open(dir))(t)
	c.key = must(identity())(t)
	c.Keeper = keeper.New(c.Store, c.Vault, func(id string) { c.Hub.note("fleet " + id) })
	c.ReleaseKeys = filepath.Join(dir, "release-keys.pem")
	c.Shelf = must(shelf.Open(t.Context(), shelf.Config{Dir: filepath.Join(dir, "releases"), Keys: c.ReleaseKeys, Store: c.Store}))(t)
	cert := must(c.PKI.ServerCertificate(nil))(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS13}
	srv.EnableHTTP2 = true
	c.URL = "https://" + srv.Listener.Addr().String()
	c.Issuer = issue.Issuer{Store: c.Store, URL: c.URL, CAPin: c.PKI.CAPin()}
	srv.Config.Handler = c.handler(t)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return c
}

func (c *Cloud) handler(t testing.TB) http.Handler {
	p := must(portal.New(portal.Config{Store: c.Store, Keeper: c.Keeper, Issuer: c.Issuer, Hub: c.Hub, Shelf: c.Shelf, Planner: c.Hub}))(t)
	a := api.New(api.Config{Store: c.Store, Keeper: c.Keeper, Issuer: c.Issuer, Hub: c.Hub, Shelf: c.Shelf, Planner: c.Hub, Session: p.Session})
	mux := http.NewServeMux()
	mux.Handle("/api/", a)
	mux.Handle(shelf.Pattern, c.Shelf.Handler()) // as a real cloud does: pages must not lie below it
	mux.Handle("/", p)
	return mux
}

// must fails the test unless there is no error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Token makes an API token, as LWC_API_TOKEN has it.
func (c *Cloud) Token(role edp.Role) string {
	c.tb.Helper()
	return must(c.Issuer.APIToken(c.ctx(), apitype.APITokenRequest{Name: "test-" + string(role), Role: string(role)}))(c.tb).Token
}

// Bearer makes the Authorization header of a new API token.
func (c *Cloud) Bearer(role edp.Role) string {
	c.tb.Helper()
	t := must(wire.ParseToken(wire.APIToken, secret.FromString(c.Token(role))))(c.tb)
	return apitype.Bearer(t)
}

// Client is an HTTP client that trusts the cloud and follows no redirects.
func (c *Cloud) Client() *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.PKI.CAPool(), MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *Cloud) ctx() context.Context { return c.tb.Context() }
