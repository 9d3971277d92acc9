package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lwc/image/contents"
)

// pruner is one tree that is pruned.
type pruner struct {
	root string // folder of the tree
	out  string // folder for notes
	tree contents.Tree
}

// prune does all steps; each looks at what the one before left.
func (p pruner) prune() error {
	packages, files, err := p.dpkg()
	if err != nil {
		return fmt.Errorf("reading dpkg's notes of the %s: %w", p.tree.Name, err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"moving the kernel", p.kernel},
		{"removing data", p.data},
		{"removing programs", p.programs},
		{"removing libraries", p.libraries},
		{"removing dangling links", p.links},
		{"removing units without a program", p.units},
		{"removing links to removed units", p.links},
		{"closing accounts", p.accounts},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s of the %s: %w", s.name, p.tree.Name, err)
		}
	}
	return p.record(packages, files)
}

// kernel puts the kernel's image where the root's file system does not take it from:
// it is in the UKI, and once is enough. mkosi finds it by the link.
func (p pruner) kernel() error {
	found, err := filepath.Glob(filepath.Join(p.root, "usr/lib/modules/*/vmlinuz"))
	if err != nil || p.tree.Name != "root" {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d kernels are in the tree, one is wanted", len(found))
	}
	if err := os.Rename(found[0], filepath.Join(p.root, "usr/lib/systemd/boot/vmlinuz")); err != nil {
		return err
	}
	return os.Symlink("../../systemd/boot/vmlinuz", found[0])
}

// data removes files and folders that nobody reads.
func (p pruner) data() error {
	for _, pattern := range dropped {
		found, err := filepath.Glob(filepath.Join(p.root, pattern))
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk calls f for each file that is neither folder nor link, by its path in the tree.
func (p pruner) walk(f func(name string, d fs.DirEntry) error) error {
	return filepath.WalkDir(p.root, func(full string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(p.root, full)
		if err != nil {
			return err
		}
		return f(name, d)
	})
}

// forFirmware are the folders of what runs before the kernel: mkosi takes it from
// there for the boot partition, and leaves it out of the root.
var forFirmware = []string{"efi/", "usr/lib/systemd/boot/"}

// programs removes what can be executed and is not on the list, and takes from what
// stays the bits that change who runs it.
func (p pruner) programs() error {
	return p.walk(func(name string, d fs.DirEntry) error {
		for _, dir := range forFirmware {
			if strings.HasPrefix(name, dir) {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		full := filepath.Join(p.root, name)
		kind, err := look(full)
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			if err := os.Chmod(full, info.Mode().Perm()); err != nil {
				return err
			}
		}
		if err := unix.Lremovexattr(full, "security.capability"); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("taking the capabilities of %s: %w", name, err)
		}
		if p.stays(name, kind) {
			return nil
		}
		return os.Remove(full)
	})
}

// stays says whether a file may stay as far as running it goes.
func (p pruner) stays(name string, kind contents.Kind) bool {
	if _, ok := p.tree.Programs[name]; ok {
		return true
	}
	return kind == contents.Data || kind == contents.ELF && (contents.IsLibrary(name) || contents.IsModule(name))
}

// look reads a file's beginning.
func look(full string) (contents.Kind, error) {
	f, err := os.Open(full)
	if err != nil {
		return contents.Data, err
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return contents.Data, err
	}
	return contents.Look(head[:n]), nil
}

// libraries removes those that no program needs, directly or through another.
func (p pruner) libraries() error {
	needed, err := p.needed()
	if err != nil {
		return err
	}
	return p.walk(func(name string, _ fs.DirEntry) error {
		if !contents.IsLibrary(name) || needed[name] {
			return nil
		}
		return os.Remove(filepath.Join(p.root, name))
	})
}

// needed returns the paths of the libraries that are needed.
func (p pruner) needed() (map[string]bool, error) {
	needed := map[string]bool{}
	todo := []string{}
	for program := range p.tree.Programs {
		if _, err := os.Lstat(filepath.Join(p.root, program)); err == nil {
			todo = append(todo, program)
		}
	}
	for _, lib := range p.tree.Opened {
		if at, ok := p.find(lib); ok && !needed[at] {
			needed[at] = true
			todo = append(todo, at)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		wants, err := imported(filepath.Join(p.root, todo[0]))
		if err != nil {
			return nil, fmt.Errorf("reading what %s needs: %w", todo[0], err)
		}
		for _, lib := range wants {
			at, ok := p.find(lib)
			if !ok {
				return nil, fmt.Errorf("%s needs %s: %w", todo[0], lib, fs.ErrNotExist)
			}
			if !needed[at] {
				needed[at] = true
				todo = append(todo, at)
			}
		}
	}
	return needed, nil
}

// find returns the file of a library's name, behind its links.
func (p pruner) find(lib string) (string, bool) {
	for _, dir := range []string{contents.Libraries, contents.Libraries + "/systemd"} {
		name := path.Join(dir, lib)
		for range 8 {
			target, err := os.Readlink(filepath.Join(p.root, name))
			if err != nil {
				break
			}
			name = path.Join(path.Dir(name), target)
		}
		if info, err := os.Lstat(filepath.Join(p.root, name)); err == nil && info.Mode().IsRegular() {
			return name, true
		}
	}
	return "", false
}

// imported returns the libraries that a program names in its header, with its loader.
func imported(full string) ([]string, error) {
	f, err := elf.Open(full)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, s := range f.Progs {
		if s.Type == elf.PT_INTERP {
			loader, err := io.ReadAll(io.LimitReader(s.Open(), 4096))
			if err != nil {
				return nil, err
			}
			libs = append(libs, path.Base(strings.TrimRight(string(loader), "\x00")))
		}
	}
	return libs, nil
}
