package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// installed is a package of which something is in the tree.
type installed struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Source  string `json:"source"`
	Files   int    `json:"files"` // that stayed
}

// record writes down of which packages anything stayed, before dpkg's own notes go:
// a list of what is inside that names a removed shell would be wrong.
func (p pruner) record(packages []installed, files map[string]string) error {
	count := map[string]int{}
	if err := p.walk(func(name string, _ fs.DirEntry) error {
		if owner, ok := files[name]; ok {
			count[owner]++
		}
		return nil
	}); err != nil {
		return err
	}
	left := []installed{}
	for _, pkg := range packages {
		if pkg.Files = count[pkg.Name]; pkg.Files > 0 {
			left = append(left, pkg)
		}
	}
	text, err := json.MarshalIndent(left, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.out, p.tree.Name+".packages.json"), append(text, '\n'), 0o644)
}

// dpkg reads dpkg's notes: the packages, and whose each file is.
func (p pruner) dpkg() ([]installed, map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(p.root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, nil, err
	}
	packages, files := status(string(text)), map[string]string{}
	for _, pkg := range packages {
		for _, list := range []string{pkg.Name + ".list", pkg.Name + ":" + pkg.Arch + ".list"} {
			err := owned(filepath.Join(p.root, "var/lib/dpkg/info", list), pkg.Name, files)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
		}
	}
	return packages, files, nil
}

// status reads dpkg's file of that name (deb-control(5)).
func status(text string) []installed {
	var all []installed
	for stanza := range strings.SplitSeq(text, "\n\n") {
		field := map[string]string{}
		for line := range strings.Lines(stanza) {
			if k, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				field[k] = strings.TrimSpace(v)
			}
		}
		if field["Package"] == "" || !strings.HasSuffix(field["Status"], " installed") {
			continue
		}
		source, _, _ := strings.Cut(field["Source"], " ")
		if source == "" {
			source = field["Package"]
		}
		all = append(all, installed{Name: field["Package"], Version: field["Version"], Arch: field["Architecture"], Source: source})
	}
	slices.SortFunc(all, func(a, b installed) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// owned adds the files of one package. Some packages still name files by the folders
// that are links into /usr.
func owned(list, pkg string, files map[string]string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name := strings.TrimPrefix(lines.Text(), "/")
		for _, merged := range []string{"lib/", "bin/", "sbin/", "lib64/"} {
			if strings.HasPrefix(name, merged) {
				name = "usr/" + name
			}
		}
		files[name] = pkg
	}
	return lines.Err()
}
