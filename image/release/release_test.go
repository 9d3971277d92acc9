package release

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newKey(t testing.TB, seed byte) ed25519.PrivateKey {
	t.Helper()
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(keys ...ed25519.PrivateKey) (out []ed25519.PublicKey) {
	for _, k := range keys {
		out = append(out, k.Public().(ed25519.PublicKey))
	}
	return out
}

// make1 makes a release in a folder: packed files and a signed manifest.
func make1(t testing.TB, key ed25519.PrivateKey) (folder string, m Manifest) {
	t.Helper()
	folder = t.TempDir()
	m = Manifest{V: Format, Version: "1.2.0", Floor: "1.0.0", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Notes: "Two\nlines.", Security: true}
	id := strings.Repeat("0a", 16)
	for i, name := range []string{"lwc_1.2.0.root-" + id + ".raw", "lwc_1.2.0.verity-" + id + ".raw", "lwc_1.2.0.efi"} {
		var packed bytes.Buffer
		f, err := Pack(context.Background(), &packed, strings.NewReader(strings.Repeat(name, 5000)), Roles()[i], name)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, f.PackedName), packed.Bytes(), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	signed, err := Sign(m, key)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, ManifestName), signed, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder, m
}

func bundle(t testing.TB, folder string, m Manifest) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteBundle(context.Background(), &b, folder, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was signed comes back, by any of several keys; the signature of a key that is
// not known does no harm.
func TestSignAndOpen(t *testing.T) {
	old, next, stranger := newKey(t, 1), newKey(t, 2), newKey(t, 3)
	_, m := make1(t, old)
	signed, err := Sign(m, stranger, old, next)
	if err != nil {
		t.Fatal(err)
	}
	for _, trusted := range [][]ed25519.PublicKey{public(old), public(next), public(old, next)} {
		got, err := Open(signed, trusted)
		if err != nil || !slices.Equal(got.Files, m.Files) || got.Version != m.Version || !got.Created.Equal(m.Created) || got.Notes != m.Notes {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, trusted := range [][]ed25519.PublicKey{nil, public(newKey(t, 4)), {nil}} {
		if got, err := Open(signed, trusted); !errors.Is(err, ErrSignature) || got.Version != "" {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// The encoding is that of the DSSE specification's own example.
func TestEncoding(t *testing.T) {
	const want = "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
	if got := encode("http://example.com/HelloWorld", []byte("hello world")); string(got) != want {
		t.Errorf("%q", got)
	}
}

// Not a bit of what was signed can be changed, nor its type.
func TestChangedEnvelope(t *testing.T) {
	key := newKey(t, 1)
	_, m := make1(t, key)
	signed, err := Sign(m, key)
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(signed, &e); err != nil {
		t.Fatal(err)
	}
	for about, change := range map[string]func(*envelope){
		"payload":      func(e *envelope) { e.Payload = bytes.Replace(e.Payload, []byte("1.2.0"), []byte("1.3.0"), 1) },
		"space":        func(e *envelope) { e.Payload = append(slices.Clone(e.Payload), ' ') },
		"type":         func(e *envelope) { e.PayloadType = "application/vnd.in-toto+json" },
		"signature":    func(e *envelope) { e.Signatures[0].Sig[3] ^= 1 },
		"no signature": func(e *envelope) { e.Signatures = nil },
		"short":        func(e *envelope) { e.Signatures[0].Sig = e.Signatures[0].Sig[:63] },
		"too many":     func(e *envelope) { e.Signatures = slices.Repeat(e.Signatures, maxSignatures+1) },
	} {
		c := e
		c.Signatures = []signature{{e.Signatures[0].KeyID, slices.Clone(e.Signatures[0].Sig)}}
		change(&c)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(text, public(key)); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", about, err)
		}
	}
	if _, err := Open(append(signed, bytes.Repeat([]byte(" "), MaxSigned)...), public(key)); !errors.Is(err, ErrSignature) {
		t.Errorf("too long: %v", err)
	}
}

// A signature makes no release of what cannot be one.
func TestManifestIsChecked(t *testing.T) {
	key := newKey(t, 1)
	_, good := make1(t, key)
	for about, change := range map[string]func(*Manifest){
		"format":         func(m *Manifest) { m.V = 2 },
		"version":        func(m *Manifest) { m.Version = "1.2" },
		"floor":          func(m *Manifest) { m.Floor = "1.2.0" },
		"floor's form":   func(m *Manifest) { m.Floor = "x" },
		"created":        func(m *Manifest) { m.Created = time.Time{} },
		"notes":          func(m *Manifest) { m.Notes = "\x1b[2J" },
		"long notes":     func(m *Manifest) { m.Notes = strings.Repeat("x", maxNotes+1) },
		"a file less":    func(m *Manifest) { m.Files = m.Files[:2] },
		"a file more":    func(m *Manifest) { m.Files = append(m.Files, m.Files[0]) },
		"order":          func(m *Manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] },
		"role":           func(m *Manifest) { m.Files[0].Role = "boot" },
		"another's name": func(m *Manifest) { m.Files[0].Name = strings.Replace(m.Files[0].Name, "1.2.0", "1.1.0", 1) },
		"path":           func(m *Manifest) { m.Files[2].Name = "../lwc_1.2.0.efi" },
		"packed path":    func(m *Manifest) { m.Files[2].PackedName = "/etc/passwd" },
		"id":             func(m *Manifest) { m.Files[0].Name = "lwc_1.2.0.root-" + strings.Repeat("0A", 16) + ".raw" },
		"size":           func(m *Manifest) { m.Files[0].Size = maxRoot + 1 },
		"no size":        func(m *Manifest) { m.Files[0].Size = 0 },
		"packed size":    func(m *Manifest) { m.Files[0].PackedSize = packedLimit(m.Files[0].Size) + 1 },
		"no packed size": func(m *Manifest) { m.Files[0].PackedSize = -1 },
		"hash":           func(m *Manifest) { m.Files[0].SHA256 = strings.ToUpper(m.Files[0].SHA256) },
		"packed hash":    func(m *Manifest) { m.Files[0].PackedSHA256 = "" },
	} {
		m := good
		m.Files = slices.Clone(good.Files)
		change(&m)
		if _, err := Sign(m, key); !errors.Is(err, ErrManifest) {
			t.Errorf("signing, %s: %v", about, err)
		}
		payload, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(envelope{payload, PayloadType, []signature{{Sig: ed25519.Sign(key, encode(PayloadType, payload))}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(text, public(key)); !errors.Is(err, ErrManifest) {
			t.Errorf("opening, %s: %v", about, err)
		}
	}
}

func TestVersions(t *testing.T) {
	inOrder := []string{"", "0.0.0", "0.0.1", "0.9.0", "0.10.0", "1.0.0", "1.0.9", "1.0.10", "10.0.0", "99999999.0.0"}
	for i, a := range inOrder {
		for j, b := range inOrder {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(a, b); got != want {
				t.Errorf("%q, %q: %d", a, b, got)
			}
		}
	}
	for _, s := range []string{"1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-rc1", " 1.2.3", "1.2.3\n", "1..3", "-1.2.3", "100000000.0.0"} {
		if CheckVersion(s) == nil || Compare(s, "0.0.0") >= 0 {
			t.Errorf("%q is a version", s)
		}
	}
}

func TestKeys(t *testing.T) {
	var text []byte
	for seed := range byte(3) {
		one, err := MarshalKey(public(newKey(t, seed))[0])
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "# a key\n"...), one...)
	}
	keys, err := ParseKeys(text)
	if err != nil || len(keys) != 3 || !keys[1].Equal(public(newKey(t, 1))[0]) {
		t.Errorf("%d, %v", len(keys), err)
	}
	for about, bad := range map[string][]byte{
		"none":     []byte("# nothing\n"),
		"cut off":  text[:len(text)-40],
		"private":  []byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"),
		"not one":  []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"too many": bytes.Repeat(text, 6),
		"too long": bytes.Repeat([]byte(" "), maxKeyFile+1),
		// RFC 8410, section 10.1 has an X25519 key beside.
		"another kind": []byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"),
	} {
		if keys, err := ParseKeys(bad); err == nil || keys != nil {
			t.Errorf("%s: %d, %v", about, len(keys), err)
		}
	}
}

// A bundle is read back as it was written, twice the same bytes.
func TestBundle(t *testing.T) {
	key := newKey(t, 1)
	folder, m := make1(t, key)
	b := bundle(t, folder, m)
	if !bytes.Equal(b, bundle(t, folder, m)) {
		t.Error("two bundles of one release differ")
	}
	to := t.TempDir()
	got, err := ReadBundle(t.Context(), bytes.NewReader(b), to, public(key))
	if err != nil || got.Version != "1.2.0" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, name := range []string{ManifestName, m.Files[0].PackedName, m.Files[1].PackedName, m.Files[2].PackedName} {
		was, err := os.ReadFile(filepath.Join(folder, name))
		is, err2 := os.ReadFile(filepath.Join(to, name))
		if err != nil || err2 != nil || !bytes.Equal(was, is) {
			t.Errorf("%s: %v, %v", name, err, err2)
		}
	}
	if _, err := ReadBundle(t.Context(), bytes.NewReader(b), to, public(key)); !errors.Is(err, os.ErrExist) {
		t.Errorf("into a folder with something in it: %v", err)
	}
}

// rewritten is the bundle with its entries changed.
func rewritten(t *testing.T, b []byte, change func(*tar.Header, []byte) (*tar.Header, []byte)) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		text, err2 := io.ReadAll(r)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if h, text = change(h, text); h == nil {
			continue
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A bundle that is not what was made is refused, and of one that nobody trusted has
// signed nothing is written.
func TestBadBundles(t *testing.T) {
	key := newKey(t, 1)
	folder, m := make1(t, key)
	good := bundle(t, folder, m)
	uki := m.Files[2].PackedName
	for _, c := range []struct {
		about string
		text  []byte
		want  error
		empty bool
	}{
		{"empty", nil, ErrBundle, true},
		{"no tar", bytes.Repeat([]byte("x"), 5000), ErrBundle, true},
		{"cut in the manifest", good[:700], ErrBundle, true},
		{"cut in a file", good[:len(good)*2/3], nil, false},
		{"tampered", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				b[len(b)/2] ^= 1
			}
			return h, b
		}), ErrFile, false},
		{"longer", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				b = append(b, 0)
			}
			return h, b
		}), ErrBundle, false},
		{"shorter", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				b = b[:len(b)-1]
			}
			return h, b
		}), ErrFile, false},
		{"unsigned", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			return h, bytes.Replace(b, []byte(`"sig"`), []byte(`"sug"`), 1)
		}), ErrSignature, true},
		{"a file missing", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				return nil, nil
			}
			return h, b
		}), ErrBundle, false},
		{"another order", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == ManifestName {
				return nil, nil
			}
			return h, b
		}), ErrBundle, true},
		{"a path", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				h.Name = "../" + uki
			}
			return h, b
		}), ErrBundle, false},
		{"a link", rewritten(t, good, func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name == uki {
				h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd"
				return h, nil
			}
			return h, b
		}), ErrBundle, false},
	} {
		to := t.TempDir()
		got, err := ReadBundle(t.Context(), bytes.NewReader(c.text), to, public(key))
		if err == nil || c.want != nil && !errors.Is(err, c.want) || got.Version != "" {
			t.Errorf("%s: %+v, %v", c.about, got, err)
		}
		if _, err := os.Stat(filepath.Join(to, ManifestName)); err == nil {
			t.Errorf("%s: the manifest was written", c.about)
		}
		if list, _ := os.ReadDir(to); c.empty && len(list) > 0 {
			t.Errorf("%s: %v was written", c.about, list)
		}
	}
}
