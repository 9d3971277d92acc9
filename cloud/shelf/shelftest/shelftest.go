// Package shelftest makes releases for tests: real bundles, signed by keys of the
// test's own, whose files hold noise instead of systems.
package shelftest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lwc/image/release"
)

// Key makes a key that may sign releases. The same seed gives the same key.
func Key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// Trust writes the public keys of some keys into a file, as a cloud reads them.
func Trust(tb testing.TB, file string, keys ...ed25519.PrivateKey) {
	tb.Helper()
	var text []byte
	for _, k := range keys {
		text = append(text, must(release.MarshalKey(k.Public().(ed25519.PublicKey)))(tb)...)
	}
	check(tb, os.WriteFile(file, text, 0o600))
}

// Bundle makes the bundle of a release, some 300 KB. change may alter the manifest
// before it is signed; nil alters nothing.
func Bundle(tb testing.TB, version string, key ed25519.PrivateKey, change func(*release.Manifest)) []byte {
	tb.Helper()
	dir := tb.TempDir()
	m := release.Manifest{V: release.Format, Version: version, Created: time.Date(2026, 1, 14, 12, 0, 0, 0, time.UTC)}
	start := "lwc_" + version + "."
	for i, f := range []struct {
		role release.Role
		name string
	}{
		{release.Root, start + "root-00112233445566778899aabbccddeeff.raw"},
		{release.Verity, start + "verity-ffeeddccbbaa99887766554433221100.raw"},
		{release.UKI, start + "efi"},
	} {
		m.Files = append(m.Files, pack(tb, dir, f.role, f.name, noise(version, i)))
	}
	if change != nil {
		change(&m)
	}
	check(tb, os.WriteFile(filepath.Join(dir, release.ManifestName), must(release.Sign(m, key))(tb), 0o600))
	var out bytes.Buffer
	check(tb, release.WriteBundle(tb.Context(), &out, dir, m))
	return out.Bytes()
}

func pack(tb testing.TB, dir string, role release.Role, name string, content []byte) release.File {
	tb.Helper()
	out := must(os.Create(filepath.Join(dir, name+release.Packing)))(tb)
	f := must(release.Pack(context.Background(), out, bytes.NewReader(content), role, name))(tb)
	check(tb, out.Close())
	return f
}

// noise is what a file holds: bytes that do not shrink, the same each time.
func noise(version string, file int) []byte {
	var seed [32]byte
	copy(seed[:], version)
	seed[31] = byte(file)
	b := make([]byte, 100_000+file)
	src := rand.NewChaCha8(seed)
	_, _ = src.Read(b) // it never fails
	return b
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		check(tb, err)
		return v
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
