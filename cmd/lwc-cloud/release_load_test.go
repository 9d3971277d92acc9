package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
	"lwc/transport/download"
)

// cutting dials connections that break after so many bytes have come.
type cutting struct {
	after int

	mu    sync.Mutex // guards dials
	dials int
}

// dial is net.Dialer.DialContext with an end.
func (c *cutting) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials++
	return &cutConn{Conn: conn, left: c.after}, nil
}

type cutConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *cutConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.Join(errors.New("the line broke"), c.Close())
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A box loads a release from a real cloud over a line that breaks all the time, and
// has it whole; once the release is withdrawn it is told so.
func TestABoxLoadsOverABadLine(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir)
	keys := filepath.Join(t.TempDir(), "keys.pem")
	shelftest.Trust(t, keys, shelftest.Key(1))
	if _, errs, code := command(t, "release-keys", "--data", dir, "--add", keys); code != 0 {
		t.Fatal(errs)
	}
	token, _, _ := command(t, "api-token", "--data", dir, "--name", "ci", "--role", "admin")
	t.Setenv("LWC_API_TOKEN", strings.TrimSpace(token))
	bundle := filepath.Join(t.TempDir(), "lwc_1.1.0.release.tar")
	if err := os.WriteFile(bundle, shelftest.Bundle(t, "1.1.0", shelftest.Key(1), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := command(t, "release", "add", bundle); code != 0 {
		t.Fatal(errs)
	}
	conf, line := boxTLS(t, dir, "site-berlin-1"), &cutting{after: 30_000}
	c := download.Client{Dial: line.dial, Pause: 5 * time.Millisecond, TLS: func(host string) *tls.Config {
		own := conf.Clone()
		own.ServerName = host
		return own
	}}
	at := p.ready.URL + "/releases/1.1.0/"
	signed := must(c.Small(t.Context(), at+release.ManifestName, release.MaxSigned))
	m := must(release.Open(signed, must(release.ParseKeys(must(os.ReadFile(keys))))))
	for _, f := range m.Files {
		path := filepath.Join(t.TempDir(), f.PackedName)
		if err := c.File(t.Context(), download.Wanted{URL: at + f.PackedName, Path: path, Size: f.PackedSize, SHA256: f.PackedSHA256}, nil); err != nil {
			t.Fatal(err)
		}
		if err := release.Unpack(t.Context(), &bytes.Buffer{}, bytes.NewReader(must(os.ReadFile(path))), f); err != nil {
			t.Error(err)
		}
	}
	if line.dials < 10 {
		t.Errorf("the line broke %d times", line.dials)
	}
	if _, errs, code := command(t, "release", "withdraw", "1.1.0", "--why", "slow"); code != 0 {
		t.Fatal(errs)
	}
	var refused *download.RefusedError
	_, err := c.Small(t.Context(), at+release.ManifestName, release.MaxSigned)
	if !errors.As(err, &refused) || refused.Status != 410 || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("withdrawn: %v", err)
	}
}
