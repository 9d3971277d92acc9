package seal

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"lwc/image/gpt"
	"lwc/image/release"
	"lwc/testdata/need"
)

const sector = gpt.Sector

// part is a partition of an image of a test.
type part struct {
	kind    string
	uuid    byte // all sixteen bytes of it
	label   string
	content []byte
}

const espSize = 4 << 20

// image makes a raw image as a build does: an ESP with boot loader and kernel, root and
// hashes.
func image(t *testing.T, cmdline string, more ...part) string {
	t.Helper()
	return imageOf(t, bytes.Repeat([]byte("root"), 4096), cmdline, more...)
}

func imageOf(t *testing.T, root []byte, cmdline string, more ...part) string {
	t.Helper()
	need.Program(t, "sbsign")
	need.Program(t, "mcopy")
	parts := append([]part{
		{kind: gpt.ESP, uuid: 0x11, label: "ESP", content: make([]byte, espSize)},
		{kind: gpt.RootX64, uuid: 0xaa, label: "lwc_1.2.3", content: root},
		{kind: gpt.VerityX64, uuid: 0xbb, label: "lwc_1.2.3", content: bytes.Repeat([]byte("hash"), 1024)},
	}, more...)
	file := filepath.Join(t.TempDir(), "image.raw")
	if err := os.WriteFile(file, table(parts), 0o600); err != nil {
		t.Fatal(err)
	}
	at := file + "@@" + "1048576"
	mtool(t, "mformat", "-i", at, "-T", "8192", "-h", "1", "-s", "63", "::")
	system := esp{at}
	for path, line := range map[string]string{"/EFI/BOOT/BOOTX64.EFI": "", "/EFI/Linux/lwc_1.2.3+3.efi": cmdline} {
		if err := system.folder(t.Context(), filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		from := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(from, program(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := system.put(t.Context(), from, path); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func mtool(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := tool(t.Context(), name, args...); err != nil {
		t.Fatal(err)
	}
}

// table lays the partitions out from 1 MiB on.
func table(parts []part) []byte {
	disk, entries := make([]byte, 1<<20), make([]byte, 128*128)
	le := binary.LittleEndian
	for i, p := range parts {
		e := entries[i*128:]
		first := uint64(len(disk) / sector)
		disk = append(disk, p.content...)
		copy(e, guidBytes(p.kind))
		copy(e[16:32], bytes.Repeat([]byte{p.uuid}, 16))
		le.PutUint64(e[32:], first)
		le.PutUint64(e[40:], uint64(len(disk)/sector-1))
		for j, u := range utf16.Encode([]rune(p.label)) {
			le.PutUint16(e[56+2*j:], u)
		}
	}
	copy(disk[2*sector:], entries)
	h := disk[sector:][:92]
	copy(h, "EFI PART")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], 1)
	le.PutUint64(h[72:], 2)
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return disk
}

func guidBytes(s string) []byte {
	var b [16]byte
	hex := strings.ReplaceAll(s, "-", "")
	for i, at := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		for _, c := range hex[2*i : 2*i+2] {
			b[at] = b[at]<<4 | byte(strings.IndexRune("0123456789abcdef", c))
		}
	}
	return b[:]
}

// program makes the smallest EFI program that sbsign takes, with a command line
// unless that is empty: PE32+, Microsoft's "PE Format".
func program(cmdline string) []byte {
	b := make([]byte, 0x600)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], 0x8664) // AMD64
	sections := 1
	if cmdline != "" {
		sections = 2
	}
	le.PutUint16(b[0x46:], uint16(sections))
	le.PutUint16(b[0x54:], 240)    // of the optional header
	le.PutUint16(b[0x56:], 0x0022) // executable, large addresses
	o := b[0x58:]
	le.PutUint16(o, 0x20b)
	le.PutUint32(o[16:], 0x1000) // entry
	le.PutUint32(o[32:], 0x1000) // alignment in memory
	le.PutUint32(o[36:], 0x200)  // and in the file
	le.PutUint32(o[56:], 0x3000) // size of image
	le.PutUint32(o[60:], 0x200)  // size of headers
	le.PutUint16(o[68:], 10)     // EFI application
	le.PutUint32(o[108:], 16)
	for i, name := range []string{".text", ".cmdline"}[:sections] {
		s := b[0x148+40*i:]
		copy(s, name)
		le.PutUint32(s[8:], 0x200)
		le.PutUint32(s[12:], uint32(0x1000*(i+1)))
		le.PutUint32(s[16:], 0x200)
		le.PutUint32(s[20:], uint32(0x200*(i+1)))
		le.PutUint32(s[36:], 0x40000040)
	}
	copy(b[0x400:], cmdline)
	return b
}

var goodLine = "roothash=" + strings.Repeat("aa", 16) + strings.Repeat("bb", 16) + " quiet"

