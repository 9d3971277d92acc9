package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/image/release"
	"lwc/image/verity/veritytest"
	"lwc/testdata/need"
	"lwc/transport/wire"
)

// rig is an appliance in a folder: release 1.0.0 runs, the other slot is empty.
type rig struct {
	*box
	dir string
	key ed25519.PrivateKey
	// from gives a file of a release the content of another version's.
	from map[release.Role]string
}

// newRig makes one whose programs of systemd do nothing but note that they were
// called.
func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{dir: dir, key: key, box: &box{version: "1.0.0", boot: "first boot", keys: filepath.Join(dir, "keys"), spool: filepath.Join(dir, "spool"),
		work: filepath.Join(dir, "work"), state: filepath.Join(dir, "state"), run: filepath.Join(dir, "run"), variables: filepath.Join(dir, "efivars"),
		esp: []string{filepath.Join(dir, "efi"), filepath.Join(dir, "esp")}, forget: []string{filepath.Join(dir, "lwcd"), filepath.Join(dir, "state")},
		disk: func() (string, error) { return filepath.Join(dir, "disk.img"), nil }}}
	r.sysupdate, r.systemctl = r.noting("sysupdate"), r.noting("systemctl")
	for _, sub := range []string{"spool", "work", "state", "run", "efivars", "efi", "esp/EFI/Linux", "lwcd"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text, err := release.MarshalKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "keys", text)
	r.write(t, "esp/EFI/Linux/lwc_1.0.0.efi", []byte("one"))
	r.write(t, "esp/EFI/Linux/other.efi", []byte("not ours"))
	return r
}

// noting is a program that writes its arguments down.
func (r *rig) noting(name string) []string {
	return []string{"/bin/sh", "-c", `echo "$@" >> ` + filepath.Join(r.dir, name+".log"), name}
}

func (r *rig) write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) called(name string) string {
	text, _ := os.ReadFile(filepath.Join(r.dir, name+".log")) // none: never called
	return string(text)
}

// entries lists EFI/Linux.
func (r *rig) kernels(t *testing.T) string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(r.dir, "esp/EFI/Linux"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// noise is a part of a release; a third of it is zeros, as in a slot.
func noise(version string, role release.Role, size int) []byte {
	b := make([]byte, size)
	var seed [32]byte
	copy(seed[:], version+string(role))
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	clear(b[size/3 : size*2/3])
	return b
}

// rootBytes is what the root of a test's release has.
const rootBytes = 5 << 20

// hashesOf are the hashes of a version's root, and their hash.
func hashesOf(version string) (hashes []byte, hash string) {
	return veritytest.Tree(noise(version, release.Root, rootBytes))
}

// rootName is the file of a version's root.
func rootName(version string) string {
	_, hash := hashesOf(version)
	return "lwc_" + version + ".root-" + hash[:32] + ".raw"
}

// content is that of a version's file.
func content(version string, role release.Role) []byte {
	hashes, hash := hashesOf(version)
	switch role {
	case release.Root:
		return noise(version, role, rootBytes)
	case release.Verity:
		return append(hashes, make([]byte, 1<<20-len(hashes))...)
	}
	return append(veritytest.Kernel("quiet roothash="+hash), noise(version, role, 3<<20+7)...)
}

// spooled puts a release into the spool, as the collector half does.
func (r *rig) spooled(t *testing.T, version string, change func(*release.Manifest)) release.Manifest {
	t.Helper()
	m := release.Manifest{V: release.Format, Version: version, Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}
	_, hash := hashesOf(version)
	for role, name := range map[release.Role]string{release.Root: rootName(version), release.Verity: "lwc_" + version + ".verity-" + hash[32:] + ".raw", release.UKI: "lwc_" + version + ".efi"} {
		var packed bytes.Buffer
		f, err := release.Pack(t.Context(), &packed, bytes.NewReader(content(cmp.Or(r.from[role], version), role)), role, name)
		if err != nil {
			t.Fatal(err)
		}
		r.write(t, "spool/"+f.PackedName, packed.Bytes())
		m.Files = append(m.Files, f)
	}
	slices.SortFunc(m.Files, func(a, b release.File) int {
		return slices.Index(release.Roles(), a.Role) - slices.Index(release.Roles(), b.Role)
	})
	if change != nil {
		change(&m)
	}
	signed, err := release.Sign(m, r.key)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "spool/"+release.ManifestName, signed)
	return m
}

// order hands an order over, and returns the last word with all that was said before.
func (r *rig) order(t *testing.T, o order) (last said, before []string) {
	t.Helper()
	o.V = 1
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := r.serve(ctx, bytes.NewReader(append(text, '\n')), &out); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for line := range strings.Lines(out.String()) {
		before = append(before, last.Text)
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatal(err)
		}
	}
	return last, before
}

