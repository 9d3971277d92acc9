package prepare

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"lwc/image/fat"
	"lwc/image/gpt"
	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const (
	partStart = 1 << 20
	diskSize  = partStart + fat.VolumeSize + 1<<20
)

func siteText(t *testing.T) []byte {
	t.Helper()
	token := wire.Token{Sort: wire.EnrolToken, URL: "https://cloud.example:8443", ID: "01J00000000000000000000000",
		Secret: secret.New(bytes.Repeat([]byte{7}, 16))}
	return fmt.Appendf(nil, "token = %q\n[internal]\nmac = \"02:00:00:00:00:01\"\naddresses = [\"10.1.0.2/24\"]\n[external]\nmac = \"02:00:00:00:00:02\"\ndhcp = true\n", token.Encode().Reveal())
}

// disk makes an image with one partition of that label.
func disk(t *testing.T, label string) []byte {
	t.Helper()
	d := make([]byte, diskSize)
	path := filepath.Join(t.TempDir(), "volume")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(f.Truncate(fat.VolumeSize), fat.Format(f, "LWCCONF", 1, time.Now()), f.Close())
	if err != nil {
		t.Fatal(err)
	}
	volume, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(d[partStart:], volume)
	le, e := binary.LittleEndian, d[2*gpt.Sector:]
	e[0], e[16] = 1, 1
	le.PutUint64(e[32:], partStart/gpt.Sector)
	le.PutUint64(e[40:], (partStart+fat.VolumeSize)/gpt.Sector-1)
	for i, u := range utf16.Encode([]rune(label)) {
		le.PutUint16(e[56+2*i:], u)
	}
	h := d[gpt.Sector : gpt.Sector+92]
	copy(h, "EFI PART")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], 1)
	le.PutUint64(h[32:], diskSize/gpt.Sector-1)
	le.PutUint64(h[72:], 2)
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(e[:128*128]))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return d
}

