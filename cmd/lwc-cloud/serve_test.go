package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// browser trusts the authority of the ready file alone. It follows no redirect.
func (p *serving) browser() *http.Client {
	p.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(must(os.ReadFile(p.ready.CAFile))) {
		p.t.Fatal("the ready file names no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (p *serving) get(path, bearer string) (int, string) {
	p.t.Helper()
	r := must(http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.ready.URL+path, nil))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := p.browser().Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}

func TestServeNeedsNothingButAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud")
	p := startServe(t, dir)
	link := must(url.Parse(p.ready.AdminLink))
	for path, want := range map[string]int{
		"/":              http.StatusSeeOther, // to the log-in
		"/login":         http.StatusOK,
		link.Path:        http.StatusOK,
		wire.PathCACerts: http.StatusOK,
		// The portal, not the API, answers what nobody else does.
		"/nothing-here":      http.StatusSeeOther,
		"/api/v1/collectors": http.StatusUnauthorized,
		"/api/openapi.json":  http.StatusOK,
		wire.PathBootstrap:   http.StatusForbidden,
	} {
		if got, body := p.get(path, ""); got != want {
			t.Errorf("%s: %d, want %d: %.200s", path, got, want, body)
		}
	}
	if code := p.terminate(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	out := p.stdout.String()
	for _, want := range []string{p.ready.URL, p.ready.AdminLink, p.ready.CAFile, "lwc-cloud api-token --data"} {
		if !strings.Contains(out, want) {
			t.Errorf("the announcement lacks %q:\n%s", want, out)
		}
	}
	if secret := filepath.Base(link.Path); strings.Contains(p.stderr.String(), secret) {
		t.Error("the log has the link")
	}
	checkModes(t, dir)
}

func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if fi := must(e.Info()); fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAdminCommandsWorkWhileItServes(t *testing.T) {
	dir := t.TempDir()
	addr := freeAddr()
	p := startServe(t, dir, "--listen", addr, "--public-url", "https://cloud.example:8443", "--public-url", "https://192.0.2.7")
	link, _, code := command(t, "admin-link", "--data", dir)
	if code != 0 || !strings.HasPrefix(link, "https://cloud.example:8443/link/") {
		t.Fatalf("%q, %d", link, code)
	}
	text, _, code := command(t, "api-token", "--data", dir, "--name", "ci", "--role", "standard", "--ttl", "14d")
	tok, err := wire.ParseToken(wire.APIToken, secret.FromString(text))
	if err != nil || code != 0 || tok.URL != "https://cloud.example:8443" {
		t.Fatalf("%+v, %v, %d", tok, err, code)
	}
	bearer := tok.ID + "." + base64.RawURLEncoding.EncodeToString(tok.Secret.Reveal())
	p.ready.URL = "https://" + addr
	if got, body := p.get("/api/v1/collectors", bearer); got != http.StatusOK {
		t.Fatalf("%d %s", got, body)
	}
	plain, _, _ := command(t, "api-token", "--data", dir, "--name", "curl", "--bearer")
	if got, body := p.get("/api/v1/collectors", strings.TrimSpace(plain)); got != http.StatusOK {
		t.Errorf("with --bearer: %d %s", got, body)
	}
	if list, _, _ := command(t, "api-token", "--data", dir, "--list"); !strings.Contains(list, tok.ID) || !strings.Contains(list, "ci") {
		t.Errorf("list: %s", list)
	}
	if _, text, code := command(t, "api-token", "--data", dir, "--revoke", tok.ID); code != 0 {
		t.Error(text)
	}
	if got, _ := p.get("/api/v1/collectors", bearer); got != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", got)
	}
	for _, host := range []string{"cloud.example", "192.0.2.7", "localhost"} {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(host); err != nil {
			t.Error(err)
		}
		c.Close()
	}
}

// freeAddr returns an address that nobody listens on.
func freeAddr() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func TestAFolderIsServedOnce(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	_, text, code := command(t, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(text, "another lwc-cloud serves it") {
		t.Fatalf("%d %s", code, text)
	}
}

func TestARestartKeepsItsKeysAndUsers(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr()
	p := startServe(t, dir, "--listen", addr)
	store := must(edp.Open(t.Context(), filepath.Join(dir, databaseFile)))
	secretOf := secret.FromString(filepath.Base(p.ready.AdminLink))
	if _, err := store.UseLink(t.Context(), secretOf, "ann", secret.FromString("a good password")); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(p.ready.CAFile))
	p.kill() // as a power cut does
	again := startServe(t, dir, "--listen", addr)
	if again.ready.AdminLink != "" {
		t.Error("a link for a first admin, and there is one")
	}
	if string(must(os.ReadFile(again.ready.CAFile))) != string(before) {
		t.Error("another authority after a restart")
	}
	if code, _ := again.get("/login", ""); code != http.StatusOK {
		t.Errorf("log-in: %d", code)
	}
	if code := again.terminate(); code != 0 {
		t.Errorf("exit code %d: %s", code, again.stderr.String())
	}
}

