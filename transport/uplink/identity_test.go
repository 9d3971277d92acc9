package uplink

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"lwc/transport/wire"
)

func savedIdentity(t *testing.T) (dir string, id Identity) {
	t.Helper()
	_, pub := configSigner(t)
	id = identityOf(newAuthority(t, "ca"), pub, "127.0.0.1:1")
	dir = t.TempDir()
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir, id
}

func TestIdentityFilesArePrivate(t *testing.T) {
	dir, _ := savedIdentity(t)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatalf("%v in the folder: %v", files, err)
	}
	for _, f := range files {
		st, err := f.Info()
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", f.Name(), st.Mode(), err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, ""); !errors.Is(err, ErrIdentity) {
		t.Fatalf("a key that others can read: %v", err)
	}
}

// TestHalfAnIdentityIsNone removes or damages each file in turn: what a crash
// in Save can leave reads as no identity, and everything else is named.
func TestHalfAnIdentityIsNone(t *testing.T) {
	if _, err := Load(t.TempDir(), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an empty folder: %v", err)
	}
	for _, name := range []string{keyFile, certFile, caFile, bootstrapFile} {
		dir, _ := savedIdentity(t)
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, ""); !errors.Is(err, ErrIdentity) {
			t.Errorf("a damaged %s: %v", name, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, ""); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// Regression: a file that cannot be read at this moment is no reason to enrol anew.
func TestAnIdentityThatCannotBeRead(t *testing.T) {
	for _, name := range []string{keyFile, certFile, caFile, bootstrapFile} {
		dir, id := savedIdentity(t)
		path := filepath.Join(dir, name)
		// Reading a folder fails, also for root.
		if err := errors.Join(os.Rename(path, path+".aside"), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
		var disk *fs.PathError
		if _, err := Load(dir, ""); !errors.As(err, &disk) || errors.Is(err, ErrIdentity) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(os.Remove(path), os.Rename(path+".aside", path)); err != nil {
			t.Fatal(err)
		}
		if again, err := Load(dir, ""); err != nil || again.Collector != id.Collector {
			t.Errorf("%s, when it can be read again: %+v, %v", name, again, err)
		}
	}
}

func TestSavingOverAnOlderIdentity(t *testing.T) {
	dir, old := savedIdentity(t)
	_, pub := configSigner(t)
	next := identityOf(newAuthority(t, "another"), pub, "127.0.0.1:2")
	if err := next.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := Load(dir, "")
	if err != nil || back.Certificate.Leaf.Equal(old.Certificate.Leaf) || back.Bootstrap.Endpoints[0].Host != "127.0.0.1:2" {
		t.Fatalf("loaded %+v: %v", back.Bootstrap, err)
	}
	// The certificate of one key beside another key is no identity.
	if err := writeFile(dir, certFile, encodeCerts(old.Certificate.Certificate)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, ""); !errors.Is(err, ErrIdentity) {
		t.Fatalf("a certificate of another key: %v", err)
	}
}

func TestUnusableBootstrapIsRefused(t *testing.T) {
	_, pub := configSigner(t)
	good := identityOf(newAuthority(t, "ca"), pub, "127.0.0.1:1").Bootstrap
	if err := checkBootstrap(good, collectorID); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*wire.Bootstrap){
		"version":   func(b *wire.Bootstrap) { b.V = 2 },
		"collector": func(b *wire.Bootstrap) { b.Collector = "another-collector" },
		"key":       func(b *wire.Bootstrap) { b.ConfigKey = []byte("x") },
		"wildcard":  func(b *wire.Bootstrap) { b.Prefix = "lwc/+" },
		"slash":     func(b *wire.Bootstrap) { b.Prefix = "lwc/" },
		"endpoints": func(b *wire.Bootstrap) { b.Endpoints = nil },
		"port":      func(b *wire.Bootstrap) { b.Endpoints = []wire.Endpoint{{Host: "broker"}} },
	} {
		b := good
		edit(&b)
		if err := checkBootstrap(b, collectorID); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}
