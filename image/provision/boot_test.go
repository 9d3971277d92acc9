package provision_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"testing"
	"time"

	"lwc/image/boottest"
)

// A box keeps its settings over a power cut and without the stick; the second entry
// of the boot menu makes it forget them, and leaves nothing of them on the disk.
func TestImageProvision(t *testing.T) {
	disk := boottest.NewDisk(t, boottest.Image(t))
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	text, err := os.ReadFile("../sitefile/testdata/good.toml")
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`lwce1_[\w-]{40}`).Find(text)
	setting := []byte("52:54:00:12:34:57") // of the External Port; the other one is an example in the program
	if !bytes.Contains(text, setting) || holds(t, disk, setting) {
		t.Fatal("the image holds what is looked for, or the file does not")
	}
	stick := boottest.MakeVolume(t, "LWCCONF", map[string][]byte{"lwc.toml": text})
	vm := boottest.Start(t, boottest.Machine{Disk: disk, Volumes: []boottest.Volume{{ID: "stick", File: stick}}})
	wait := func(words string) {
		t.Helper()
		vm.WaitFor(ctx, regexp.MustCompile(words))
	}
	wait(`Settings +good, lwc.toml on LWCCONF \(sda\)`)
	vm.Detach(ctx, "stick")
	wait(`Settings +good, the settings that the box keeps`)
	restart := func() {
		t.Helper()
		vm.Mark()
		if err := vm.Reset(ctx); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	wait(`plug\s+the\s+volume\s+with\s+lwc.toml\s+in\s+again`)
	if !holds(t, disk, setting) {
		t.Error("the disk does not hold the settings")
	}
	if holds(t, disk, token) {
		t.Error("the disk holds the token")
	}
	restart()
	wait(`factory reset`)
	const down, enter = "j", "\r" // systemd-boot(7), "Key bindings": j goes down, and is one byte
	if err := vm.Type(down + enter); err != nil {
		t.Fatal(err)
	}
	wait(`WAITING FOR SETTINGS`)
	vm.Kill()
	if holds(t, disk, setting) {
		t.Error("the disk still holds the settings")
	}
}

// holds searches a whole disk.
func holds(t *testing.T, path string, what []byte) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for kept := 0; ; {
		n, err := f.Read(block[kept:])
		if bytes.Contains(block[:kept+n], what) {
			return true
		}
		if err == io.EOF {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = copy(block, block[max(0, kept+n-len(what)):kept+n])
	}
}
