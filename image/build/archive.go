package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// archives is where apt keeps what it downloads, in the cache.
const archives = "packages/cache/apt/archives"

// listsFolder is where apt keeps the lists of packages, in the cache, and listsName what
// the provenance calls them.
const (
	listsFolder = "packages/lib/apt/lists"
	listsName   = "package lists"
)

// keep writes an archive of what the release in dist was built from: its packages, the
// lists that apt finds them by, and the tools. A mirror keeps the current versions only.
func (b *build) keep(ctx context.Context) error {
	names, err := b.given()
	if err != nil {
		return fmt.Errorf("archiving what release %s was built from: %w", b.version, err)
	}
	names = append(names, listsFolder, sourcesFile, "tools.list", "tools")
	path := b.result(".packages.tar.zst")
	err = writePacked(path+".new", func(to io.Writer) error {
		cmd := b.command(ctx, "tar", "-C", b.cache, "--create", "--numeric-owner", "--sort=name", "--files-from=-")
		cmd.Stdin, cmd.Stdout = strings.NewReader(strings.Join(names, "\n")+"\n"), to
		return said(cmd)
	})
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("archiving what release %s was built from: %w", b.version, errors.Join(err, os.RemoveAll(path+".new")))
	}
	b.say("%s builds this release again: -packages", filepath.Base(path))
	return nil
}

// given lists the packages of the release by their places in the cache, where all of
// what its provenance names is still there.
func (b *build) given() ([]string, error) {
	text, err := os.ReadFile(b.result(".provenance.json"))
	if err != nil {
		return nil, err
	}
	var s statement
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	tools, err := b.toolVersions()
	if err != nil {
		return nil, err
	}
	lists, err := b.lists()
	if err != nil {
		return nil, err
	}
	var named, names []string
	for _, r := range s.Predicate.BuildDefinition.ResolvedDependencies {
		switch {
		case r.Name == listsName && r.Digest["sha256"] != lists.Digest["sha256"]:
			return nil, errors.New("the lists of packages in the cache are newer than those that were used: build the release again first")
		case r.Name == "tools":
			named = append(named, r.URI)
		case strings.HasSuffix(r.Name, ".deb") && r.Name == filepath.Base(r.Name):
			sum, _, err := digest(filepath.Join(b.cache, archives, r.Name))
			if err != nil {
				return nil, err
			}
			if sum != r.Digest["sha256"] {
				return nil, fmt.Errorf("the package %s in the cache is another one than was used", r.Name)
			}
			names = append(names, filepath.Join(archives, r.Name))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the provenance names no packages")
	}
	if !slices.EqualFunc(named, tools, func(uri string, r resource) bool { return uri == r.URI }) {
		return nil, errors.New("the tools in the cache are others than were used: build the release again first")
	}
	return names, nil
}

// unpack makes a cache of its own out of an archive. The keys of tests stay those of
// the cache that is there, since they are in the image.
func (b *build) unpack(ctx context.Context) error {
	var err error
	if b.keys == "" {
		if b.keys, err = b.throwAwayKeys(); err != nil {
			return err
		}
		b.say("NO RELEASE KEYS GIVEN: this image believes throw-away keys; never hand it out (RELEASE_KEYS=FILE)")
	}
	if b.unpacked, err = os.MkdirTemp(b.cache, "archive-"); err != nil {
		return fmt.Errorf("making a place for the packages: %w", err)
	}
	b.cache = b.unpacked
	if b.scratch == "" {
		b.work = filepath.Join(b.cache, "work")
		b.tree = filepath.Join(b.work, "tree")
	}
	b.say("unpacking %s", filepath.Base(b.packages))
	if err := b.extract(ctx); err != nil {
		return errors.Join(fmt.Errorf("unpacking %s: %w", b.packages, err), os.RemoveAll(b.unpacked))
	}
	return errors.Join(b.linkMkosi(filepath.Join(b.cache, "tools")), b.tools(ctx))
}

func (b *build) extract(ctx context.Context) error {
	f, err := os.Open(b.packages)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := b.command(ctx, "tar", "-C", b.cache, "--extract", "--numeric-owner", "--preserve-permissions", "--file=-")
	cmd.Stdin = in
	return said(cmd)
}

// writePacked writes a file that zstd unpacks.
func writePacked(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, err := zstd.NewWriter(f)
	if err != nil {
		return err
	}
	return errors.Join(write(out), out.Close(), f.Sync())
}

// said runs a program, and has its complaints in the error.
func said(cmd *exec.Cmd) error {
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(words.String()))
	}
	return nil
}
