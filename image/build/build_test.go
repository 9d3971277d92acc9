package main

import (
	"bytes"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	got := parseSources("http://deb.example/debian/ Debian\nhttp://deb.example/debian/ Debian\nhttp://deb.example/sec/ Debian-Security\nhttp://x.example Other\n")
	want := sources{{"http://deb.example/debian", "trixie"}, {"http://deb.example/debian", "trixie-updates"}, {"http://deb.example/sec", "trixie-security"}}
	if !slices.Equal(got, want) {
		t.Errorf("sources are %v, want %v", got, want)
	}
	if text := got.deb822("main"); strings.Count(text, "Types: deb\n") != 3 || !strings.Contains(text, "Suites: trixie-security\nComponents: main\nSigned-By: ") {
		t.Errorf("as deb822:\n%s", text)
	}
}

func TestVersionsOfImages(t *testing.T) {
	for version, good := range map[string]bool{"1.2.3": true, "0.0.1": true, "10.20.30000": true, "": false, "1.2": false, "v1.2.3": false, "1.02.3": false, "1.2.3-rc1": false, "1.2.3\n": false, "1.2.300000": false} {
		o := options{version: version}
		if err := o.complete(); (err == nil) != good {
			t.Errorf("version %q: error %v", version, err)
		}
	}
}

// elements lists the text of each element by its name.
func elements(t *testing.T, text []byte) map[string][]string {
	t.Helper()
	all, open := map[string][]string{}, ""
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = token.Name.Local
			for _, a := range token.Attr {
				all[open+"/"+a.Name.Local] = append(all[open+"/"+a.Name.Local], a.Value)
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" {
				all[open] = append(all[open], s)
			}
		}
	}
}

func TestDescriptorOfTheOVA(t *testing.T) {
	text, err := machine{"1.2.3", "disk.vmdk", 55, diskSize, 55}.ovf()
	if err != nil {
		t.Fatal(err)
	}
	got := elements(t, text)
	for name, want := range map[string][]string{
		"Connection": {"External", "Internal"}, "File/href": {"disk.vmdk"}, "Disk/capacity": {"1073741824"}, "Version": {"1.2.3"},
		"ResourceType": {"3", "4", "20", "17", "10", "10", "1"}, "ResourceSubType": {"AHCI", "E1000", "E1000", "vmware.vtpm"},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if i := slices.Index(got["Config/key"], "firmware"); i < 0 || got["Config/value"][i] != "efi" {
		t.Errorf("the firmware is not set to efi: %q %q", got["Config/key"], got["Config/value"])
	}
}

func TestImageIsGrownOnce(t *testing.T) {
	image := filepath.Join(t.TempDir(), "x.img")
	if err := os.WriteFile(image, []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := grow(image); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(image); err != nil || info.Size() != diskSize {
		t.Errorf("the image has %d bytes (%v)", info.Size(), err)
	}
	if err := os.Truncate(image, diskSize+1); err != nil {
		t.Fatal(err)
	}
	if err := grow(image); err == nil {
		t.Error("an image that is too large is accepted")
	}
}

// TestPrivateKeyNeverGetsIntoAnImage: an image is public.
func TestPrivateKeyNeverGetsIntoAnImage(t *testing.T) {
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	for name, c := range map[string]struct {
		text []byte
		good bool
	}{"public": {public, true}, "private": {private, false}, "both": {slices.Concat(public, private), false}, "nothing": {nil, false}} {
		b := build{options: options{keys: filepath.Join(t.TempDir(), "keys.pem")}, tree: t.TempDir(), log: io.Discard}
		if err := os.WriteFile(b.keys, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(b.tree, "mkosi.extra/usr/lib/lwc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := b.stageKeys(); (err == nil) != c.good {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestKeysOfTestsStay(t *testing.T) {
	b := build{options: options{cache: t.TempDir()}}
	first, err := b.throwAwayKeys()
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.throwAwayKeys()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := os.ReadFile(second); err != nil || !bytes.Equal(one, two) {
		t.Errorf("the second time other keys: %v", err)
	}
}

func TestImageThatIsTooLargeIsRefused(t *testing.T) {
	var log strings.Builder
	b := build{options: options{dist: t.TempDir(), version: "1.2.3"}, log: &log}
	for _, c := range []struct {
		size int64
		line string
		good bool
	}{{52_400_000, "goal image-zst-mb 52.4 100 ok\n", true}, {maxPacked + 1, "goal image-zst-mb 100.0 100 short\n", false}} {
		log.Reset()
		f, err := os.Create(b.result(".img.zst"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(c.size), f.Close()); err != nil {
			t.Fatal(err)
		}
		if err := b.weigh(); (err == nil) != c.good || log.String() != c.line {
			t.Errorf("%d bytes: %q, error %v", c.size, log.String(), err)
		}
	}
}
