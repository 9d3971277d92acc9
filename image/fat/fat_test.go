package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func moment() time.Time { return time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC) }

// program finds one of the peers; CI has all of them.
func program(t *testing.T, name string) string {
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

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=0", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// judge has mtools read the file and fsck.fat look at the whole volume.
func judge(t *testing.T, image, name string, want []byte) {
	t.Helper()
	if got := output(t, "mtype", "-i", image, "::"+name); got != string(want) {
		t.Errorf("mtype reads %d bytes of %s, written were %d", len(got), name, len(want))
	}
	if out := output(t, "fsck.fat", "-n", "-v", image); strings.Contains(out, "wrong") {
		t.Errorf("fsck.fat: %s", out)
	}
}

func open(t *testing.T, path string) (*Volume, *os.File) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(f, 0, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return v, f
}

// made makes volumes of several forms, those of mkfs.fat with other files.
func made(t *testing.T) map[string]string {
	t.Helper()
	dir, out := t.TempDir(), map[string]string{}
	readme := filepath.Join(dir, "readme")
	if err := os.WriteFile(readme, bytes.Repeat([]byte("words "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string][]string{
		"fat32":           {"-F", "32", "65536"},
		"fat32 of 4k":     {"-F", "32", "-s", "8", "270336"},
		"fat16":           {"-F", "16", "16384"},
		"fat16, one copy": {"-F", "16", "-f", "1", "-r", "16", "16384"},
		"fat32 of 4096":   {"-F", "32", "-S", "4096", "-s", "1", "270336"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		n := len(form) - 1
		output(t, "mkfs.fat", append(append([]string{"-n", "LWCCONF"}, form[:n]...), "-C", path, form[n])...)
		output(t, "mcopy", "-i", path, readme, "::Read this first.txt")
		out[name] = path
	}
	path := filepath.Join(dir, "own")
	if err := os.WriteFile(path, make([]byte, VolumeSize), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Format(f, "LWCCONF", 0x12345678, moment()), f.Close()); err != nil {
		t.Fatal(err)
	}
	out["our own"] = path
	return out
}

// What is written is read by mtools, at any length, and fsck.fat finds nothing.
func TestPeersReadWhatIsWritten(t *testing.T) {
	for name, path := range made(t) {
		t.Run(name, func(t *testing.T) {
			v, _ := open(t, path)
			if label, err := v.Label(); label != "LWCCONF" || err != nil {
				t.Errorf("label %q, %v", label, err)
			}
			for _, n := range []int{700, 40_000, 4096, 0, 1, 512} {
				text := bytes.Repeat([]byte("x"), n)
				if err := v.WriteFile("lwc.toml", text, moment()); err != nil {
					t.Fatal(err)
				}
				judge(t, path, "lwc.toml", text)
				if got, err := v.ReadFile("LWC.TOML", 1<<20); err != nil || !bytes.Equal(got, text) {
					t.Errorf("read back %d bytes of %d, %v", len(got), n, err)
				}
			}
			if out := output(t, "mdir", "-i", path, "::"); !strings.Contains(out, "lwc.toml") || strings.Count(out, "lwc") != 1 || !strings.Contains(out, "2026-03-04") {
				t.Errorf("mdir shows:\n%s", out)
			}
		})
	}
}

// What another system wrote is replaced, whatever its case, and no byte of it is left.
func TestReplacedIsGone(t *testing.T) {
	const canary = "lwce1_a-token-that-has-to-go"
	for name, path := range made(t) {
		t.Run(name, func(t *testing.T) {
			first := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(first, bytes.Repeat([]byte(canary), 100), 0o600); err != nil {
				t.Fatal(err)
			}
			output(t, "mcopy", "-i", path, first, "::LWC.toml")
			v, _ := open(t, path)
			if err := v.WriteFile("lwc.toml", []byte("new\n"), moment()); err != nil {
				t.Fatal(err)
			}
			judge(t, path, "lwc.toml", []byte("new\n"))
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, []byte(canary)) {
				t.Error("the old content is still there")
			}
		})
	}
}

// A root folder of FAT32 grows; that of FAT16 does not, and says so.
func TestFullFolders(t *testing.T) {
	all := made(t)
	for _, name := range []string{"fat32", "fat16, one copy"} {
		v, _ := open(t, all[name])
		before, err := os.ReadFile(all[name])
		for i := 0; i < 40 && err == nil; i++ {
			if err = v.WriteFile(fmt.Sprintf("a-long-name-%d.toml", i), []byte("x"), moment()); err == nil && !v.wide {
				before, err = os.ReadFile(all[name])
			}
		}
		if v.wide && err != nil || !v.wide && !errors.Is(err, ErrFull) {
			t.Errorf("%s: 40 files: %v", name, err)
		}
		if after, _ := os.ReadFile(all[name]); err != nil && !bytes.Equal(before, after) {
			t.Errorf("%s: a file that has no room changed the volume", name)
		}
		judge(t, all[name], "a-long-name-2.toml", []byte("x"))
	}
}

func TestFullVolume(t *testing.T) {
	path := made(t)["our own"]
	v, _ := open(t, path)
	if err := v.WriteFile("big", make([]byte, VolumeSize-128<<10), moment()); err != nil {
		t.Fatal(err)
	}
	if err := v.WriteFile("lwc.toml", make([]byte, 128<<10), moment()); !errors.Is(err, ErrFull) {
		t.Errorf("a file beyond the room: %v", err)
	}
	if _, err := v.ReadFile("lwc.toml", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
	if err := v.WriteFile("big", nil, moment()); err != nil {
		t.Fatal(err)
	}
	judge(t, path, "big", nil)
}

func TestNames(t *testing.T) {
	v, _ := open(t, made(t)["our own"])
	for _, name := range []string{"", ".toml", "a.", "a/b", "../x", "a.b.c", "ü", strings.Repeat("a", 65)} {
		if err := v.WriteFile(name, nil, moment()); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, label := range []string{"", "lower", "TWELVE-CHARS", "A B"} {
		if err := Format(nil, label, 0, moment()); err == nil {
			t.Errorf("label %q was taken", label)
		}
	}
}

func TestNoVolume(t *testing.T) {
	whole, err := os.ReadFile(made(t)["our own"])
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"short":          func(b []byte) []byte { return b[:100] },
		"no signature":   func(b []byte) []byte { b[510] = 0; return b },
		"no sectors":     func(b []byte) []byte { b[11], b[12] = 0, 0; return b },
		"three copies":   func(b []byte) []byte { b[16] = 3; return b },
		"cut off":        func(b []byte) []byte { return b[:VolumeSize/2] },
		"short table":    func(b []byte) []byte { b[22] = 1; return b },
		"no root folder": func(b []byte) []byte { b[17], b[18] = 0, 0; return b },
		"fat12":          func(b []byte) []byte { b[13] = 8; return b },
	} {
		b := change(bytes.Clone(whole))
		if _, err := Open(memory(b), 0, int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// counted is a large device of zeros, but for its beginning, that counts what is read.
type counted struct {
	begin []byte
	size  int64
	read  *int64
}

func (c counted) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > c.size {
		return 0, io.ErrUnexpectedEOF
	}
	*c.read += int64(len(p))
	clear(p)
	if at < int64(len(c.begin)) {
		copy(p, c.begin[at:])
	}
	return len(p), nil
}

func (c counted) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// A root folder that is longer than one can be costs no memory, however large the
// clusters are.
func TestARootFolderWithoutEnd(t *testing.T) {
	const clusters, perCluster, reserved, tableSectors = 65600, 128, 32, 513
	c := counted{begin: make([]byte, (reserved+tableSectors)*512), read: new(int64)}
	put, le := c.begin, binary.LittleEndian
	le.PutUint16(put[11:], 512)
	put[13], put[16], put[510], put[511] = perCluster, 1, 0x55, 0xAA
	le.PutUint16(put[14:], reserved)
	le.PutUint32(put[32:], reserved+tableSectors+clusters*perCluster)
	le.PutUint32(put[36:], tableSectors)
	le.PutUint32(put[44:], 2)
	c.size = (reserved + tableSectors + clusters*perCluster) * 512
	table := put[reserved*512:]
	last := func(n uint32) { // the root folder has n clusters
		for i := range n {
			le.PutUint32(table[4*(2+i):], 3+i)
		}
		le.PutUint32(table[4*(1+n):], lastWide)
	}
	for n, want := range map[uint32]error{32: nil, 33: ErrDamaged, 4000: ErrDamaged} {
		last(n)
		*c.read = 0
		v, err := Open(c, 0, c.size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Label(); !errors.Is(err, want) {
			t.Errorf("%d clusters: %v", n, err)
		}
		if *c.read > maxRoot+1<<20 {
			t.Errorf("%d clusters: %d bytes were read", n, *c.read)
		}
	}
}

// A long name that was left behind by a system that knows none is not that of the entry
// which follows it now.
func TestALongNameOfAnother(t *testing.T) {
	disk := make(memory, VolumeSize)
	if err := Format(disk, "LWCCONF", 1, moment()); err != nil {
		t.Fatal(err)
	}
	v, err := Open(disk, 0, VolumeSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WriteFile("lwc.toml", []byte("x"), moment()); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(disk, []byte("LWC~1   TOM"))
	if at < 0 {
		t.Fatal("there is no short name")
	}
	copy(disk[at:], "OTHER   TXT")
	if _, err := v.ReadFile("lwc.toml", 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("by the long name: %v", err)
	}
	if text, err := v.ReadFile("other.txt", 10); err != nil || string(text) != "x" {
		t.Errorf("by its own: %q, %v", text, err)
	}
}
