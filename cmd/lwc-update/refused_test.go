package main

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/image/trial"
)

// Whatever is wrong with a release or with the spool: nothing is written, and no
// program that could write is called.
func TestRefused(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	spool := func(r *rig, name string) string { return filepath.Join(r.spool, name) }
	root := rootName("1.1.0") + release.Packing
	with := func(role release.Role, version string) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			r.from = map[release.Role]string{role: version}
			r.spooled(t, "1.1.0", nil)
		}
	}
	for _, c := range []struct {
		about, words string
		version      string
		manifest     func(*release.Manifest)
		spool        func(t *testing.T, r *rig)
	}{
		{"older", "release 0.9.0 is not newer than 1.0.0", "0.9.0", nil, nil},
		{"below the floor", "release 1.1.0 is older than 1.2.0, which was good here once", "1.1.0", nil, func(t *testing.T, r *rig) {
			if err := trial.Save(r.state, floorFile, floor{1, "1.2.0"}); err != nil {
				t.Fatal(err)
			}
		}},
		{"a step too far", "install 1.0.5 first", "1.1.0", func(m *release.Manifest) { m.Floor = "1.0.5" }, nil},
		{"another release", "release 1.1.0 was asked for, the manifest is of 1.3.0", "1.3.0", nil, nil},
		{"no manifest", "no such file", "1.1.0", nil, func(t *testing.T, r *rig) { remove(t, spool(r, release.ManifestName)) }},
		{"unsigned", "not signed by a key that is trusted", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, release.ManifestName), func(b []byte) []byte { return bytes.Replace(b, []byte(`"sig"`), []byte(`"sic"`), 1) })
		}},
		{"of another key", "not signed by a key that is trusted", "1.1.0", nil, func(t *testing.T, r *rig) {
			r.key = stranger
			r.spooled(t, "1.1.0", nil)
		}},
		{"manifest cut off", "not signed", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, release.ManifestName), func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"tampered", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}},
		{"truncated", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{"longer", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { return append(b, 0) })
		}},
		{"a file missing", "no such file", "1.1.0", nil, func(t *testing.T, r *rig) { remove(t, spool(r, "lwc_1.1.0.efi.zst")) }},
		{"the kernel of another root", "release 1.1.0 could not start", "1.1.0", nil, with(release.UKI, "1.2.0")},
		{"the hashes of another root", "release 1.1.0 could not start", "1.1.0", nil, with(release.Verity, "1.2.0")},
		{"a root of other hashes", "release 1.1.0 could not start", "1.1.0", nil, with(release.Root, "1.2.0")},
		{"a link", "path escapes from parent", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := os.Symlink(r.keys, spool(r, root)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a pipe", "is no file", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := unix.Mkfifo(spool(r, root), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a folder", "is no file", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := os.Mkdir(spool(r, root), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := newRig(t)
			r.spooled(t, c.version, c.manifest)
			if c.spool != nil {
				c.spool(t, r)
			}
			o := newOrder(c.version)
			if c.about == "another release" {
				o.Release = "1.1.0"
			}
			r.wants(t, o, failed, c.words)
			if r.called("sysupdate") != "" || r.called("systemctl") != "" || r.kernels(t) != "lwc_1.0.0.efi other.efi" {
				t.Errorf("something was begun: %q %q %s", r.called("sysupdate"), r.called("systemctl"), r.kernels(t))
			}
			if _, err := os.Stat(filepath.Join(r.state, trial.PendingFile)); err == nil {
				t.Error("it is noted as pending")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, how(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