// wants fails unless the last word is that.
func (r *rig) wants(t *testing.T, o order, state, words string) {
	t.Helper()
	last, before := r.order(t, o)
	if last.State != state || !strings.Contains(last.Text, words) {
		t.Fatalf("%+v after %q, want %s: %s", last, before, state, words)
	}
}

// becomes is the restart into another release, or the same again.
func (r *rig) becomes(version string, counted bool) {
	b := *r.box
	b.version, b.boot = version, fmt.Sprintf("%s and the next", r.boot)
	r.box = &b
	name := filepath.Join(r.variables, "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
	_ = os.Remove(name) // it may not be there
	if counted {
		_ = os.WriteFile(name, nil, 0o600) // shown by what is found out then
	}
}

func newOrder(version string) order {
	return order{Job: wire.NewID(), Release: version, Files: "there"}
}

// withSystemd gives the rig a disk with two slots, and the systemd-sysupdate of the
// image for it, run in the tools that the image is built with.
func (r *rig) withSystemd(t *testing.T) {
	t.Helper()
	need.Root(t)
	tools, given := os.LookupEnv("LWC_IMAGE_TOOLS") // make image-test-update sets it
	if !given {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		tools = filepath.Join(cache, "lwc-image", "tools")
	}
	if _, err := os.Stat(filepath.Join(tools, "usr/lib/systemd/systemd-sysupdate")); err != nil {
		if given {
			t.Fatalf("LWC_IMAGE_TOOLS=%s holds no systemd-sysupdate", tools)
		}
		t.Skipf("NOT RUN: it needs the systemd of the image, which make image brings")
	}
	r.transfers(t)
	at := filepath.Join(r.dir, "root")
	script := "#!/bin/sh\nset -e\nmkdir -p " + at + "\nmount --bind " + tools + " " + at + "\nmount -t tmpfs none " + at + "/mnt\nmkdir " + at + "/mnt/box\n" +
		"mount --bind " + r.dir + " " + at + "/mnt/box\nmount -t proc none " + at + "/proc\nmount --bind /dev " + at + "/dev\nmount -t tmpfs none " + at + "/run\n" +
		"mount -t tmpfs none " + at + "/var/tmp\nexec chroot " + at + " \"$@\"\n"
	r.write(t, "inside", []byte(script))
	inside := []string{"/usr/bin/unshare", "-m", "/bin/sh", filepath.Join(r.dir, "inside")}
	make := append(inside[1:len(inside):len(inside)], "/usr/bin/systemd-repart", "--empty=create", "--size=64M", "--dry-run=no", "--offline=yes", "--definitions=/mnt/box/repart", "/mnt/box/disk.img")
	if out, err := exec.CommandContext(t.Context(), inside[0], make...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.sysupdate = append(inside, "/usr/lib/systemd/systemd-sysupdate", "--definitions=/mnt/box/sysupdate", "--verify=no")
}

// transfers writes the image's own transfers with other paths, and the partitions.
func (r *rig) transfers(t *testing.T) {
	t.Helper()
	for _, sub := range []string{"repart", "sysupdate"} {
		if err := os.Mkdir(filepath.Join(r.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	paths := strings.NewReplacer("/run/lwc/update", "/mnt/box/work", "Path=auto", "Path=/mnt/box/disk.img", "Path=/EFI/Linux", "Path=/mnt/box/esp/EFI/Linux",
		"PathRelativeTo=boot\n", "", "ProtectVersion=%A", "ProtectVersion="+r.version)
	for _, name := range []string{"10-root", "11-verity", "20-uki"} {
		text, err := os.ReadFile(filepath.Join("../../image/mkosi/mkosi.extra/usr/lib/sysupdate.d", name+".transfer"))
		if err != nil {
			t.Fatal(err)
		}
		r.write(t, "sysupdate/"+name+".transfer", []byte(paths.Replace(string(text))))
	}
	for i, p := range []string{"root lwc_1.0.0 8M", "root-verity lwc_1.0.0 2M", "root _empty 8M", "root-verity _empty 2M"} {
		f := strings.Fields(p)
		r.write(t, fmt.Sprintf("repart/%d.conf", i), fmt.Appendf(nil, "[Partition]\nType=%s\nLabel=%s\nSizeMinBytes=%s\nSizeMaxBytes=%s\n", f[0], f[1], f[2], f[2]))
	}
}

// counts gives the entry of a version other counters.
func (r *rig) counts(t *testing.T, version, counters string) {
	t.Helper()
	e, there, err := r.entry(version)
	if err != nil || !there {
		t.Fatal(err, "no entry of "+version)
	}
	folder := filepath.Join(r.dir, "esp/EFI/Linux")
	if err := os.Rename(filepath.Join(folder, e.Name), filepath.Join(folder, "lwc_"+version+counters+".efi")); err != nil {
		t.Fatal(err)
	}
}
