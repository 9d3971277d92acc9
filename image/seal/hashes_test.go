package seal

import (
	"context"
	"os"
	"testing"
	"time"

	"lwc/image/boottest"
)

// hashesTime is far below the ten minutes that a root that does not come is waited for.
const hashesTime = 4 * time.Minute

// TestImageBrokenHashes takes the beginning of the root's hashes away, as a disk does that
// lost what was written: nothing can be compared with them. The box starts again at once,
// so that the boot loader gets to the release before.
func TestImageBrokenHashes(t *testing.T) {
	disk := boottest.NewDisk(t, boottest.Image(t))
	d, err := openDisk(disk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 4096), d.verity.Start); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hashesTime)
	defer cancel()
	began := time.Now()
	vm := boottest.Start(t, boottest.Machine{Disk: disk, NoReboot: true})
	select {
	case <-vm.Done():
		t.Logf("it starts again after %v", time.Since(began).Round(time.Second))
	case <-ctx.Done():
		t.Errorf("it does not start again\n%s", vm.Tail())
	}
	if running.MatchString(vm.Console()) {
		t.Errorf("the box worked without hashes\n%s", vm.Tail())
	}
}
