package boottest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"lwc/testdata/need"
)

// Volume is a small disk that is put into a machine beside its own: a USB stick,
// or a disk of a hypervisor.
type Volume struct {
	// ID names it: letters and digits.
	ID string
	// File is its raw content, which the machine changes.
	File string
	// Virtio makes it a disk of a hypervisor, of which there is room for one; else it is
	// a USB stick.
	Virtio bool
	// ReadOnly is a volume that the machine cannot write to, as a hypervisor's seed is.
	ReadOnly bool
}

// Attach puts a volume into the running machine.
func (vm *VM) Attach(ctx context.Context, v Volume) {
	vm.t.Helper()
	if err := vm.attach(ctx, v); err != nil {
		vm.t.Fatalf("attaching volume %s: %v", v.ID, err)
	}
}

func (vm *VM) attach(ctx context.Context, v Volume) error {
	drive := map[string]any{"node-name": "drive-" + v.ID, "driver": "raw", "read-only": v.ReadOnly,
		"file": map[string]any{"driver": "file", "filename": v.File}}
	if _, err := vm.QMP(ctx, "blockdev-add", drive); err != nil {
		return err
	}
	device := map[string]any{"id": v.ID, "driver": "usb-storage", "bus": "usb.0", "drive": "drive-" + v.ID, "removable": true}
	if v.Virtio {
		device = map[string]any{"id": v.ID, "driver": "virtio-blk-pci", "bus": "bay", "drive": "drive-" + v.ID}
	}
	if _, err := vm.QMP(ctx, "device_add", device); err != nil {
		return err
	}
	vm.volumes[v.ID] = v
	return nil
}

// Detach pulls a stick out, without a word before.
func (vm *VM) Detach(ctx context.Context, id string) {
	vm.t.Helper()
	mark := vm.qmp.eventMark()
	_, err := vm.QMP(ctx, "device_del", map[string]any{"id": id})
	if err == nil {
		err = vm.qmp.await(ctx, "DEVICE_DELETED", id, mark)
	}
	if err == nil {
		_, err = vm.QMP(ctx, "blockdev-del", map[string]any{"node-name": "drive-" + id})
	}
	if err != nil {
		vm.t.Fatalf("detaching volume %s: %v", id, err)
	}
	delete(vm.volumes, id)
}

// SwapVolume pulls the stick of that id out, if there is one, and puts the next
// one in, which has another content.
func (vm *VM) SwapVolume(ctx context.Context, next Volume) {
	vm.t.Helper()
	if _, in := vm.volumes[next.ID]; in {
		vm.Detach(ctx, next.ID)
	}
	vm.Attach(ctx, next)
}

// MakeVolume makes a FAT volume of 8 MiB with that label and those files, and
// returns its path. mkfs.vfat takes labels of at most 11 characters.
func MakeVolume(t testing.TB, label string, files map[string][]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "volume.img")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	// -I: the whole volume is a file system, without a table of partitions.
	run(t, need.Program(t, "mkfs.vfat"), "-I", "-n", label, file)
	for name, text := range files {
		PutFile(t, file, 0, name, text)
	}
	return file
}

// PutFile writes a file into the FAT file system that begins at an offset of a
// disk or volume, in place of one of that name.
func PutFile(t testing.TB, disk string, offset int64, name string, text []byte) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(from, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, need.Program(t, "mcopy"), "-i", disk+"@@"+strconv.FormatInt(offset, 10), "-D", "o", from, "::"+name)
}

// GetFile reads a file of the FAT file system that begins at an offset of a disk
// or volume.
func GetFile(t testing.TB, disk string, offset int64, name string) []byte {
	t.Helper()
	return run(t, need.Program(t, "mcopy"), "-i", disk+"@@"+strconv.FormatInt(offset, 10), "::"+name, "-")
}

// run runs a program to its end, and returns its standard output.
func run(t testing.TB, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok {
			said = exit.Stderr
		}
		t.Fatalf("running %s %q: %v: %s%s", program, args, err, out, said)
	}
	return out
}
