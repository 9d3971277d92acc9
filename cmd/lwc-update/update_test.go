package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	next := newOrder("1.1.0")
	r.wants(t, next, waiting, "installed")
	if got := r.kernels(t); got != "lwc_1.0.0.efi lwc_1.1.0+3-0.efi other.efi" {
		t.Error(got)
	}
	r.becomes("1.0.0", false)
	r.counts(t, "1.1.0", "+0-3")
	r.wants(t, next, failed, "started 3 times and never came") // and not what was wrong in the trial before
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
	at, err := findSlot(disk, release.File{Role: release.Root, Name: rootName("1.1.0"), Size: 1}, "1.1.0")
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

// Regression: a release whose restart cannot be had is not started by the next power cut,
// after its job has failed.
func TestInstallWithoutRestart(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	r.spooled(t, "1.1.0", nil)
	r.systemctl = []string{"/bin/sh", "-c", `[ "$1" = stop ] || { echo no bus; exit 1; }`, "systemctl"}
	r.wants(t, newOrder("1.1.0"), failed, "no bus")
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
	if strings.Contains(r.called("systemctl"), "restart lwc") {
		t.Error("the machine restarts for nothing")
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