// An open browser must not hold up the stop.
func TestStopIsBounded(t *testing.T) {
	p := startServe(t, t.TempDir())
	if code, _ := p.get("/login", ""); code != http.StatusOK {
		t.Fatal(code)
	}
	c := must(net.Dial("tcp", strings.TrimPrefix(p.ready.URL, "https://")))
	defer c.Close()
	begun := time.Now()
	if code := p.terminate(); code != 0 || time.Since(begun) > 15*time.Second {
		t.Fatalf("exit code %d after %v: %s", code, time.Since(begun), p.stderr.String())
	}
}

func TestWrongCommandLines(t *testing.T) {
	empty, busy := t.TempDir(), must(net.Listen("tcp", "127.0.0.1:0"))
	defer busy.Close()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "On the server"},
		{"sevre", 2, `no command "sevre"`},
		{"serve", 2, "--data DIR is needed"},
		{"serve --dta x", 2, "serve --help"},
		{"serve --data " + empty + " more", 2, `unexpected argument "more"`},
		{"serve --data " + empty + " --log-format xml", 2, "text or json"},
		{"serve --data " + empty + " --public-url http://x", 2, "must be https://HOST"},
		{"serve --data " + empty + " --public-url https://x/path", 2, "must be https://HOST"},
		{"serve --data " + empty + " --listen " + busy.Addr().String(), 1, "address already in use"},
		{"serve --data " + empty + " --listen 127.0.0.1:0 --broker mqtt://x", 2, `--broker "mqtt://x" must be mqtts://HOST:PORT`},
		{"serve --data " + empty + " --listen 127.0.0.1:0 --broker wss://x/mqtt", 2, `--broker "wss://x/mqtt" must be mqtts://HOST:PORT`},
		{"serve --data " + empty + " --listen 127.0.0.1:0 --broker mqtts://x --endpoint ftp://x", 2, `--endpoint "ftp://x" must be`},
		{"serve --data " + empty + " --listen 127.0.0.1:0 --broker mqtt://x --endpoint wss://x", 2, `--broker "mqtt://x" must be`},
		{"serve --data /proc/nowhere", 1, "making the data folder"},
		{"admin-link", 2, "--data DIR is needed"},
		{"admin-link --data /nowhere", 1, "not a data folder"},
		{"api-token --data " + empty, 2, "--name NAME is needed"},
		{"api-token --data " + empty + " --name x --role root", 1, "admin or standard"},
		{"api-token --data " + empty + " --name x --ttl 0", 2, "for flag -ttl: that is too short: give 1s at least"},
		{"broker-cert --data " + empty, 2, "--host NAME"},
	} {
		_, text, code := command(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(text, c.says) || strings.Contains(text, "panic") {
			t.Errorf("%q: %d %q, want %d %q", c.args, code, text, c.code, c.says)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"serve", "--help"}, {"admin-link", "-h"}, {"api-token", "--help"}, {"broker-cert", "--help"}} {
		if out, text, code := command(t, args...); code != 0 || len(out) < 100 || text != "" {
			t.Errorf("%v: %d %q %q", args, code, out, text)
		}
	}
	if out, _, _ := command(t, "version"); !strings.HasPrefix(out, "lwc-cloud ") {
		t.Error(out)
	}
}

func TestBrokerCertBeforeTheFirstServe(t *testing.T) {
	dir, out := filepath.Join(t.TempDir(), "cloud"), filepath.Join(t.TempDir(), "broker")
	if _, text, code := command(t, "broker-cert", "--data", dir, "--host", "mqtt.example", "--host", "192.0.2.1", "--out", out); code != 0 {
		t.Fatal(text)
	}
	pair := must(tls.LoadX509KeyPair(filepath.Join(out, "broker.pem"), filepath.Join(out, "broker.key")))
	for _, host := range []string{"mqtt.example", "192.0.2.1"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"ca.pem", "lwc-cloud.pem", "lwc-cloud.key", "mosquitto.conf", "mosquitto.acl"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	p := startServe(t, dir)
	if string(must(os.ReadFile(p.ready.CAFile))) != string(must(os.ReadFile(filepath.Join(out, "ca.pem")))) {
		t.Error("serve has another authority than the broker")
	}
}
