package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"lwc/image/contents"
	"lwc/testdata/need"
)

const elf = "\x7fELF\x02\x01\x01"

// small is a tree with one program.
func small() contents.Tree {
	return contents.Tree{Name: "root", Programs: map[string]string{"usr/bin/lwcd": "the daemon"}}
}

// good are files that nothing is said against.
func good() []entry {
	return []entry{
		{name: "usr", mode: fs.ModeDir | 0o755},
		{name: "usr/bin/lwcd", mode: 0o755, head: []byte(elf)},
		{name: contents.Libraries + "/libc.so.6", mode: 0o755, head: []byte(elf)},
		{name: "usr/lib/modules/6.12/kernel/fs/ext4.ko.xz", mode: 0o644, head: []byte("\xfd7zXZ")},
		{name: "usr/sbin/init", mode: fs.ModeSymlink | 0o777, link: "../lib/systemd/systemd"},
		{name: "etc/hostname", mode: 0o644, head: []byte("lwc\n")},
		{name: "etc/passwd", mode: 0o644, head: []byte("root"), text: []byte("root:x:0:0:root:/root:/usr/sbin/nologin\n")},
		{name: "etc/shadow", mode: 0o600, head: []byte("root"), text: []byte("root:!*:1::::::\nlwcd:!:1::::::\n")},
	}
}

func TestGoodTreeHasNoFindings(t *testing.T) {
	if r := judge(small(), good()); len(r.findings) > 0 {
		t.Errorf("findings in a good tree: %q", r.findings)
	}
}

func TestEachStrangerIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		e    entry
		want string
	}{
		"shell":               {entry{name: "usr/bin/sh", mode: 0o755, head: []byte(elf)}, "not on the list"},
		"shell in klibc":      {entry{name: "usr/lib/klibc/bin/cat", mode: 0o755, head: []byte(elf)}, "not on the list"},
		"program without x":   {entry{name: "usr/share/x.png", mode: 0o644, head: []byte(elf)}, "not on the list"},
		"script":              {entry{name: "usr/bin/ldd", mode: 0o755, head: []byte("#!/bin/bash\n")}, "is a script"},
		"script without x":    {entry{name: "usr/share/notes", mode: 0o644, head: []byte("#! /usr/bin/env python3")}, "is a script"},
		"setuid":              {entry{name: "usr/bin/lwcd", mode: fs.ModeSetuid | 0o755, head: []byte(elf)}, "changes who runs it"},
		"setgid data":         {entry{name: "etc/x", mode: fs.ModeSetgid | 0o644, head: []byte("x")}, "changes who runs it"},
		"link to a shell":     {entry{name: "usr/bin/x", mode: fs.ModeSymlink | 0o777, link: "busybox"}, "shell or an interpreter"},
		"python by version":   {entry{name: "usr/bin/python3.13", mode: fs.ModeSymlink | 0o777, link: "x"}, "shell or an interpreter"},
		"interpreter library": {entry{name: contents.Libraries + "/libpython3.13.so.1.0", mode: 0o644, head: []byte(elf)}, "interpreter in a library"},
		"library elsewhere":   {entry{name: "usr/lib/x.so", mode: 0o644, head: []byte(elf)}, "not on the list"},
		"EFI program":         {entry{name: "usr/lib/x.efi", mode: 0o644, head: []byte("MZ\x90")}, "another kind"},
		"wasm":                {entry{name: "usr/lib/x", mode: 0o644, head: []byte("\x00asm\x01")}, "another kind"},
		"x without program":   {entry{name: "usr/lib/x", mode: 0o755, head: []byte("hello")}, "is no program"},
		"listed and no ELF":   {entry{name: "usr/bin/lwcd", mode: 0o755, head: []byte("hello")}, "is none"},
		"login shell":         {entry{name: "etc/passwd", mode: 0o644, text: []byte("root:x:0:0:root:/root:/bin/bash\n")}, "has the shell"},
		"empty shell":         {entry{name: "etc/passwd", mode: 0o644, text: []byte("root:x:0:0:root:/root:\n")}, "has the shell"},
		"password":            {entry{name: "etc/shadow", mode: 0o600, text: []byte("root:$y$j9T$x:1::::::\n")}, "has a password"},
		"translation":         {entry{name: "usr/lib/modules/6.12/kernel/net/nf_nat.ko.xz", mode: 0o644, head: []byte("\xfd7zXZ")}, "could pass on traffic"},
		"keyboard":            {entry{name: "usr/lib/modules/6.12/kernel/drivers/hv/hyperv-keyboard.ko.xz", mode: 0o644, head: []byte("\xfd7zXZ")}, "read keys"},
		"empty password":      {entry{name: "etc/shadow", mode: 0o600, text: []byte("root::1::::::\n")}, "has a password"},
	} {
		t.Run(name, func(t *testing.T) {
			r := judge(small(), append(good(), c.e))
			if !strings.Contains(strings.Join(r.findings, "\n"), c.want) {
				t.Errorf("findings %q, want one with %q", r.findings, c.want)
			}
		})
	}
}

