package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// release of Debian that the image and its tools come from: its systemd and mkosi
// are the first that do all of this; from systemd 258.3 on, boot counting is broken.
const debian = "trixie"

// keyring is where Debian keeps the keys of all its releases.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// toolPackages are what mkosi runs in its tools tree, and what makes the other
// forms of the image.
var toolPackages = []string{
	"mkosi", "systemd-ukify", "systemd-repart", "systemd-boot-efi", "systemd-boot-tools", "systemd-container",
	"mtools", "dosfstools", "e2fsprogs", "erofs-utils", "cryptsetup-bin", "sbsigntool", "openssl", "cpio", "zstd", "kmod",
	"qemu-utils", "apt", "jq",
}

// tools makes the tools tree, once for each list of tools.
func (b *build) tools(ctx context.Context) error {
	dir, mark := filepath.Join(b.cache, "tools"), filepath.Join(b.cache, "tools.list")
	want := debian + " " + strings.Join(toolPackages, " ") + "\n"
	if have, _ := os.ReadFile(mark); string(have) == want {
		return nil
	}
	if b.offline {
		return errors.New("building offline: the tools are not in the cache; build once with the network")
	}
	b.say("getting the tools (a minute or two)")
	sources, err := packageSources(ctx)
	if err != nil {
		return err
	}
	list := filepath.Join(b.cache, "tools.sources.list")
	if err := os.WriteFile(list, []byte(sources.oneLine("main")), 0o644); err != nil {
		return fmt.Errorf("writing the package sources: %w", err)
	}
	if err := errors.Join(os.RemoveAll(mark), os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("removing old tools: %w", err)
	}
	cmd := b.command(ctx, "mmdebstrap", "--variant=minbase", "--include="+strings.Join(toolPackages, ","), debian, dir, list)
	if err := logged(cmd, filepath.Join(b.cache, "tools.log")); err != nil {
		return fmt.Errorf("making the tools tree: %w", err)
	}
	if err := b.linkMkosi(dir); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(want), 0o644)
}

// linkMkosi gives this machine's Python the tools tree's mkosi, and nothing else
// of it.
func (b *build) linkMkosi(tools string) error {
	py := filepath.Join(b.cache, "py")
	if err := errors.Join(os.RemoveAll(py), os.MkdirAll(py, 0o755)); err != nil {
		return fmt.Errorf("making a place for mkosi: %w", err)
	}
	from := filepath.Join(tools, "usr/lib/python3/dist-packages/mkosi")
	if err := os.Symlink(from, filepath.Join(py, "mkosi")); err != nil {
		return fmt.Errorf("making a place for mkosi: %w", err)
	}
	return nil
}

// source is one place of packages.
type source struct{ uri, suite string }

// sources are where packages of the image's Debian release come from.
type sources []source

// packageSources derives them from where this machine gets its own packages. One that
// never read its lists does so once.
func packageSources(ctx context.Context) (sources, error) {
	for _, last := range []bool{false, true} {
		cmd := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages", "Origin: Debian")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("asking where packages come from (apt-get of Debian is needed): %w", err)
		}
		if s := parseSources(string(out)); len(s) > 0 {
			return s, nil
		}
		if last {
			break
		}
		if text, err := exec.CommandContext(ctx, "apt-get", "update", "-qq").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("reading the package lists: %w: %s", err, text)
		}
	}
	return nil, errors.New("asking where packages come from: no source of Debian packages")
}

// parseSources reads lines "URI LABEL".
func parseSources(targets string) sources {
	suites := map[string][]string{"Debian": {debian, debian + "-updates"}, "Debian-Security": {debian + "-security"}}
	var all sources
	for line := range strings.Lines(targets) {
		uri, label, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, suite := range suites[label] {
			if s := (source{strings.TrimSuffix(uri, "/"), suite}); !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// oneLine writes them as sources.list(5).
func (s sources) oneLine(components string) string {
	var b strings.Builder
	for _, one := range s {
		fmt.Fprintf(&b, "deb [signed-by=%s] %s %s %s\n", keyring, one.uri, one.suite, components)
	}
	return b.String()
}

// deb822 writes them in the form that mkosi looks for.
func (s sources) deb822(components string) string {
	var b strings.Builder
	for _, one := range s {
		fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n\n", one.uri, one.suite, components, keyring)
	}
	return b.String()
}