func pack(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// judge has mtools read the file at an offset, and fsck.fat look at the volume.
func judge(t *testing.T, path string, offset int64, want []byte) {
	t.Helper()
	at := fmt.Sprintf("%s@@%d", path, offset)
	if out := output(t, "mtype", "-i", at, "::lwc.toml"); out != string(want) {
		t.Errorf("mtype reads %q", out)
	}
	if out := output(t, "mdir", "-i", at, "::"); !strings.Contains(out, "is LWCCONF") || !strings.Contains(out, "lwc.toml") {
		t.Errorf("mdir: %s", out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	volume := file(t, "volume", b[offset:offset+fat.VolumeSize])
	if out := output(t, "fsck.fat", "-n", "-v", volume); strings.Contains(out, "wrong") {
		t.Errorf("fsck.fat: %s", out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v: it holds a token", info.Mode(), err)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		path, err := exec.LookPath(dir + name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if os.Getenv("LWC_TEST_STRICT") != "" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing: install mtools and dosfstools", name)
	return ""
}

func TestImage(t *testing.T) {
	text, whole := siteText(t), disk(t, "LWCCONF")
	for name, c := range map[string]struct {
		image string
		out   bool
	}{
		"raw, in place":     {image: file(t, "lwc_1.0.0.img", whole)},
		"raw, copied":       {image: file(t, "lwc_1.0.0.img", whole), out: true},
		"packed":            {image: file(t, "lwc_1.0.0.img.zst", pack(t, whole))},
		"packed, elsewhere": {image: file(t, "lwc_1.0.0.img.zst", pack(t, whole)), out: true},
		"packed, no name":   {image: file(t, "image", pack(t, whole))},
	} {
		t.Run(name, func(t *testing.T) {
			out := ""
			if c.out {
				out = filepath.Join(t.TempDir(), "site.img")
			}
			before, err := os.ReadFile(c.image)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Image(t.Context(), c.image, out, text)
			if err != nil || out != "" && got != out {
				t.Fatalf("result %q, %v", got, err)
			}
			judge(t, got, partStart, text)
			after, err := os.ReadFile(c.image)
			if err != nil || got != c.image && !bytes.Equal(before, after) {
				t.Errorf("the given image was changed (%v)", err)
			}
			if b, _ := os.ReadFile(got); len(b) != diskSize {
				t.Errorf("the result has %d bytes", len(b))
			}
		})
	}
}

func TestImageRefused(t *testing.T) {
	text, whole := siteText(t), disk(t, "LWCCONF")
	packed := pack(t, whole)
	for name, c := range map[string]struct {
		image []byte
		text  []byte
		want  string
	}{
		"a wrong file":   {whole, []byte("token = \"x\"\n"), "line 1"},
		"no token":       {whole, bytes.Replace(text, []byte("token"), []byte("#"), 1), "token"},
		"no partition":   {disk(t, "OTHER"), text, "it has no partition LWCCONF"},
		"no table":       {make([]byte, diskSize), text, "it has no partition LWCCONF"},
		"empty":          {nil, text, "it has no partition LWCCONF"},
		"qcow2":          {[]byte("QFI\xfb and more"), text, "it is a qcow2: give a virtual machine the file on a volume"},
		"ova":            {append(make([]byte, 257), "ustar"...), text, "it is an OVA"},
		"gzip":           {[]byte("\x1f\x8b"), text, "unpack it first"},
		"cut off":        {packed[:len(packed)-9], text, "it is cut off: fetch it again"},
		"raw, cut off":   {whole[:partStart+fat.VolumeSize], text, fmt.Sprintf("it is cut off: it has %d bytes (5.0 MiB) of %d (6.0 MiB): download it again and unpack it whole", partStart+fat.VolumeSize, diskSize)},
		"raw, its start": {whole[:2*gpt.Sector], text, fmt.Sprintf("it is cut off: it has 1024 bytes (1.0 KiB) of %d", diskSize)},
		"packed cut off": {pack(t, whole[:diskSize-1]), text, "it is cut off: it has "},
		"damaged":        {append(bytes.Clone(packed[:len(packed)-4]), 1, 2, 3, 4), text, "compare the file with SHA256SUMS"},
		"no file system": {append(bytes.Clone(whole[:partStart]), make([]byte, diskSize-partStart)...), text, "not a FAT16 or FAT32 volume"},
	} {
		t.Run(name, func(t *testing.T) {
			image := file(t, "lwc.img", c.image)
			for _, out := range []string{"", filepath.Join(t.TempDir(), "out")} {
				result, err := Image(t.Context(), image, out, c.text)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%q, %v; wanted %q", result, err, c.want)
				}
				if now, _ := os.ReadFile(image); !bytes.Equal(now, c.image) {
					t.Error("the image was changed")
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(cmpOut(out, image)), "*")); len(left) != 0 && out != "" {
					t.Errorf("left behind: %v", left)
				}
			}
		})
	}
}

func cmpOut(out, image string) string {
	if out == "" {
		return image
	}
	return out
}

func TestResultsAreNotReplaced(t *testing.T) {
	text := siteText(t)
	packed, there := file(t, "lwc.img.zst", pack(t, disk(t, "LWCCONF"))), file(t, "there", []byte("mine"))
	if _, err := Image(t.Context(), packed, there, text); !errors.Is(err, ErrExists) {
		t.Errorf("image: %v", err)
	}
	if err := Volume(there, text); !errors.Is(err, ErrExists) {
		t.Errorf("volume: %v", err)
	}
	if b, _ := os.ReadFile(there); string(b) != "mine" {
		t.Error("it was replaced")
	}
}

// An image of the appliance is larger than its partitions reach: one that ends behind them
// has no room for those of the first start.
func TestAnImageWithoutItsEndIsCutOff(t *testing.T) {
	d := disk(t, "LWCCONF")
	e := d[2*gpt.Sector:]
	copy(e[gpt.Sector/4:], []byte("\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b")) // an ESP, UEFI 2.10 section 5.3.3
	e[gpt.Sector/4+16] = 2
	le := binary.LittleEndian
	le.PutUint64(e[gpt.Sector/4+32:], 40)
	le.PutUint64(e[gpt.Sector/4+40:], 41)
	h := d[gpt.Sector : gpt.Sector+92]
	le.PutUint32(h[88:], crc32.ChecksumIEEE(e[:128*128]))
	le.PutUint32(h[16:], 0)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	image, text := file(t, "lwc.img", d), siteText(t)
	for _, size := range []int64{diskSize, diskSize - 1, partStart} {
		if err := os.Truncate(image, size); err != nil {
			t.Fatal(err)
		}
		if _, err := Image(t.Context(), image, "", text); !errors.Is(err, ErrCutOff) || !strings.Contains(err.Error(), fmt.Sprintf("it has %d bytes (", size)) || !strings.Contains(err.Error(), "of 1073741824 (1.0 GiB)") {
			t.Errorf("cut off at %d: %v", size, err)
		}
	}
	if err := os.WriteFile(image, d, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, imageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := Image(t.Context(), image, "", text); err != nil {
		t.Errorf("whole: %v", err)
	}
	source, err := os.ReadFile("../build/collect.go")
	if err != nil || !strings.Contains(string(source), "const diskSize = 1 << 30\n") {
		t.Errorf("the build gives a disk another size: %v", err)
	}
}

// A result whose folder is not there is told with what to do.
func TestTheFolderOfAResult(t *testing.T) {
	text, image := siteText(t), file(t, "lwc.img", disk(t, "LWCCONF"))
	none, folder := filepath.Join(t.TempDir(), "none"), t.TempDir()
	for out, want := range map[string]string{
		filepath.Join(none, "box.img"):  "making " + filepath.Join(none, "box.img") + ": the folder " + none + " does not exist: make it first, or name another with --out",
		filepath.Join(image, "box.img"): "not a directory",
		folder:                          "making " + folder + ": it is a folder: name a file in it",
	} {
		if _, err := Image(t.Context(), image, out, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("image: %v, want %s", err, want)
		}
		if err := Volume(out, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("volume: %v, want %s", err, want)
		}
	}
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}

// What lies beside the result stays as it is, whatever it is called: it may be the image
// itself, of a download with the name of one that is not complete.
func TestNothingElseIsTouched(t *testing.T) {
	whole := disk(t, "LWCCONF")
	image := file(t, "lwc.img.part", whole)
	out := strings.TrimSuffix(image, ".part")
	if _, err := Image(t.Context(), image, out, siteText(t)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(image); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("the image was changed: %v", err)
	}
	judge(t, out, partStart, siteText(t))
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

// What is no image keeps its mode, too.
func TestARefusedImageKeepsItsMode(t *testing.T) {
	image := file(t, "lwc.img", disk(t, "OTHER"))
	before, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Image(t.Context(), image, "", siteText(t)); !errors.Is(err, ErrImage) {
		t.Fatal(err)
	}
	if now, err := os.Stat(image); err != nil || now.Mode() != before.Mode() {
		t.Errorf("%v, it was %v, %v", now.Mode(), before.Mode(), err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	packed, out := file(t, "lwc.img.zst", pack(t, disk(t, "LWCCONF"))), filepath.Join(t.TempDir(), "out")
	if _, err := Image(ctx, packed, out, siteText(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the result is there: %v", err)
	}
}

func TestVolume(t *testing.T) {
	text, path := siteText(t), filepath.Join(t.TempDir(), "conf.img")
	if err := Volume(path, text); err != nil {
		t.Fatal(err)
	}
	judge(t, path, 0, text)
	settings := filepath.Join(t.TempDir(), "settings.img")
	f, err := sitefile.Parse(sitefile.Name, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := Volume(settings, f.Settings()); err != nil {
		t.Errorf("settings without a token: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad.img")
	var problems sitefile.Problems
	if err := Volume(bad, []byte("x")); !errors.As(err, &problems) {
		t.Errorf("a wrong file: %v", err)
	}
	if _, err := os.Stat(bad); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
