package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// machine makes a sysfs and devices: the root is on vda, another disk vdb holds the
// state of another box.
func machine(t *testing.T, partitions map[string]string) (sys, dev string) {
	t.Helper()
	sys, dev = t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
			t.Fatal(err)
		}
	}
	for name, partlabel := range partitions {
		folder := filepath.Join(sys, "devices/pci", name[:3], name)
		write(filepath.Join(folder, "uevent"), "DEVNAME="+name+"\nPARTNAME="+partlabel+"\n")
		link(folder, filepath.Join(sys, "class/block", name))
		write(filepath.Join(dev, name), "the key of "+name)
	}
	link("vda3", filepath.Join(sys, "devices/virtual/dm-0/slaves/vda3"))
	link(filepath.Join(sys, "devices/virtual/dm-0"), filepath.Join(sys, "class/block/dm-0"))
	return sys, dev
}

func TestOwnStateIsOverwritten(t *testing.T) {
	sys, dev := machine(t, map[string]string{"vda3": "lwc_1.2.3", "vda7": label, "vdb7": label})
	if err := run(sys, dev); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"vda7": make([]byte, len("the key of vda7")), "vdb7": []byte("the key of vdb7"), "vda3": []byte("the key of vda3")} {
		if got, err := os.ReadFile(filepath.Join(dev, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestBoxWithoutStateIsNoError(t *testing.T) {
	sys, dev := machine(t, map[string]string{"vda3": "lwc_1.2.3", "vdb7": label})
	if _, err := find(sys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is none", err)
	}
	if err := run(sys, dev); err != nil {
		t.Error(err)
	}
}
