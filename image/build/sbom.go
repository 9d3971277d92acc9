package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// sbom writes the list of what is inside: the Debian packages of which any file
// stayed in the root or the initrd, and the Go modules of our programs.
func (b *build) sbom() (string, error) {
	parts, err := b.components()
	if err != nil {
		return "", err
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		BOMRef: "lwc", Type: cyclonedx.ComponentTypeOS, Name: "lwc", Version: b.version,
		Description: "Lightweight Collector, the appliance image"}}
	bom.Components = &parts
	path := b.result(".cdx.json")
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("writing the SBOM: %w", err)
	}
	defer f.Close()
	if err := cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return "", fmt.Errorf("writing the SBOM: %w", err)
	}
	return path, f.Close()
}

// components returns all parts, in the order of their references.
func (b *build) components() ([]cyclonedx.Component, error) {
	all := map[string]cyclonedx.Component{}
	for _, tree := range []string{"root", "initrd"} {
		if err := b.addPackages(all, tree); err != nil {
			return nil, fmt.Errorf("listing the packages of the %s: %w", tree, err)
		}
	}
	for _, p := range programs {
		if err := addModules(all, filepath.Join(b.tree, "mkosi.extra", p.path)); err != nil {
			return nil, fmt.Errorf("listing the modules of %s: %w", p.path, err)
		}
	}
	// The kernel's package leaves its image in the UKI and the boot loader's in the
	// boot partition; microcode goes there too. The root keeps nothing of them.
	parts := make([]cyclonedx.Component, 0, len(all))
	for _, c := range all {
		parts = append(parts, c)
	}
	slices.SortFunc(parts, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	return parts, nil
}

// debianPackage is one line of what image/prune notes, or of mkosi's manifest.
type debianPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Source  string `json:"source"`
}

// inBootPartition are packages whose content is taken out of the root before it is
// pruned: for the kernel image of the boot partition, or as the boot loader.
var inBootPartition = []string{"systemd-boot-efi", "systemd-boot-efi-amd64-signed", "intel-microcode", "amd64-microcode"}

// addPackages adds the packages of one tree.
func (b *build) addPackages(all map[string]cyclonedx.Component, tree string) error {
	text, err := os.ReadFile(filepath.Join(b.work, "out", tree+".packages.json"))
	if err != nil {
		return err
	}
	var packages []debianPackage
	if err := json.Unmarshal(text, &packages); err != nil {
		return err
	}
	if tree == "root" {
		boot, err := b.bootPackages()
		if err != nil {
			return err
		}
		packages = append(packages, boot...)
	}
	for _, p := range packages {
		q := url.Values{"arch": {p.Arch}, "distro": {"debian-13"}}
		ref := "pkg:deb/debian/" + url.PathEscape(p.Name) + "@" + url.QueryEscape(p.Version) + "?" + q.Encode()
		c, known := all[ref]
		if !known {
			c = cyclonedx.Component{BOMRef: ref, PackageURL: ref, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version,
				Properties: &[]cyclonedx.Property{}}
			if p.Source != "" {
				*c.Properties = append(*c.Properties, cyclonedx.Property{Name: "debian:source", Value: p.Source})
			}
		}
		*c.Properties = append(*c.Properties, cyclonedx.Property{Name: "lwc:tree", Value: tree})
		all[ref] = c
	}
	return nil
}

// mkosiPackage is a package in a manifest of mkosi.
type mkosiPackage struct{ Name, Version, Architecture string }

// manifest reads what mkosi installed into a tree, before it was pruned.
func (b *build) manifest(name string) ([]mkosiPackage, error) {
	text, err := os.ReadFile(filepath.Join(b.work, "out", name+".manifest"))
	if err != nil {
		return nil, fmt.Errorf("reading mkosi's manifest: %w", err)
	}
	var m struct{ Packages []mkosiPackage }
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("reading mkosi's manifest: %w", err)
	}
	return m.Packages, nil
}

// systemdSeries is the only one that may be in the image: boot counting, which brings
// a box back from a bad release, was broken in 258.3.
const systemdSeries = "257."

// pinned refuses an image with another systemd.
func (b *build) pinned() error {
	packages, err := b.manifest("lwc_" + b.version)
	if err != nil {
		return err
	}
	for _, p := range packages {
		if p.Name == "systemd" && strings.HasPrefix(p.Version, systemdSeries) {
			return nil
		} else if p.Name == "systemd" {
			return fmt.Errorf("the image has systemd %s; only %sx is known to fall back from a bad release", p.Version, systemdSeries)
		}
	}
	return errors.New("the image has no systemd")
}

// bootPackages returns those of the boot partition, from mkosi's manifest.
func (b *build) bootPackages() ([]debianPackage, error) {
	packages, err := b.manifest("lwc_" + b.version)
	if err != nil {
		return nil, err
	}
	var out []debianPackage
	for _, p := range packages {
		if slices.Contains(inBootPartition, p.Name) {
			out = append(out, debianPackage{Name: p.Name, Version: p.Version, Arch: p.Architecture})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("mkosi's manifest names no package of the boot partition")
	}
	return out, nil
}

// addModules adds the modules that a program of ours was compiled from, the standard
// library among them.
func addModules(all map[string]cyclonedx.Component, program string) error {
	info, err := buildinfo.ReadFile(program)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	add := func(name, version string) {
		ref := "pkg:golang/" + name + "@" + version
		all[ref] = cyclonedx.Component{BOMRef: ref, PackageURL: ref, Type: cyclonedx.ComponentTypeLibrary, Name: name, Version: version}
	}
	add("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(m.Path, m.Version)
	}
	return nil
}
