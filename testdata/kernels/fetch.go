package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// metapackage depends on the newest kernel for virtual machines of a release.
const metapackage = "linux-image-cloud-amd64"

// kernel is an unpacked kernel package.
type kernel struct {
	version string // as uname -r says it
	image   string
	modules string // folder
}

// unpacked looks for the kernel of a package in the folder it was unpacked to.
func unpacked(root string) (kernel, error) {
	images, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if len(images) != 1 {
		return kernel{}, fmt.Errorf("looking for one kernel in %s: %w", root, os.ErrNotExist)
	}
	k := kernel{image: images[0], version: strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")}
	for _, lib := range []string{"lib", "usr/lib"} {
		k.modules = filepath.Join(root, lib, "modules", k.version)
		if _, err := os.Stat(k.modules); err == nil {
			return k, nil
		}
	}
	return kernel{}, fmt.Errorf("looking for the modules of %s: %w", k.version, os.ErrNotExist)
}

// fetcher gets the kernel of one Debian release from where this machine gets its
// own packages. It has lists of its own: the machine's package state stays as it is.
type fetcher struct {
	release string // bookworm, trixie, …
	dir     string // its part of the cache
	out     io.Writer
}

// kernel returns the release's kernel, from the cache where it is there.
func (f fetcher) kernel(ctx context.Context) (kernel, error) {
	root := filepath.Join(f.dir, "root")
	if k, err := unpacked(root); err == nil {
		return k, nil
	}
	fmt.Fprintf(f.out, "fetching the kernel of Debian %s by apt-get\n", f.release)
	if err := f.prepare(ctx); err != nil {
		return kernel{}, err
	}
	if err := f.apt(ctx, nil, "apt-get", "update", "-qq"); err != nil {
		return kernel{}, fmt.Errorf("reading the package lists of %s: %w", f.release, err)
	}
	name, err := f.versioned(ctx)
	if err != nil {
		return kernel{}, err
	}
	if err := f.apt(ctx, nil, "apt-get", "download", "-qq", name); err != nil {
		return kernel{}, fmt.Errorf("downloading %s: %w", name, err)
	}
	if err := f.unpack(ctx, name, root); err != nil {
		return kernel{}, err
	}
	return unpacked(root)
}

// prepare makes the folders and the list of sources.
func (f fetcher) prepare(ctx context.Context) error {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(f.dir, d), 0o755); err != nil {
			return fmt.Errorf("making the cache: %w", err)
		}
	}
	out, err := output(exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages", "Origin: Debian"))
	if err != nil {
		return fmt.Errorf("asking where packages come from (apt-get of Debian is needed): %w", err)
	}
	list := sources(string(out), f.release)
	if list == "" {
		return errors.New("asking where packages come from: no source of Debian packages; try apt-get update first")
	}
	return os.WriteFile(filepath.Join(f.dir, "sources.list"), []byte(list), 0o644)
}

// keyring is where Debian keeps the keys of all its releases.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// sources returns a sources.list for a release, from the lines "URI LABEL" of the
// sources that the machine has.
func sources(targets, release string) string {
	suites := map[string][]string{
		"Debian":          {release, release + "-updates"},
		"Debian-Security": {release + "-security"},
	}
	var lines []string
	for target := range strings.Lines(targets) {
		uri, label, _ := strings.Cut(strings.TrimSpace(target), " ")
		for _, s := range suites[label] {
			line := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, uri, s)
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "")
}

// apt runs one of apt's programs on the private lists.
func (f fetcher) apt(ctx context.Context, out io.Writer, program string, args ...string) error {
	var options []string
	for _, o := range []string{
		"Dir::Etc::SourceList=" + filepath.Join(f.dir, "sources.list"), "Dir::Etc::SourceParts=/dev/null",
		"Dir::State=" + filepath.Join(f.dir, "state"), "Dir::State::Status=/dev/null",
		"Dir::Cache=" + filepath.Join(f.dir, "cache"), "APT::Architecture=amd64", "APT::Architectures=amd64",
		"APT::Sandbox::User=", "Acquire::Languages=none", "Acquire::Retries=3",
	} {
		options = append(options, "-o", o)
	}
	cmd := exec.CommandContext(ctx, program, append(options, args...)...)
	cmd.Dir = f.dir
	text, err := output(cmd)
	if err == nil && out != nil {
		_, err = out.Write(text)
	}
	return err
}

// versioned returns the package that the metapackage depends on.
func (f fetcher) versioned(ctx context.Context) (string, error) {
	var out bytes.Buffer
	if err := f.apt(ctx, &out, "apt-cache", "depends", "--important", metapackage); err != nil {
		return "", fmt.Errorf("looking for %s in %s: %w", metapackage, f.release, err)
	}
	for line := range strings.Lines(out.String()) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("looking for the kernel that %s of %s depends on: %w", metapackage, f.release, os.ErrNotExist)
}

// unpack unpacks the downloaded package; an interrupted one leaves no half of it.
func (f fetcher) unpack(ctx context.Context, name, root string) error {
	debs, _ := filepath.Glob(filepath.Join(f.dir, name+"_*.deb"))
	if len(debs) == 0 {
		return fmt.Errorf("looking for the download of %s: %w", name, os.ErrNotExist)
	}
	half := root + ".new"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", debs[len(debs)-1], half)); err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	for _, d := range append(debs, filepath.Join(f.dir, "state"), filepath.Join(f.dir, "cache")) {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return os.Rename(half, root)
}

// output runs a command; its words of complaint become part of the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return out, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return out, nil
}
