// Wipe overwrites the state partition of the disk that the machine runs from, before
// systemd-repart makes it anew: the factory reset of the boot menu. A new file system
// alone would leave the identity's key and the settings readable below it.
//
// lwc-wipe.service calls it, when the kernel's command line asks for a factory reset.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run("/sys", "/dev"); err != nil {
		fmt.Fprintln(os.Stderr, "wipe:", err)
		os.Exit(1)
	}
}

// label is the name of the state partition (usr/lib/repart.d/30-state.conf).
const label = "lwc-state"

func run(sys, dev string) error {
	name, err := find(sys)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("there is no state partition yet: nothing to wipe")
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the state partition: %w", err)
	}
	n, err := zero(filepath.Join(dev, name))
	if err != nil {
		return fmt.Errorf("overwriting %s: %w", name, err)
	}
	fmt.Printf("%s is overwritten, %d bytes\n", name, n)
	return nil
}

// find returns the kernel's name of the state partition that is on the disk of the
// root: another disk may hold the state of another box.
func find(sys string) (string, error) {
	own, err := disks(sys)
	if err != nil {
		return "", err
	}
	devices, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if err != nil {
		return "", err
	}
	for _, d := range devices {
		text, err := os.ReadFile(filepath.Join(sys, "class/block", d.Name(), "uevent"))
		if err != nil || !slices.Contains(strings.Split(string(text), "\n"), "PARTNAME="+label) {
			continue
		}
		if disk, err := diskOf(sys, d.Name()); err == nil && slices.Contains(own, disk) {
			return d.Name(), nil
		}
	}
	return "", fs.ErrNotExist
}

// disks are the disks below the verified root: those of the parts of each mapped device.
func disks(sys string) ([]string, error) {
	slaves, err := filepath.Glob(filepath.Join(sys, "class/block/dm-*/slaves/*"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, s := range slaves {
		disk, err := diskOf(sys, filepath.Base(s))
		if err != nil {
			return nil, err
		}
		all = append(all, disk)
	}
	return all, nil
}

// diskOf returns the disk of a partition: in sysfs its folder is inside the disk's.
func diskOf(sys, partition string) (string, error) {
	full, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", partition))
	if err != nil {
		return "", err
	}
	return filepath.Base(filepath.Dir(full)), nil
}

// zero overwrites a device to its end, and waits until it is on the disk.
func zero(device string) (int64, error) {
	f, err := os.OpenFile(device, os.O_WRONLY|os.O_EXCL, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; {
		n, err := f.WriteAt(block[:min(int64(len(block)), size-at)], at)
		if err != nil {
			return at, err
		}
		at += int64(n)
	}
	if err := f.Sync(); err != nil {
		return size, err
	}
	return size, f.Close()
}
