package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/image/trial"
	"lwc/transport/wire"
)

// A release goes into the free slot by the systemd of the image, is started on trial,
// and found good; the next one takes the slot of the first.
func TestInstall(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	o := newOrder("1.1.0")
	o.Files = ""
	r.wants(t, o, fetch, "has to be downloaded")
	o.Files = "there"
	r.spooled(t, "1.1.0", nil)
	r.wants(t, o, waiting, "release 1.1.0 is installed, the machine restarts now")
	if got := r.kernels(t); got != "lwc_1.0.0.efi lwc_1.1.0+3-0.efi other.efi" {
		t.Error(got)
	}
	if list, _ := os.ReadDir(r.spool); len(list) != 1 {
		t.Errorf("the spool was not emptied: %v", list)
	}
	// lwcd asks again before the restart.
	o.Files = ""
	r.wants(t, o, waiting, "installed")

	r.becomes("1.1.0", true)
	r.counts(t, "1.1.0", "+2-1")
	r.wants(t, newOrder("1.2.0"), failed, "is on trial")
	renamed := make(chan error, 1)
	go func() { // while it waits
		folder := filepath.Join(r.dir, "esp/EFI/Linux")
		renamed <- os.Rename(filepath.Join(folder, "lwc_1.1.0+2-1.efi"), filepath.Join(folder, "lwc_1.1.0.efi"))
	}()
	r.wants(t, o, done, "release 1.1.0 runs, and was found good")
	if err := <-renamed; err != nil {
		t.Fatal(err)
	}
	r.wants(t, o, done, "found good")
	r.wants(t, newOrder("1.1.0"), done, "runs already")

	r.becomes("1.1.0", false)
	r.transfersOf(t)
	r.spooled(t, "1.2.0", nil)
	r.wants(t, newOrder("1.2.0"), waiting, "installed")
	if got := r.kernels(t); got != "lwc_1.1.0.efi lwc_1.2.0+3-0.efi other.efi" {
		t.Error(got)
	}
	if got := r.called("systemctl"); strings.Count(got, "--no-block restart lwc-restart.service\n") != 3 {
		t.Error(got)
	}
}

// transfersOf protects the version that runs now, as ProtectVersion=%A does.
func (r *rig) transfersOf(t *testing.T) {
	t.Helper()
	for _, sub := range []string{"repart", "sysupdate"} {
		if err := os.RemoveAll(filepath.Join(r.dir, sub)); err != nil {
			t.Fatal(err)
		}
	}
	r.transfers(t)
}

// A release that was started and is not there any more was rolled back, and the reason
// is the gate's where it gave one. The same release can be tried again.
func TestRollBack(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	r.wants(t, o, waiting, "installed")
	r.becomes("1.0.0", false)
	r.counts(t, "1.1.0", "+0-3")
	r.wants(t, o, failed, "rolled back to 1.0.0: release 1.1.0 was not found good: it was started 3 times")
	if err := trial.SaveFault(r.state, trial.Fault{Version: "1.1.0", Text: "within 5m0s: the two ports are down"}); err != nil {
		t.Fatal(err)
	}
	r.wants(t, o, failed, "rolled back to 1.0.0: release 1.1.0 was not found good: within 5m0s: the two ports are down")
	r.spooled(t, "1.1.0", nil)
	r.wants(t, newOrder("1.1.0"), waiting, "installed")
	if got := r.kernels(t); got != "lwc_1.0.0.efi lwc_1.1.0+3-0.efi other.efi" {
		t.Error(got)
	}
	r.becomes("1.0.0", false)
	o.Files = ""
	r.wants(t, o, fetch, "") // an old job whose result is forgotten is a new one
}

// What a power cut leaves in the free slot is in nobody's way.
func TestCutOff(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	o := newOrder("1.1.0")
	for _, cut := range []func(){
		func() { r.wipe(t, "lwc_1.1.0+3-0.efi") }, // slots written, no entry
		func() { // an entry half written
			r.wipe(t, "lwc_1.1.0+3-0.efi")
			r.write(t, "esp/EFI/Linux/.#sysupdatelwc_1.1.0+3-0.efi4711", []byte("half"))
		},
		func() { r.spoil(t) }, // an entry, and a slot of another release
	} {
		r.spooled(t, "1.1.0", nil)
		r.wants(t, o, waiting, "installed")
		cut()
		r.becomes("1.0.0", false)
		o.Job = wire.NewID()
	}
	r.spooled(t, "1.1.0", nil)
	r.wants(t, o, waiting, "installed")
	if got := r.kernels(t); got != "lwc_1.0.0.efi lwc_1.1.0+3-0.efi other.efi" {
		t.Error(got)
	}
}

