package provision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"lwc/image/fat"
)

// program finds one of the peers; CI has all of them.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("LWC_TEST_STRICT") != "" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing: install mtools and dosfstools", name)
	return ""
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// formatted is a volume that mkfs.fat made.
func formatted(t testing.TB, bits, label, mib string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "volume.img")
	size := map[string]int64{"2": 2 << 20, "16": 16 << 20, "64": 64 << 20}[mib]
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.fat", "-F", bits, "-n", label, path)
	return path
}

func probed(t testing.TB, path string) looks {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := probe(f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestProbeFindsTheLabelOfAFATVolume(t *testing.T) {
	for _, tt := range []struct{ bits, mib string }{{"12", "2"}, {"16", "16"}, {"32", "64"}} {
		path := formatted(t, tt.bits, "LWCCONF", tt.mib)
		if got := probed(t, path); got != (looks{"vfat", "LWCCONF"}) {
			t.Errorf("FAT%s: %+v", tt.bits, got)
		}
		// As Windows does: the name in the boot sector stays, the one in the folder counts.
		command(t, "mlabel", "-i", path, "::CIDATA")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{"12": 43, "16": 43, "32": 71}[tt.bits]
		copy(raw[at:], "NO NAME    ")
		if got, err := probe(bytes.NewReader(raw)); err != nil || got != (looks{"vfat", "CIDATA"}) {
			t.Errorf("FAT%s with another name: %+v (%v)", tt.bits, got, err)
		}
	}
}

// A long folder: the label is in a later cluster of it.
func TestProbeFollowsTheFolderOfFAT32(t *testing.T) {
	path := formatted(t, "32", "OTHER", "64")
	for i := range 40 {
		name := filepath.Join(t.TempDir(), strings.Repeat("x", 60)+string(rune('a'+i%26))+string(rune('a'+i/26)))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, "mcopy", "-i", path, name, "::")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[71:], "NO NAME    ")
	i := bytes.LastIndex(raw, []byte("OTHER      \x08"))
	copy(raw[i:], []byte{0xe5})
	if got, _ := probe(bytes.NewReader(raw)); got != (looks{"vfat", ""}) {
		t.Errorf("without a label it is %+v", got)
	}
	command(t, "mlabel", "-i", path, "-c", "::")
	command(t, "mlabel", "-i", path, "::LWCCONF")
	if got := probed(t, path); got.label != "LWCCONF" {
		t.Errorf("it is %+v", got)
	}
}

func TestProbeOfOtherFileSystems(t *testing.T) {
	iso := make([]byte, 64<<10)
	copy(iso[isoVolume:], "\x01CD001\x01")
	copy(iso[isoVolume+isoLabel:], "cidata                          ")
	for want, raw := range map[looks][]byte{
		{"iso9660", "cidata"}: iso, {"exfat", "LWCCONF"}: exfat("LWCCONF"), {fs: "ntfs"}: signedBy("NTFS    "),
		{}: make([]byte, 1<<20), {fs: ""}: nil,
	} {
		got, err := probe(bytes.NewReader(raw))
		if err != nil || got != want {
			t.Errorf("it is %+v (%v), want %+v", got, err, want)
		}
	}
}

func signedBy(name string) []byte {
	b := make([]byte, 1<<20)
	copy(b[3:], name)
	b[510], b[511] = 0x55, 0xaa
	return b
}

func exfat(label string) []byte {
	b := signedBy("EXFAT   ")
	b[108], b[109] = 9, 3
	binary.LittleEndian.PutUint32(b[88:], 128)
	binary.LittleEndian.PutUint32(b[96:], 5)
	root := b[(128+3*8)*512:]
	root[0] = 0x81 // the allocation bitmap
	root[32], root[33] = 0x83, byte(len(label))
	for i, u := range utf16.Encode([]rune(label)) {
		binary.LittleEndian.PutUint16(root[34+2*i:], u)
	}
	return b
}

func TestWhichVolumesAreMeant(t *testing.T) {
	for _, tt := range []struct {
		part    string
		looks   looks
		meant   bool
		problem string
	}{
		{"", looks{"vfat", "LWCCONF"}, true, ""},
		{"", looks{"vfat", "lwcconf"}, true, ""},
		{"", looks{"iso9660", "cidata"}, true, ""},
		{"", looks{"vfat", "BACKUP"}, false, ""},
		{"", looks{}, false, ""},
		{"", looks{"exfat", "LWCCONF"}, true, "it is formatted as EXFAT, which a box does not read"},
		{"LWCCONF", looks{}, true, "it is not formatted, or damaged"},
		{"LWCCONF", looks{"vfat", "STICK"}, true, "its name is no longer LWCCONF, or it was formatted as something else"},
		{"lwc_1.2.3", looks{}, false, ""},
	} {
		v, meant := described("sdb1", tt.part, tt.looks)
		if meant != tt.meant || v.Problem != tt.problem {
			t.Errorf("%s %+v: %v %+v", tt.part, tt.looks, meant, v)
		}
	}
}

// endless is a disk of any size: a boot sector, and then the same over and over.
type endless struct{ boot, rest []byte }

func (e endless) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, os.ErrInvalid
	}
	for i := range b {
		switch o := at + int64(i); {
		case o < int64(len(e.boot)):
			b[i] = e.boot[o]
		case len(e.rest) > 0:
			b[i] = e.rest[o%int64(len(e.rest))]
		}
	}
	return len(b), nil
}

func FuzzProbe(f *testing.F) {
	entry := append([]byte("LWCCONF    \x08"), make([]byte, 20)...)
	for _, bits := range []string{"12", "16", "32"} {
		raw, err := os.ReadFile(formatted(f, bits, "LWCCONF", map[string]string{"12": "2", "16": "16", "32": "64"}[bits]))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[:sector], entry)
	}
	f.Add(exfat("LWCCONF")[:sector], append([]byte{0x83, 1, 'x', 0}, make([]byte, 28)...))
	f.Add([]byte(nil), []byte("\x01CD001\x01"))
	f.Fuzz(func(t *testing.T, boot, rest []byte) {
		l, err := probe(endless{boot, rest})
		if err != nil || len(l.label) > 64 {
			t.Errorf("it is %+v (%v)", l, err)
		}
	})
}

// The volumes that lwc-cloud makes are found, too.
func TestProbeFindsAVolumeOfTheCloud(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conf.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(16<<20), fat.Format(f, "LWCCONF", 1, time.Unix(1750000000, 0))); err != nil {
		t.Fatal(err)
	}
	if got := probed(t, path); got != (looks{"vfat", "LWCCONF"}) {
		t.Errorf("it is %+v", got)
	}
}
