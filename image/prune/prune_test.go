package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/image/contents"
	"lwc/testdata/need"
)

// tree writes files below a new folder; a text that begins with "->" is a link.
func tree(t *testing.T, files map[string]string) pruner {
	t.Helper()
	p := pruner{root: t.TempDir(), out: t.TempDir(), tree: contents.Tree{Name: "root", Programs: map[string]string{"usr/bin/good": "a test"}}}
	for name, text := range files {
		full := filepath.Join(p.root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// names are the files and links of the tree that are left.
func (p pruner) names(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(p.root, func(full string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(p.root, full)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProgramsThatAreNotListedGo(t *testing.T) {
	p := tree(t, map[string]string{
		"usr/bin/good": "\x7fELF", "usr/bin/sh": "\x7fELF", "usr/lib/klibc/bin/sh": "\x7fELF", "usr/bin/ldd": "#!/bin/bash\n",
		"etc/hostname": "lwc\n", "usr/share/x.pyc": "\xcb\x0d\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		contents.Libraries + "/libc.so.6": "\x7fELF", "efi/EFI/BOOT/BOOTX64.EFI": "MZ",
	})
	if err := os.Chmod(filepath.Join(p.root, "usr/bin/good"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	need.Root(t)
	granted := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(filepath.Join(p.root, "usr/bin/good"), "security.capability", granted, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.programs(); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Lgetxattr(filepath.Join(p.root, "usr/bin/good"), "security.capability", nil); !errors.Is(err, unix.ENODATA) {
		t.Errorf("the listed program keeps %d bytes of capabilities (%v)", n, err)
	}
	want := []string{"efi/EFI/BOOT/BOOTX64.EFI", "etc/hostname", "usr/bin/good", contents.Libraries + "/libc.so.6"}
	if got := p.names(t); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if info, err := os.Stat(filepath.Join(p.root, "usr/bin/good")); err != nil || info.Mode()&fs.ModeSetuid != 0 {
		t.Errorf("the listed program is %v (%v), want it without setuid", info.Mode(), err)
	}
}

func TestUnitsWithoutAProgramGo(t *testing.T) {
	const dir = "usr/lib/systemd/system/"
	p := tree(t, map[string]string{
		"usr/bin/good": "\x7fELF", "usr/bin/link": "->good", "bin": "->usr/bin",
		dir + "a.service": "[Service]\nExecStart=!!/usr/bin/good x\n", dir + "b.service": "[Service]\nExecStart=/bin/link\nExecStartPre=-/usr/bin/gone\n",
		dir + "c.service": "[Service]\nExecStart=@/usr/bin/gone gone\n", dir + "c.socket": "[Socket]\n", dir + "sockets.target.wants/c.socket": "->../c.socket",
		dir + "d.target": "[Unit]\n", dir + "e.service": "[Service]\nExecStartPre=/usr/bin/good\nExecStart=gone\n",
		"etc/systemd/system/masked.service": "->/dev/null",
	})
	if err := p.units(); err != nil {
		t.Fatal(err)
	}
	if err := p.links(); err != nil {
		t.Fatal(err)
	}
	want := []string{"bin", "etc/systemd/system/masked.service", "usr/bin/good", "usr/bin/link", dir + "a.service", dir + "b.service", dir + "d.target"}
	if got := p.names(t); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

func TestLibrariesThatNothingAsksForGo(t *testing.T) {
	// A program of this machine and the libraries that it names, which are there
	// under their names as far as it matters: as ELF files without needs.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	p := tree(t, map[string]string{"usr/bin/good": string(text),
		contents.Libraries + "/libopened.so.1": "->libopened.so.1.2", contents.Libraries + "/libopened.so.1.2": string(text),
		contents.Libraries + "/libspare.so.1": "->libspare.so.1.2", contents.Libraries + "/libspare.so.1.2": string(text)})
	p.tree.Opened = []string{"libopened.so.1"}
	if err := p.libraries(); err != nil {
		t.Fatal(err)
	}
	if err := p.links(); err != nil {
		t.Fatal(err)
	}
	want := []string{"usr/bin/good", contents.Libraries + "/libopened.so.1", contents.Libraries + "/libopened.so.1.2"}
	if got := p.names(t); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

func TestAccountsKeepNoShellAndNoDay(t *testing.T) {
	p := tree(t, map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nlwcd:x:990:990::/:\n", "etc/shadow": "root::1:0:::::\n"})
	if err := p.accounts(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nlwcd:x:990:990::/:/usr/sbin/nologin\n", "etc/shadow": "root:!*::0:::::\n",
	} {
		if got, err := os.ReadFile(filepath.Join(p.root, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestOnlyPackagesThatLeftSomethingAreRecorded(t *testing.T) {
	p := tree(t, map[string]string{
		"var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.41)\nVersion: 2.41-12\nDescription: x\n Package: liar\n\n" +
			"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
		"var/lib/dpkg/info/libc6:amd64.list": "/.\n/lib/x86_64-linux-gnu/libc.so.6\n", "var/lib/dpkg/info/bash.list": "/.\n/bin/bash\n",
		"usr/lib/x86_64-linux-gnu/libc.so.6": "\x7fELF",
	})
	packages, files, err := p.dpkg()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.record(packages, files); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(p.out, "root.packages.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var got []installed
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if want := []installed{{"libc6", "2.41-12", "amd64", "glibc", 1}}; !slices.Equal(got, want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

// A file that a cached first part of a build made bears the time of the build too, a
// link itself and not what it points to.
func TestOneTime(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := oneTime(root, "2000000000"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "old", "link"} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.ModTime().Unix() != 2000000000 {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	if err := oneTime(root, ""); err == nil {
		t.Error("a build without a time is taken")
	}
}