func TestListedProgramMustBeThere(t *testing.T) {
	r := judge(small(), nil)
	if len(r.findings) != 1 || !strings.Contains(r.findings[0], "take it off the list") {
		t.Errorf("findings of an empty tree: %q", r.findings)
	}
}

func TestBootPartition(t *testing.T) {
	files := []entry{
		{name: "EFI/BOOT/BOOTX64.EFI", mode: 0o755, head: []byte("MZ")},
		{name: "EFI/Linux/lwc_1.0.0+3-0.efi", mode: 0o755, head: []byte("MZ")},
		{name: "loader/loader.conf", mode: 0o755, head: []byte("timeout 3")},
	}
	r, kernels := judgeBoot(files)
	if len(r.findings) > 0 || len(kernels) != 1 {
		t.Errorf("a good boot partition: findings %q, kernels %q", r.findings, kernels)
	}
	for _, stranger := range []entry{
		{name: "EFI/BOOT/shellx64.efi", mode: 0o755, head: []byte("MZ")},
		{name: "EFI/Linux/lwc_1.0.0.efi.extra.d/x.cred", mode: 0o755, head: []byte("secret")},
		{name: "loader/entries/other.conf", mode: 0o755, head: []byte("title x")},
	} {
		if r, _ = judgeBoot(append(files, stranger)); len(r.findings) != 1 {
			t.Errorf("%s: findings %q", stranger.name, r.findings)
		}
	}
}

// newc is one member of an archive as cpio(5) has it.
func newc(name, text string, mode int) string {
	h := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name)+1, 0)
	pad := func(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
	return pad(h+name+"\x00") + pad(text)
}

// initrd has an archive as it is, zeros, and a compressed one.
func initrd(t testing.TB) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	end := newc("TRAILER!!!", "", 0)
	first := newc("./etc", "", 0o040755) + newc("./etc/initrd-release", "ID=lwc\n", 0o100644) + end
	second := newc("usr/bin/sh", elf, 0o104755) + newc("init", "usr/bin/sh", 0o120777) + end
	return append([]byte(first+strings.Repeat("\x00", 512)), w.EncodeAll([]byte(second), nil)...)
}

func TestInitrdIsReadWhole(t *testing.T) {
	files, err := unpackInitrd(append(initrd(t), initrd(t)...))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 8 {
		t.Fatalf("%d files, want 8: %v", len(files), files)
	}
	sh := files[6]
	if sh.name != "usr/bin/sh" || sh.mode != fs.ModeSetuid|0o755 || string(sh.head) != elf || files[7].link != "usr/bin/sh" {
		t.Errorf("the last archive's files are %+v and %+v", sh, files[7])
	}
}

func TestDamagedInitrdIsRefused(t *testing.T) {
	whole := initrd(t)
	for name, data := range map[string][]byte{
		"cut in a frame":   whole[:len(whole)-3],
		"cut in a file":    whole[:150],
		"unknown part":     append(bytes.Clone(whole), "\x1f\x8b gzip"...),
		"frame in a frame": mustFrame(t, mustFrame(t, whole)),
		"length beyond":    []byte(strings.Replace(string(whole), "00000007", "ffffffff", 1)),
	} {
		if _, err := unpackInitrd(data); !errors.Is(err, errInitrd) {
			t.Errorf("%s: error %v, want errInitrd", name, err)
		}
	}
}

func mustFrame(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func FuzzInitrd(f *testing.F) {
	f.Add(initrd(f))
	f.Add([]byte(newc("a", "b", 0o100644)))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := unpackInitrd(data)
		if err != nil && files != nil {
			t.Error("files in spite of an error")
		}
		for _, e := range files {
			if len(e.head) > 64 {
				t.Errorf("%s has a beginning of %d bytes", e.name, len(e.head))
			}
		}
	})
}

// TestCapabilitiesAreFound has mkfs.erofs make a file system with one file that bears
// some; the attribute's value is struct vfs_ns_cap_data of revision 2.
func TestCapabilitiesAreFound(t *testing.T) {
	need.Program(t, "mkfs.erofs")
	need.Root(t)
	for name, want := range map[string]int{"plain": 0, "granted": 1} {
		dir, raw := t.TempDir(), filepath.Join(t.TempDir(), "raw")
		file := filepath.Join(dir, "program")
		if err := os.WriteFile(file, []byte(strings.Repeat("program", 4096)), 0o755); err != nil {
			t.Fatal(err)
		}
		if want > 0 {
			value := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
			if err := unix.Setxattr(file, "security.capability", value, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := tool(t.Context(), "mkfs.erofs", "-zlz4hc", raw, dir); err != nil {
			t.Fatal(err)
		}
		if got, err := capabilities(raw); err != nil || got != want {
			t.Errorf("%s: %d files with capabilities (%v), want %d", name, got, err, want)
		}
	}
}