func keys(t *testing.T) string {
	t.Helper()
	need.Program(t, "sbsign")
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := MakeKeys(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSignedImage(t *testing.T) {
	file, dir := image(t, goodLine), keys(t)
	d, err := openDisk(file)
	if err != nil {
		t.Fatal(err)
	}
	before := rest(t, file, d)
	signed, err := Image(t.Context(), file, dir)
	if err != nil || len(signed) != 2 {
		t.Fatalf("%q, %v", signed, err)
	}
	for i, p := range signed {
		out := filepath.Join(t.TempDir(), "program")
		if err := d.system().take(t.Context(), p, out); err != nil {
			t.Fatal(err)
		}
		if err := Verify(t.Context(), out, dir); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if err := Verify(t.Context(), out, keys(t)); err == nil {
			t.Errorf("program %d is good by a key that did not sign it", i)
		}
	}
	for _, name := range EnrolFiles() {
		if err := d.system().take(t.Context(), enrolFolder+"/"+name, filepath.Join(t.TempDir(), name)); err != nil {
			t.Errorf("for enrolment: %v", err)
		}
	}
	if !bytes.Equal(before, rest(t, file, d)) {
		t.Error("signing changed something outside of the ESP")
	}
}

// rest is what signing must not touch.
func rest(t *testing.T, file string, d disk) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(b[:d.esp.Start]), b[d.esp.Start+d.esp.Size:]...)
}

// A second run of the signing step is no second signature.
func TestSignedTwice(t *testing.T) {
	file, dir := image(t, goodLine), keys(t)
	if _, err := Image(t.Context(), file, dir); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(file)
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		out := filepath.Join(t.TempDir(), "kernel")
		if err := d.takeKernel(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	once := size()
	if _, err := Image(t.Context(), file, dir); err != nil {
		t.Fatal(err)
	}
	if twice := size(); twice != once {
		t.Errorf("the kernel grew from %d to %d bytes", once, twice)
	}
}

func TestRelease(t *testing.T) {
	dir := keys(t)
	file := believing(t, goodLine, dir)
	out := filepath.Join(t.TempDir(), "r.tar")
	words := Words{Floor: "1.0.0", Security: true, Notes: "A note.", Created: time.Unix(1750000000, 5)}
	if _, err := Release(t.Context(), file, dir, out, words); err != nil {
		t.Fatal(err)
	}
	m := readBundle(t, out, dir)
	if m.Version != "1.2.3" || m.Floor != "1.0.0" || !m.Security || m.Notes != "A note." || m.Created.Unix() != 1750000000 {
		t.Errorf("the manifest says %+v", m)
	}
	for role, want := range map[release.Role]string{release.Root: strings.Repeat("aa", 16), release.Verity: strings.Repeat("bb", 16)} {
		if got := m.File(role).Partition(); got != want {
			t.Errorf("the %s goes to partition %s instead of %s", role, got, want)
		}
	}
	d, err := openDisk(file)
	if size := m.File(release.Root).Size; err != nil || size != d.root.Size {
		t.Errorf("the root has %d bytes, in the image %d: %v", size, d.root.Size, err)
	}
}

// readBundle reads a bundle as the cloud does.
func readBundle(t *testing.T, file, dir string) release.Manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ReleasePublic))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := release.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := release.ReadBundle(t.Context(), f, t.TempDir(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// While a key is replaced both sign: boxes that know only one of them take the release.
func TestTwoReleaseKeys(t *testing.T) {
	dir, next := keys(t), keys(t)
	file := believing(t, goodLine, dir, next)
	text, err := os.ReadFile(filepath.Join(next, ReleaseKey))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "release-2.key.pem"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "r.tar")
	if _, err := Release(t.Context(), file, dir, out, Words{Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	readBundle(t, out, dir)
	readBundle(t, out, next)
}

func TestRefusedImages(t *testing.T) {
	second := part{kind: gpt.RootX64, uuid: 0xcc, label: "_empty", content: make([]byte, sector)}
	dir := keys(t)
	for name, c := range map[string]struct{ file, want string }{
		"kernel of another root": {believing(t, "roothash="+strings.Repeat("00", 32), dir), "roothash="},
		"no command line":        {believing(t, "", dir), "no unified kernel"},
		"no file system":         {image(t, goodLine), "reading the release keys in the image"},
		"no release keys":        {imageOf(t, rootWith(t, nil), goodLine), "reading the release keys in the image"},
		"a disk that has run":    {image(t, goodLine, second), "instead of one"},
	} {
		out := filepath.Join(t.TempDir(), "r.tar")
		_, err := Release(t.Context(), c.file, dir, out, Words{Created: time.Now()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(out + "*"); len(left) != 0 {
			t.Errorf("%s: left %q behind", name, left)
		}
	}
}

func TestKeysStay(t *testing.T) {
	dir := keys(t)
	before, err := os.ReadFile(filepath.Join(dir, ReleaseKey))
	if err != nil {
		t.Fatal(err)
	}
	made, err := MakeKeys(t.Context(), dir)
	after, _ := os.ReadFile(filepath.Join(dir, ReleaseKey))
	if err != nil || len(made) != 0 || !bytes.Equal(before, after) {
		t.Errorf("made %q, %v", made, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.key.pem"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

func TestStopped(t *testing.T) {
	dir := keys(t)
	file := believing(t, goodLine, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "r.tar")
	if _, err := Release(ctx, file, dir, out, Words{Created: time.Now()}); err == nil {
		t.Error("went on after it was stopped")
	}
	if left, _ := filepath.Glob(out + "*"); len(left) != 0 {
		t.Errorf("left %q behind", left)
	}
}
