package release

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func FuzzOpen(f *testing.F) {
	key := newKey(f, 1)
	folder, _ := make1(f, key)
	signed, err := os.ReadFile(filepath.Join(folder, ManifestName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(`{"payload":"","payloadType":"` + PayloadType + `","signatures":[{"sig":""}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Open(text, public(key))
		if err == nil && m.Version != "1.2.0" || err != nil && m.V != 0 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// FuzzManifest opens what a trusted key has signed, whatever that is.
func FuzzManifest(f *testing.F) {
	key := newKey(f, 1)
	_, m := make1(f, key)
	payload, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		text, err := json.Marshal(envelope{payload, PayloadType, []signature{{Sig: ed25519.Sign(key, encode(PayloadType, payload))}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Open(text, public(key))
		if err != nil {
			return
		}
		for _, f := range m.Files {
			if filepath.Base(f.Name) != f.Name || filepath.Base(f.PackedName) != f.PackedName || f.Size <= 0 {
				t.Errorf("%+v", f)
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	one, err := MarshalKey(public(newKey(f, 1))[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one)
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d, %v", len(keys), err)
		}
	})
}

func FuzzBundle(f *testing.F) {
	key := newKey(f, 1)
	folder, m := make1(f, key)
	f.Add(bundle(f, folder, m))
	f.Fuzz(func(t *testing.T, text []byte) {
		to := t.TempDir()
		m, err := ReadBundle(context.Background(), bytes.NewReader(text), to, public(key))
		if err == nil && m.Version != "1.2.0" || err != nil && m.V != 0 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
