package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"lwc/cloud/vault"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func password(s string) wire.CredentialSecret {
	return wire.CredentialSecret{Password: secret.FromString(s)}
}

func seal(t *testing.T, v *vault.Vault, id, pass string) []byte {
	t.Helper()
	b, err := v.Encrypt(id, password(pass))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestASealedSecretOpensAfterARestart(t *testing.T) {
	dir := t.TempDir()
	sealed := seal(t, open(t, dir), "site/lab", "canary-4711")
	if bytes.Contains(sealed, []byte("canary")) {
		t.Fatal("the cipher holds the password in clear")
	}
	got, err := open(t, dir).Decrypt("site/lab", sealed)
	if err != nil || string(got.Password.Reveal()) != "canary-4711" {
		t.Fatalf("got %q, %v", got.Password.Reveal(), err)
	}
}

func TestASealedSecretOpensForItsNameAndKeyOnly(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	sealed := seal(t, v, "site/lab", "canary-4711")
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, try := range map[string]func() error{
		"another name":  func() error { _, err := v.Decrypt("site/core", sealed); return err },
		"another vault": func() error { _, err := open(t, t.TempDir()).Decrypt("site/lab", sealed); return err },
		"a changed bit": func() error { _, err := v.Decrypt("site/lab", changed); return err },
		"nothing":       func() error { _, err := v.Decrypt("site/lab", nil); return err },
		"a stump":       func() error { _, err := v.Decrypt("site/lab", sealed[:5]); return err },
	} {
		if err := try(); !errors.Is(err, vault.ErrCipher) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersionFollowsTheSecret(t *testing.T) {
	v := open(t, t.TempDir())
	version := func(id, pass string) string {
		s, err := v.Version(id, password(pass))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if one, again := version("a", "x"), version("a", "x"); one != again {
		t.Error("the same secret has two versions")
	}
	if version("a", "x") == version("a", "y") || version("a", "x") == version("b", "x") {
		t.Error("two secrets have one version")
	}
}

func TestADamagedKeyFileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	path := filepath.Join(dir, vault.KeyFile)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", fi.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(dir); err == nil {
		t.Fatal("a damaged key was accepted")
	}
}
