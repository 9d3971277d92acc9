package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	releases "lwc/image/release"
	"lwc/transport/wire"
)

// onShelf makes a signed release in a folder, as the cloud has it.
func onShelf(t *testing.T, version string) (folder string, m releases.Manifest, public []byte) {
	t.Helper()
	folder = t.TempDir()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m = releases.Manifest{V: releases.Format, Version: version, Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	id := strings.Repeat("ab", 16)
	for role, name := range map[releases.Role]string{
		releases.Root:   "lwc_" + version + ".root-" + id + ".raw",
		releases.Verity: "lwc_" + version + ".verity-" + id + ".raw",
		releases.UKI:    "lwc_" + version + ".efi",
	} {
		var packed bytes.Buffer
		f, err := releases.Pack(t.Context(), &packed, strings.NewReader(strings.Repeat(string(role), 50000)), role, name)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, f.PackedName), packed.Bytes(), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	m.Files = inOrder(m)
	signed, err := releases.Sign(m, key)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, releases.ManifestName), signed, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err = releases.MarshalKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return folder, m, public
}

func inOrder(m releases.Manifest) (out []releases.File) {
	for _, r := range releases.Roles() {
		out = append(out, *m.File(r))
	}
	return out
}

// shelfFor serves a folder as the cloud does, to a fetcher with an empty spool.
func shelfFor(t *testing.T, folder string, keys []byte) fetcher {
	t.Helper()
	s := httptest.NewTLSServer(http.StripPrefix("/releases/1.2.0/", http.FileServer(http.Dir(folder))))
	t.Cleanup(s.Close)
	return fetcher{spool: t.TempDir(), keys: keys,
		dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		},
		web: func() (string, func(string) *tls.Config) {
			return "https://example.com", func(host string) *tls.Config {
				conf := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				conf.ServerName = host
				return conf
			}
		}}
}

// A release comes whole into the spool; what lay there of others is removed, what lay
// there of this one is gone on with.
func TestFetch(t *testing.T) {
	folder, m, keys := onShelf(t, "1.2.0")
	f := shelfFor(t, folder, keys)
	uki := m.File(releases.UKI)
	whole, err := os.ReadFile(filepath.Join(folder, uki.PackedName))
	if err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string][]byte{"lwc_1.1.0.efi.zst": make([]byte, 1000), uki.PackedName: whole[:len(whole)/2]} {
		if err := os.WriteFile(filepath.Join(f.spool, name), left, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	for _, j := range []wire.Job{{Release: "1.2.0"}, {Source: "https://example.com/releases/1.2.0/manifest.json"}} {
		if err := f.release(t.Context(), j, func(s string) { told = append(told, s) }); err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadDir(f.spool)
		if err != nil || len(list) != 4 {
			t.Errorf("%v, %v", list, err)
		}
		for _, e := range list {
			got, err := os.ReadFile(filepath.Join(f.spool, e.Name()))
			want, werr := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil || werr != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v, %v", e.Name(), err, werr)
			}
		}
	}
	if len(told) < 2 || told[0] != "fetching the manifest of release 1.2.0" || !strings.HasPrefix(told[1], "downloading release 1.2.0: ") || !strings.HasSuffix(told[1], " MiB") {
		t.Errorf("%q", told)
	}
}

// What will be refused is not downloaded.
func TestFetchRefused(t *testing.T) {
	folder, m, keys := onShelf(t, "1.2.0")
	_, _, others := onShelf(t, "1.2.0")
	f := shelfFor(t, folder, keys)
	for _, c := range []struct {
		about, words string
		job          wire.Job
		keys         []byte
	}{
		{"another key", "not signed by a key that is trusted", wire.Job{Release: "1.2.0"}, others},
		{"no key", "0 blocks begin", wire.Job{Release: "1.2.0"}, nil},
		{"no version", "no version", wire.Job{Release: "../x"}, keys},
		{"no release", "no version", wire.Job{}, keys},
		{"not there", "404 Not Found", wire.Job{Release: "1.2.1"}, keys},
		{"another version", "the manifest is of 1.2.0", wire.Job{Release: "1.3.0", Source: "https://example.com/releases/1.2.0/manifest.json"}, keys},
		{"a plain address", "https://", wire.Job{Release: "1.2.0", Source: "http://example.com/releases/1.2.0/manifest.json"}, keys},
		{"another file", "does not end with manifest.json", wire.Job{Release: "1.2.0", Source: "https://example.com/x"}, keys},
	} {
		f.keys = c.keys
		if err := f.release(t.Context(), c.job, func(string) {}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.about, err)
		}
	}
	f.keys = keys
	if err := os.WriteFile(filepath.Join(folder, m.Files[0].PackedName), []byte("tampered"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.release(t.Context(), wire.Job{Release: "1.2.0"}, func(string) {}); err == nil || !strings.Contains(err.Error(), "another file under this name") {
		t.Errorf("tampered: %v", err)
	}
	if list, err := os.ReadDir(f.spool); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
