package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// statement is an in-toto statement (version 1) about how files were made, with the
// predicate of SLSA's provenance (version 1).
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     struct {
		BuildDefinition definition `json:"buildDefinition"`
		RunDetails      struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// definition is what the build was given: who has all of it makes the same bytes.
type definition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	InternalParameters   map[string]string `json:"internalParameters"`
	ResolvedDependencies []resource        `json:"resolvedDependencies"`
}

// resource is a file, a package or a commit.
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// provenance writes how the files were made. It holds no time, no name of a machine
// and no address of a mirror: two builds of one source state the same.
func (b *build) provenance(ctx context.Context, files []string) (string, error) {
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	for _, path := range files {
		sum, _, err := digest(path)
		if err != nil {
			return "", err
		}
		s.Subject = append(s.Subject, resource{Name: filepath.Base(path), Digest: map[string]string{"sha256": sum}})
	}
	d := &s.Predicate.BuildDefinition
	d.BuildType = "urn:lwc:image:mkosi:v1"
	d.ExternalParameters = map[string]string{"version": b.version, "sourceDateEpoch": b.epoch}
	d.InternalParameters = map[string]string{"go": runtime.Version(), "debian": debian}
	if b.dirty {
		d.InternalParameters["dirty"] = "true"
	}
	s.Predicate.RunDetails.Builder.ID = "urn:lwc:make-image"
	var err error
	if d.ResolvedDependencies, err = b.inputs(ctx); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return "", fmt.Errorf("writing the provenance: %w", err)
	}
	path := b.result(".provenance.json")
	return path, os.WriteFile(path, append(text, '\n'), 0o644)
}

// inputs are the commit, the Debian packages that mkosi installed, and the keys.
func (b *build) inputs(ctx context.Context) ([]resource, error) {
	var all []resource
	if out, err := b.command(ctx, "git", "rev-parse", "HEAD").Output(); err == nil {
		all = append(all, resource{URI: "git+file:.", Name: "source", Digest: map[string]string{"gitCommit": strings.TrimSpace(string(out))}})
	}
	keys, _, err := digest(filepath.Join(b.tree, "mkosi.extra/usr/lib/lwc/release-keys"))
	if err != nil {
		return nil, err
	}
	all = append(all, resource{Name: "release-keys", Digest: map[string]string{"sha256": keys}})
	debs, err := b.debs()
	if err != nil {
		return nil, err
	}
	tools, err := b.toolVersions()
	if err != nil {
		return nil, err
	}
	lists, err := b.lists()
	if err != nil {
		return nil, err
	}
	return slices.Concat(all, []resource{lists}, debs, tools), nil
}

// lists stands for what apt chose the packages by: the signed list of each source, which
// holds the hashes of all the others.
func (b *build) lists() (resource, error) {
	files, err := filepath.Glob(filepath.Join(b.cache, listsFolder, "*InRelease"))
	if err == nil && len(files) == 0 {
		err = errors.New("there are none in the cache")
	}
	sum := sha256.New()
	for _, file := range files { // Glob sorts
		var one string
		if err == nil {
			one, _, err = digest(file)
		}
		fmt.Fprintln(sum, one)
	}
	if err != nil {
		return resource{}, fmt.Errorf("reading the lists of packages: %w", err)
	}
	return resource{Name: listsName, Digest: map[string]string{"sha256": hex.EncodeToString(sum.Sum(nil))}}, nil
}

// toolVersions are the packages of the tools tree: other versions of mkosi, of the
// compressors or of mkfs.erofs make other bytes.
func (b *build) toolVersions() ([]resource, error) {
	text, err := os.ReadFile(filepath.Join(b.cache, "tools/var/lib/dpkg/status"))
	if err != nil {
		return nil, fmt.Errorf("reading the versions of the tools: %w", err)
	}
	var all []resource
	for stanza := range strings.SplitSeq(string(text), "\n\n") {
		var name, version string
		for line := range strings.Lines(stanza) {
			if v, ok := strings.CutPrefix(line, "Package: "); ok {
				name = strings.TrimSpace(v)
			} else if v, ok := strings.CutPrefix(line, "Version: "); ok {
				version = strings.TrimSpace(v)
			}
		}
		if name != "" {
			all = append(all, resource{Name: "tools", URI: "pkg:deb/debian/" + name + "@" + url.QueryEscape(version) + "?distro=debian-13"})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("reading the versions of the tools: none")
	}
	return all, nil
}

// debs are the downloaded packages that are in the image's manifests.
func (b *build) debs() ([]resource, error) {
	wanted := map[string]bool{}
	for _, name := range []string{"lwc_" + b.version, "initrd"} {
		packages, err := b.manifest(name)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			// apt writes the colon of an epoch so.
			wanted[p.Name+"_"+strings.ReplaceAll(p.Version, ":", "%3a")+"_"+p.Architecture+".deb"] = true
		}
	}
	found, err := filepath.Glob(filepath.Join(b.cache, "packages/cache/apt/archives/*.deb"))
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	var all []resource
	for _, path := range found {
		if !wanted[filepath.Base(path)] {
			continue
		}
		sum, _, err := digest(path)
		if err != nil {
			return nil, err
		}
		all = append(all, resource{Name: filepath.Base(path), Digest: map[string]string{"sha256": sum}})
	}
	return all, nil
}
