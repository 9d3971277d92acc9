package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
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

// repository makes a git repository with one commit.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "a"}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "a"}} {
		if text, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, text)
		}
	}
	return dir
}

func TestImageToHandOutIsOfACommit(t *testing.T) {
	dir := repository(t)
	b := build{log: io.Discard}
	if err := b.source(t.Context(), dir); err != nil || b.dirty {
		t.Errorf("a clean tree: dirty %v, error %v", b.dirty, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.source(t.Context(), dir); err != nil || !b.dirty {
		t.Errorf("a changed tree, throw-away keys: dirty %v, error %v", b.dirty, err)
	}
	b.keys = "keys.pem"
	if err := b.source(t.Context(), dir); err == nil {
		t.Error("a changed tree is built with keys of releases")
	}
}

// outcome writes what mkosi leaves into the place of a build.
func outcome(t *testing.T, systemd string) *build {
	t.Helper()
	b := &build{options: options{version: "1.2.3", dist: t.TempDir(), cache: t.TempDir()}, work: t.TempDir(), tree: t.TempDir(), epoch: "1", log: io.Discard}
	for path, text := range map[string]string{
		filepath.Join(b.work, "out/lwc_1.2.3.manifest"):                           `{"packages":[{"name":"systemd","version":"` + systemd + `","architecture":"amd64"},{"name":"tar","version":"1:1.0","architecture":"all"}]}`,
		filepath.Join(b.work, "out/initrd.manifest"):                              `{"packages":[]}`,
		filepath.Join(b.tree, "mkosi.extra/usr/lib/lwc/release-keys"):             "keys",
		filepath.Join(b.cache, "tools/var/lib/dpkg/status"):                       "Package: mkosi\nVersion: 25.3-7\n\nPackage: zstd\nVersion: 1:1.5\n",
		filepath.Join(b.cache, "packages/cache/apt/archives/tar_1%3a1.0_all.deb"): "tar",
		filepath.Join(b.cache, listsFolder, "x_InRelease"):                        "list",
		filepath.Join(b.cache, "packages/cache/apt/archives/spare_1.0_all.deb"):   "spare",
		filepath.Join(b.dist, "lwc_1.2.3.img.zst"):                                "image",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestOtherSystemdIsRefused(t *testing.T) {
	for version, good := range map[string]bool{"257.13-1~deb13u1": true, "258.3-1": false, "25.7": false} {
		if err := outcome(t, version).pinned(); (err == nil) != good {
			t.Errorf("systemd %s: error %v", version, err)
		}
	}
}

func TestProvenanceNamesWhatTheBuildWasGiven(t *testing.T) {
	b := outcome(t, "257.13")
	b.dirty = true
	path, err := b.provenance(t.Context(), []string{b.result(".img.zst")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Subject) != 1 || s.Subject[0].Name != "lwc_1.2.3.img.zst" || s.Subject[0].Digest["sha256"] != sumOf([]byte("image")) {
		t.Errorf("the subject is %+v", s.Subject)
	}
	d := s.Predicate.BuildDefinition
	if d.InternalParameters["dirty"] != "true" || d.ExternalParameters["version"] != "1.2.3" {
		t.Errorf("parameters %v and %v", d.ExternalParameters, d.InternalParameters)
	}
	var names []string
	for _, r := range d.ResolvedDependencies {
		names = append(names, strings.TrimSpace(r.Name+" "+r.URI))
		if r.Name == "tar_1%3a1.0_all.deb" && r.Digest["sha256"] != sumOf([]byte("tar")) {
			t.Errorf("tar's digest is %v", r.Digest)
		}
	}
	all := strings.Join(names, "\n")
	for _, want := range []string{"release-keys", listsName, "tar_1%3a1.0_all.deb", "tools pkg:deb/debian/mkosi@25.3-7?", "tools pkg:deb/debian/zstd@1%3A1.5?"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among the inputs:\n%s", want, all)
		}
	}
	if strings.Contains(all, "spare") {
		t.Errorf("a package that is not in the image is among the inputs:\n%s", all)
	}
}

func TestVolumeForTheEngineer(t *testing.T) {
	dir := t.TempDir()
	if err := copyTree("../mkosi/mkosi.extra/usr/share/lwc/conf-template", dir); err != nil {
		t.Fatal(err)
	}
	b := build{}
	if err := b.stageVolume(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"README.txt": "lwc-example.toml", "lwc-example.toml": "[internal]"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) || strings.Count(string(text), "\n") != strings.Count(string(text), "\r\n") {
			t.Errorf("%s (%v) lacks %q or line ends of Windows:\n%s", name, err, want, text)
		}
	}
}
