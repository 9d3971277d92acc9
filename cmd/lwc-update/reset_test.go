package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/transport/wire"
)

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

// Regression: a reset during a trial waits for the verdict. Emptied at once, the release
// would be found bad, and the box fall back to the one before.
func TestResetDuringATrial(t *testing.T) {
	r := newRig(t)
	r.write(t, "lwcd/key.pem", []byte("the key"))
	r.becomes("1.1.0", true)
	r.write(t, "esp/EFI/Linux/lwc_1.1.0+2-1.efi", []byte("on trial"))
	ctx, cancel := context.WithCancelCause(t.Context())
	heard := told{each: make(chan string, 8)}
	ended := make(chan error, 1)
	go func() {
		_, err := r.reset(ctx, mouth{heard})
		ended <- err
	}()
	if got := <-heard.each; !strings.Contains(got, "release 1.1.0 runs on trial") {
		t.Error(got)
	}
	cancel(errors.New("long enough"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "nothing was changed: the factory reset waited for the trial of a release to end: long enough") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(r.variables, resetVariable)); err == nil || r.called("systemctl") != "" {
		t.Error("it has begun")
	}
	if text, err := os.ReadFile(filepath.Join(r.dir, "lwcd/key.pem")); err != nil || string(text) != "the key" {
		t.Errorf("%q, %v", text, err)
	}
	r.counts(t, "1.1.0", "")
	r.wants(t, order{Job: wire.NewID(), Reset: true}, waiting, "restarts as a new one")
}

// told passes on each line that was said.
type told struct{ each chan string }

func (w told) Write(p []byte) (int, error) {
	w.each <- string(p)
	return len(p), nil
}
