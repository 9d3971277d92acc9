package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lwc/image/sitefile"
)

// programs are what of ours is in the image.
var programs = []struct{ pkg, path string }{
	{"./cmd/lwcd", "usr/bin/lwcd"},
	{"./cmd/lwc-update", "usr/lib/lwc/update"},
}

// stage copies the configuration to where the build happens and adds what is
// generated. What earlier builds cached there stays, unless it is not wanted.
func (b *build) stage(ctx context.Context) error {
	if err := b.sweep(); err != nil {
		return fmt.Errorf("clearing %s: %w", b.work, err)
	}
	if err := copyTree("image/mkosi", b.tree); err != nil {
		return fmt.Errorf("copying the configuration: %w", err)
	}
	if err := b.stageSources(ctx); err != nil {
		return err
	}
	if err := b.stagePrograms(ctx); err != nil {
		return err
	}
	if err := b.stageFiles(); err != nil {
		return err
	}
	return b.stageKeys()
}

// sweep removes the last build but its cache.
func (b *build) sweep() error {
	entries, err := os.ReadDir(b.work)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() == "cache" && !b.clean {
			continue
		}
		if err := os.RemoveAll(filepath.Join(b.work, e.Name())); err != nil {
			return err
		}
	}
	for _, d := range []string{"cache", "out", "tmp", "tree/mkosi.extra", "tree/mkosi.sandbox/etc/apt/sources.list.d"} {
		if err := os.MkdirAll(filepath.Join(b.work, d), 0o755); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(b.cache, "packages"), 0o755)
}

// sourcesFile has the name that keeps mkosi from adding sources of its own, among them
// one of debug symbols that a mirror need not have.
const sourcesFile = "mkosi.sources"

// stageSources writes the package sources: this machine's, or those of an archive, whose
// lists of packages are named after them.
func (b *build) stageSources(ctx context.Context) error {
	kept := filepath.Join(b.cache, sourcesFile)
	if b.unpacked == "" {
		s, err := packageSources(ctx)
		if err != nil {
			return err
		}
		if err := os.WriteFile(kept, []byte(s.deb822("main non-free-firmware")), 0o644); err != nil {
			return err
		}
	}
	return copyFile(kept, filepath.Join(b.tree, "mkosi.sandbox/etc/apt/sources.list.d", sourcesFile))
}

// stagePrograms compiles what of ours is in the image, and what the build itself
// runs in the tree; the same source gives the same bytes.
func (b *build) stagePrograms(ctx context.Context) error {
	for _, p := range programs {
		out := filepath.Join(b.tree, "mkosi.extra", p.path)
		if p.pkg == "./cmd/lwcd" && b.lwcd != "" {
			b.say("taking %s for lwcd", b.lwcd)
			err := os.MkdirAll(filepath.Dir(out), 0o755)
			if err == nil {
				err = copyFile(b.lwcd, out)
			}
			if err != nil {
				return fmt.Errorf("taking another lwcd: %w", err)
			}
			continue
		}
		if err := b.compile(ctx, p.pkg, out); err != nil {
			return err
		}
	}
	return b.compile(ctx, "./image/prune", filepath.Join(b.tree, "prune"))
}

// compile builds one program.
func (b *build) compile(ctx context.Context, pkg, out string) error {
	cmd := b.command(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+b.version, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=-mod=readonly")
	if b.offline {
		cmd.Env = append(cmd.Env, "GOPROXY=off")
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// osRelease is what the image says it is (os-release(5)); the boot menu shows the
// pretty name. mkosi adds IMAGE_ID and IMAGE_VERSION.
const osRelease = `PRETTY_NAME="Lightweight Collector %[1]s"
NAME="Lightweight Collector"
ID=lwc
ID_LIKE=debian
VERSION_ID=%[1]s
`

// stageFiles adds the files that depend on the version or come from other folders.
func (b *build) stageFiles() error {
	extra := filepath.Join(b.tree, "mkosi.extra")
	if err := b.stageVolume(filepath.Join(extra, "usr/share/lwc/conf-template")); err != nil {
		return fmt.Errorf("adding what LWCCONF holds: %w", err)
	}
	return os.WriteFile(filepath.Join(extra, "usr/lib/os-release"), fmt.Appendf(nil, osRelease, b.version), 0o644)
}

// stageVolume writes what an engineer finds on LWCCONF, with the line ends that every
// editor of Windows shows.
func (b *build) stageVolume(dir string) error {
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"README.txt": readme, "lwc-example.toml": sitefile.Template(sitefile.File{})} {
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// stageKeys puts the keys into the image that it believes releases by.
func (b *build) stageKeys() error {
	path := b.keys
	if path == "" {
		var err error
		if path, err = b.throwAwayKeys(); err != nil {
			return err
		}
		b.say("NO RELEASE KEYS GIVEN: this image believes the throw-away keys in %s; never hand it out (RELEASE_KEYS=FILE)", filepath.Dir(path))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the release keys: %w", err)
	}
	if block, _ := pem.Decode(text); block == nil || block.Type != "PUBLIC KEY" || strings.Contains(string(text), "PRIVATE") {
		return fmt.Errorf("reading the release keys: %s holds something else than public keys in PEM", path)
	}
	return os.WriteFile(filepath.Join(b.tree, "mkosi.extra/usr/lib/lwc/release-keys"), text, 0o644)
}

// throwAwayKeys returns the public half of keys for images that only tests see.
// They stay in the cache, so that an image takes the updates of the next build.
func (b *build) throwAwayKeys() (string, error) {
	public := filepath.Join(b.cache, "keys", "release.pub.pem")
	if _, err := os.Stat(public); err == nil {
		return public, nil
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making throw-away keys: %w", err)
	}
	private, err1 := x509.MarshalPKCS8PrivateKey(key)
	spki, err2 := x509.MarshalPKIXPublicKey(pub)
	if err := errors.Join(err1, err2, os.MkdirAll(filepath.Dir(public), 0o700)); err != nil {
		return "", fmt.Errorf("making throw-away keys: %w", err)
	}
	secret := filepath.Join(b.cache, "keys", "release.key.pem")
	return public, errors.Join(
		os.WriteFile(secret, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o644))
}

// copyTree copies files and folders; of a mode it keeps whether the file can be run,
// which is what git keeps.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	if err := os.WriteFile(to, text, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}
