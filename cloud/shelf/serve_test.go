package shelf_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/gate"
	"lwc/cloud/pki"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
	"lwc/transport/wire"
)

// site is a shelf behind the gate of a cloud, as boxes reach it.
type site struct {
	*kit
	pki *pki.PKI
	url string
}

func serve(t *testing.T) *site {
	t.Helper()
	s := &site{kit: newKit(t)}
	s.pki = must(pki.Open(filepath.Join(s.dir, "pki")))(t)
	g := must(gate.New(gate.Config{PKI: s.pki, Registry: s.store, HTTP: s.Handler()}))(t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	s.url = "https://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// box enrols a collector, and returns its client.
func (s *site) box(t *testing.T, id string, enrolled bool, h2 bool) *http.Client {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	c := must(s.pki.IssueCollector(id, key.Public()))(t)
	if enrolled {
		if err := s.store.Enrolled(t.Context(), edp.Enrolment{Collector: id, SPKI: pki.SPKI(c.RawSubjectPublicKeyInfo), NotAfter: c.NotAfter}); err != nil {
			t.Fatal(err)
		}
	}
	return s.client(t, h2, tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c})
}

func (s *site) client(t *testing.T, h2 bool, certs ...tls.Certificate) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pki.CAPool(), Certificates: certs}, ForceAttemptHTTP2: h2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func (s *site) get(t *testing.T, c *http.Client, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil))(t)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp := must(c.Do(req))(t)
	defer resp.Body.Close()
	return resp, must(io.ReadAll(resp.Body))(t)
}

func TestABoxLoadsARelease(t *testing.T) {
	s := serve(t)
	r := must(s.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)), "ada"))(t)
	for _, h2 := range []bool{false, true} {
		c := s.box(t, fmt.Sprintf("site-%v", h2), true, h2)
		resp, signed := s.get(t, c, "/releases/1.0.0/manifest.json")
		m, err := release.Open(signed, must(release.ParseKeys(must(os.ReadFile(filepath.Join(s.dir, "keys.pem")))(t)))(t))
		if err != nil || m.Version != "1.0.0" || resp.Header.Get("ETag") != `"`+wire.Digest(signed)+`"` {
			t.Fatalf("%v, %+v, %s", err, m, resp.Header.Get("ETag"))
		}
		for _, f := range m.Files {
			resp, packed := s.get(t, c, "/releases/1.0.0/"+f.PackedName)
			var plain bytes.Buffer
			if err := release.Unpack(t.Context(), &plain, bytes.NewReader(packed), f); err != nil {
				t.Fatal(err)
			}
			if tag := resp.Header.Get("ETag"); tag != `"`+f.PackedSHA256+`"` || resp.ContentLength != f.PackedSize || resp.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s: %d bytes, %s", f.Name, resp.ContentLength, tag)
			}
			half := f.PackedSize / 2
			s.resume(t, c, "/releases/1.0.0/"+f.PackedName, packed, half, `"`+f.PackedSHA256+`"`)
		}
	}
	if r.Digest == "" {
		t.Error("there is no digest")
	}
}

// resume loads the rest of a file: only that, where the file is still the same.
func (s *site) resume(t *testing.T, c *http.Client, path string, whole []byte, from int64, tag string) {
	t.Helper()
	from2 := fmt.Sprintf("bytes=%d-", from)
	resp, rest := s.get(t, c, path, "Range", from2, "If-Range", tag)
	if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(rest, whole[from:]) ||
		resp.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, len(whole)-1, len(whole)) {
		t.Errorf("the rest: %d, %d bytes, %s", resp.StatusCode, len(rest), resp.Header.Get("Content-Range"))
	}
	if resp, all := s.get(t, c, path, "Range", from2, "If-Range", `"another"`); resp.StatusCode != http.StatusOK || !bytes.Equal(all, whole) {
		t.Errorf("of another file: %d, %d bytes", resp.StatusCode, len(all))
	}
	if resp, _ := s.get(t, c, path, "Range", fmt.Sprintf("bytes=%d-", len(whole))); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond its end: %d", resp.StatusCode)
	}
}

func TestWhoGetsNoRelease(t *testing.T) {
	s := serve(t)
	r := must(s.Add(t.Context(), bytes.NewReader(shelftest.Bundle(t, "1.0.0", shelftest.Key(1), nil)), "ada"))(t)
	revoked := s.box(t, "site-revoked", true, false)
	good := s.box(t, "site-good", true, false)
	if err := s.store.Revoke(t.Context(), "site-revoked", "ada"); err != nil {
		t.Fatal(err)
	}
	path := "/releases/1.0.0/" + r.Files[0].PackedName
	for name, c := range map[string]*http.Client{
		"no certificate": s.client(t, false),
		"revoked":        revoked,
		"never enrolled": s.box(t, "site-unknown", false, false),
		"another key":    s.box(t, "site-good", false, false),
		"the server's":   s.client(t, false, *must(s.pki.ServerCertificate(nil))(t)),
	} {
		resp, err := c.Get(s.url + path)
		if err != nil {
			continue // refused in the handshake
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	for path, want := range map[string]int{
		path:                                  http.StatusOK,
		"/releases/1.0.0/" + r.Files[0].Name:  http.StatusNotFound, // only packed
		"/releases/1.0.0/edp.db":              http.StatusNotFound,
		"/releases/1.0.0/..%2f..%2fedp.db":    http.StatusNotFound,
		"/releases/..%2f1.0.0/manifest.json":  http.StatusNotFound,
		"/releases/1.0.1/manifest.json":       http.StatusNotFound,
		"/releases/1.0.0/manifest.json?x=../": http.StatusOK,
	} {
		if resp, _ := s.get(t, good, path); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if err := os.Remove(filepath.Join(s.releases(), "1.0.0", r.Files[0].PackedName)); err != nil {
		t.Fatal(err)
	}
	if resp, body := s.get(t, good, path); resp.StatusCode != http.StatusInternalServerError || strings.Contains(string(body), s.dir) {
		t.Errorf("our own trouble: %d %s", resp.StatusCode, body)
	}
	must(s.Withdraw(t.Context(), "1.0.0", "ada", "bad"))(t)
	if resp, body := s.get(t, good, path); resp.StatusCode != http.StatusGone || !strings.Contains(string(body), "withdrawn") {
		t.Errorf("withdrawn: %d %s", resp.StatusCode, body)
	}
}
