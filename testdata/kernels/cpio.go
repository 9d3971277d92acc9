package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// archive writes an initramfs: a cpio file in the form "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
type archive struct {
	w     *bufio.Writer
	inode int
	have  map[string]bool // names written, folders too
}

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriter(w), have: map[string]bool{".": true}}
}

// Types of files in the mode of an entry (stat(2)).
const (
	typeFolder  = 0o040000
	typeRegular = 0o100000
)

// file adds a file and the folders above it. A name that is there already stays.
func (a *archive) file(name string, perm fs.FileMode, content []byte) error {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if a.have[name] {
		return nil
	}
	if err := a.folder(path.Dir(name)); err != nil {
		return err
	}
	return a.entry(name, typeRegular|uint32(perm.Perm()), content)
}

func (a *archive) folder(name string) error {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if a.have[name] {
		return nil
	}
	if err := a.folder(path.Dir(name)); err != nil {
		return err
	}
	return a.entry(name, typeFolder|0o755, nil)
}

func (a *archive) entry(name string, mode uint32, content []byte) error {
	a.have[name] = true
	a.inode++
	// Magic, inode, mode, uid, gid, links, mtime, size, device and special device
	// (major and minor each), length of the name with its zero, checksum.
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	head := header + name + "\x00"
	for _, part := range []string{head, padding(len(head)), string(content), padding(len(content))} {
		if _, err := a.w.WriteString(part); err != nil {
			return fmt.Errorf("writing %s into the initramfs: %w", name, err)
		}
	}
	return nil
}

// padding fills up to a multiple of four.
func padding(n int) string { return "\x00\x00\x00"[:(4-n%4)%4] }

// close writes the end.
func (a *archive) close() error {
	if err := a.entry("TRAILER!!!", 0, nil); err != nil {
		return err
	}
	return a.w.Flush()
}
