package provision_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/image/gpt"
	"lwc/image/provision"
	"lwc/testdata/need"
)

// A box keeps its settings over a power cut and without the stick; the second entry
// of the boot menu makes it forget them, and leaves nothing of them on the disk. All the
// while there is another disk with a partition that bears the name of the box's own:
// nothing is read from it or written to it.
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
	foreign := boottest.MakePartition(t, provision.StatePartition)
	before, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	vm := boottest.Start(t, boottest.Machine{Disk: disk, Volumes: []boottest.Volume{{ID: "foreign", File: foreign, Virtio: true}, {ID: "stick", File: stick}}})
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
	if after, err := os.ReadFile(foreign); err != nil || !bytes.Equal(before, after) {
		t.Errorf("something was written to a foreign disk (%v)", err)
	}
	if n := reserved(t, disk); n == 0 {
		t.Error("a new state partition keeps no room for root")
	}
}

// The disk that stands for a foreign one is one that a box would take.
func TestForeignDisk(t *testing.T) {
	disk, err := os.ReadFile(boottest.MakePartition(t, provision.StatePartition))
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"front", "back"} {
		parts, err := gpt.Read(bytes.NewReader(disk), int64(len(disk)))
		p, found := gpt.Find(parts, provision.StatePartition)
		if !found || err != nil {
			t.Fatalf("with the table in %s: %+v, %v", where, parts, err)
		}
		// The magic number of ext4 is in its superblock, which begins at 1024 bytes.
		if magic := disk[p.Start+1024+56:][:2]; !bytes.Equal(magic, []byte{0x53, 0xef}) {
			t.Errorf("the file system begins with %x", magic)
		}
		clear(disk[512:1024]) // the table's header; there is another at the back
	}
}

// reserved is how many blocks of the state partition are root's alone.
func reserved(t *testing.T, disk string) int {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parts, err := gpt.Read(f, boottest.DiskSize)
	if err != nil {
		t.Fatal(err)
	}
	state, _ := gpt.Find(parts, provision.StatePartition)
	said, err := exec.Command(need.Program(t, "dumpe2fs"), "-h", disk+"?offset="+strconv.FormatInt(state.Start, 10)).Output()
	found := regexp.MustCompile(`(?m)^Reserved block count: +([0-9]+)$`).FindSubmatch(said)
	if err != nil || found == nil {
		t.Fatalf("looking at the state partition: %v: %s", err, said)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
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