// A note that is damaged keeps no box from its updates for good.
func TestDamagedNotes(t *testing.T) {
	r := newRig(t)
	r.write(t, "state/"+trial.PendingFile, []byte(`{"v":1,"jo`))
	r.write(t, "state/"+floorFile, []byte("\x00\x00"))
	o := newOrder("1.1.0")
	o.Files = ""
	r.wants(t, o, fetch, "has to be downloaded")
	o.Files = "there"
	r.wants(t, o, failed, "nothing was changed")
	if got, err := r.lowest(); err != nil || got != "1.0.0" {
		t.Errorf("the floor is %s, %v", got, err)
	}
	remove(t, filepath.Join(r.state, trial.PendingFile))
	if err := os.Mkdir(filepath.Join(r.state, trial.PendingFile), 0o700); err != nil {
		t.Fatal(err)
	}
	r.wants(t, o, failed, "is a directory") // of a disk that fails nothing is believed
}

func (r *rig) wipe(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(r.dir, "esp/EFI/Linux", name)); err != nil {
		t.Fatal(err)
	}
}

// spoil changes a byte of the root file system in the slot.
func (r *rig) spoil(t *testing.T) {
	t.Helper()
	disk := filepath.Join(r.dir, "disk.img")
	at, err := findSlot(disk, release.File{Role: release.Root, Name: "lwc_1.1.0.root-" + rootID + ".raw", Size: 1}, "1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{0xff, 0, 0xff}, at+1000)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
}

// A disk that does not keep what was written is found out, and the boot loader never
// hears of the release.
func TestDiskThatForgets(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	m := r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	r.wants(t, o, waiting, "installed")
	r.spoil(t)
	if err := r.compare(t.Context(), m); err == nil || !strings.Contains(err.Error(), "the root on the disk is not what was written") {
		t.Errorf("%v", err)
	}
	real := r.disk
	r.spooled(t, "1.1.0", nil)
	r.becomes("1.0.0", false)
	r.disk = func() (string, error) { r.spoil(t); return real() }
	r.wants(t, newOrder("1.1.0"), failed, "is not what was written")
	if got := r.kernels(t); got != "lwc_1.0.0.efi other.efi" {
		t.Error(got)
	}
}

// What systemd-sysupdate left when it failed is never started.
func TestInstallThatFails(t *testing.T) {
	r := newRig(t)
	r.spooled(t, "1.1.0", nil)
	entry := filepath.Join(r.dir, "esp/EFI/Linux/lwc_1.1.0+3-0.efi")
	r.sysupdate = []string{"/bin/sh", "-c", `[ "$1" != update ] || { echo half > ` + entry + `; echo no room; exit 1; }`, "sysupdate"}
	r.wants(t, newOrder("1.1.0"), failed, "no room")
	if got := r.kernels(t); got != "lwc_1.0.0.efi other.efi" {
		t.Error(got)
	}
	if r.called("systemctl") != "" {
		t.Error("the machine restarts for nothing")
	}
}

// Whatever is wrong with a release or with the spool: nothing is written, and no
// program that could write is called.
func TestRefused(t *testing.T) {
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	spool := func(r *rig, name string) string { return filepath.Join(r.spool, name) }
	root := "lwc_1.1.0.root-" + rootID + ".raw.zst"
	for _, c := range []struct {
		about, words string
		version      string
		manifest     func(*release.Manifest)
		spool        func(t *testing.T, r *rig)
	}{
		{"older", "release 0.9.0 is not newer than 1.0.0", "0.9.0", nil, nil},
		{"below the floor", "release 1.1.0 is older than 1.2.0, which was good here once", "1.1.0", nil, func(t *testing.T, r *rig) {
			if err := trial.Save(r.state, floorFile, floor{1, "1.2.0"}); err != nil {
				t.Fatal(err)
			}
		}},
		{"a step too far", "install 1.0.5 first", "1.1.0", func(m *release.Manifest) { m.Floor = "1.0.5" }, nil},
		{"another release", "release 1.1.0 was asked for, the manifest is of 1.3.0", "1.3.0", nil, nil},
		{"no manifest", "no such file", "1.1.0", nil, func(t *testing.T, r *rig) { remove(t, spool(r, release.ManifestName)) }},
		{"unsigned", "not signed by a key that is trusted", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, release.ManifestName), func(b []byte) []byte { return bytes.Replace(b, []byte(`"sig"`), []byte(`"sic"`), 1) })
		}},
		{"of another key", "not signed by a key that is trusted", "1.1.0", nil, func(t *testing.T, r *rig) {
			r.key = stranger
			r.spooled(t, "1.1.0", nil)
		}},
		{"manifest cut off", "not signed", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, release.ManifestName), func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"tampered", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}},
		{"truncated", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{"longer", "not the file of the release", "1.1.0", nil, func(t *testing.T, r *rig) {
			change(t, spool(r, root), func(b []byte) []byte { return append(b, 0) })
		}},
		{"a file missing", "no such file", "1.1.0", nil, func(t *testing.T, r *rig) { remove(t, spool(r, "lwc_1.1.0.efi.zst")) }},
		{"a link", "path escapes from parent", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := os.Symlink(r.keys, spool(r, root)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a pipe", "is no file", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := unix.Mkfifo(spool(r, root), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a folder", "is no file", "1.1.0", nil, func(t *testing.T, r *rig) {
			remove(t, spool(r, root))
			if err := os.Mkdir(spool(r, root), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := newRig(t)
			r.spooled(t, c.version, c.manifest)
			if c.spool != nil {
				c.spool(t, r)
			}
			o := newOrder(c.version)
			if c.about == "another release" {
				o.Release = "1.1.0"
			}
			r.wants(t, o, failed, c.words)
			if r.called("sysupdate") != "" || r.called("systemctl") != "" || r.kernels(t) != "lwc_1.0.0.efi other.efi" {
				t.Errorf("something was begun: %q %q %s", r.called("sysupdate"), r.called("systemctl"), r.kernels(t))
			}
			if _, err := os.Stat(filepath.Join(r.state, trial.PendingFile)); err == nil {
				t.Error("it is noted as pending")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, how(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A start that is due later waits; the words say when.
func TestRestartAt(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	o.RebootAt = time.Now().Add(3 * time.Hour).Truncate(time.Second)
	r.wants(t, o, waiting, "the machine restarts at "+o.RebootAt.UTC().Format(time.RFC3339))
	var p pending
	if err := trial.Load(r.state, trial.PendingFile, &p); err != nil || p.RebootAt != o.RebootAt.Unix() || p.From != "1.0.0" {
		t.Errorf("%+v, %v", p, err)
	}
	r.becomes("1.0.0", false)
	r.wants(t, o, failed, "the boot loader started 1.0.0 again")
}

// After the window nothing is installed; what was installed within it tells its result.
func TestWindow(t *testing.T) {
	r := newRig(t)
	r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	o.RebootBefore = time.Now().Add(-time.Second)
	r.wants(t, o, failed, "the window closed while the release was loading: it goes on in the next one")
	if r.called("sysupdate") != "" || r.called("systemctl") != "" {
		t.Error("something was begun")
	}
	if err := trial.Save(r.state, trial.PendingFile, pending{V: 1, Job: o.Job, Version: "1.0.0", From: "0.9.0"}); err != nil {
		t.Fatal(err)
	}
	r.wants(t, o, done, "found good")
}

// A factory reset has the firmware remember first, then overwrites, and restarts.
func TestReset(t *testing.T) {
	r := newRig(t)
	r.write(t, "lwcd/key.pem", []byte("the key"))
	r.write(t, "esp/EFI/Linux/lwc_0.9.0.efi", []byte("good once"))
	r.write(t, "esp/EFI/Linux/lwc_1.1.0+3-0.efi", []byte("not started yet"))
	r.write(t, "state/"+floorFile, []byte("{}"))
	r.wants(t, order{Job: wire.NewID(), Reset: true}, waiting, "restarts as a new one")
	for _, dir := range []string{"lwcd", "state"} {
		if list, err := os.ReadDir(filepath.Join(r.dir, dir)); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	}
	if got := r.kernels(t); got != "lwc_0.9.0.efi lwc_1.0.0.efi other.efi" {
		t.Error(got)
	}
	got, err := os.ReadFile(filepath.Join(r.variables, resetVariable))
	if err != nil || string(got) != "\x07\x00\x00\x00t\x00r\x00u\x00e\x00\x00\x00" {
		t.Errorf("%q, %v", got, err)
	}
	// Asked once more before the restart, with the variable that nobody can write.
	if err := os.Chmod(filepath.Join(r.variables, resetVariable), 0o400); err != nil {
		t.Fatal(err)
	}
	r.wants(t, order{Job: wire.NewID(), Reset: true}, waiting, "restarts as a new one")
	if r.called("systemctl") != "--no-block reboot\n--no-block reboot\n" {
		t.Errorf("%q", r.called("systemctl"))
	}
}

// Once the firmware remembers, the machine restarts, however long the rest takes.
func TestResetRestarts(t *testing.T) {
	r := newRig(t)
	r.write(t, "lwcd/key.pem", []byte("the key"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	last, err := r.reset(ctx, mouth{io.Discard})
	if err != nil || last.State != waiting || !strings.Contains(last.Text, "some of it did not work") {
		t.Errorf("%+v, %v", last, err)
	}
	if r.called("systemctl") != "--no-block reboot\n" {
		t.Errorf("%q", r.called("systemctl"))
	}
}

// A variable that the firmware had no room for is there, and empty, until the restart.
func TestResetThatTheFirmwareDidNotTake(t *testing.T) {
	r := newRig(t)
	r.write(t, "lwcd/key.pem", []byte("the key"))
	r.write(t, "efivars/"+resetVariable, nil)
	r.wants(t, order{Job: wire.NewID(), Reset: true}, failed, "boot menu")
	if _, err := os.Stat(filepath.Join(r.dir, "lwcd/key.pem")); err != nil {
		t.Errorf("a reset that does not come has begun: %v", err)
	}
}

// The floor rises with what was found good, and never sinks.
func TestFloor(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ runs, floor string }{{"1.0.0", "1.0.0"}, {"1.2.0", "1.2.0"}, {"1.1.0", "1.2.0"}, {"1.10.0", "1.10.0"}} {
		r.version = c.runs
		if err := r.blessed(); err != nil {
			t.Fatal(err)
		}
		if got, err := r.lowest(); err != nil || got != c.floor {
			t.Errorf("%s: %s, %v", c.runs, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(r.run, "blessed")); err != nil {
		t.Error(err)
	}
}
