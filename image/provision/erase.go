package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// StatePartition is what the partition table calls the partition of /state.
const StatePartition = "lwc-state"

// maxState bounds what Erase overwrites: the partition has 64 MiB.
const maxState = 1 << 30

// ErrPartition says that the partition to erase is not there, or not to be told
// from another one.
var ErrPartition = errors.New("the partition cannot be told")

// ErrNothing says that the box's own disk has no partition of that name: it was flashed
// anew, or a reset before this one was cut off when it had removed it.
var ErrNothing = errors.New("the disk has no such partition")

// Erase overwrites a partition of the box's own disk with zeros: the first part of a
// factory reset, before anything is mounted. Making a file system anew would leave
// the old blocks on a disk that does not discard them. The error is ErrNothing where
// there is nothing to erase.
func (k Kernel) Erase(ctx context.Context, partition string) error {
	name, err := k.find(partition)
	if err != nil {
		return fmt.Errorf("erasing %s: %w", partition, err)
	}
	size, err := k.size(name)
	if err == nil {
		err = wipe(ctx, k.path(name), size)
	}
	if err != nil {
		return fmt.Errorf("erasing %s (%s): %w", partition, name, err)
	}
	return nil
}

// find is the one partition of that name on the box's own disk.
func (k Kernel) find(partition string) (string, error) {
	devices, err := os.ReadDir(filepath.Join(k.Sys, "class/block"))
	if err != nil {
		return "", err
	}
	own, found := k.ownDisk(), []string(nil)
	if own == "" {
		return "", fmt.Errorf("%w: it is not known which disk is the box's own", ErrPartition)
	}
	for _, d := range devices {
		if k.partName(d.Name()) == partition && k.diskOf(d.Name()) == own {
			found = append(found, d.Name())
		}
	}
	if len(found) == 0 {
		return "", ErrNothing
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%w: there are %d of that name", ErrPartition, len(found))
	}
	return found[0], nil
}

// size is in bytes; sysfs counts sectors of 512 whatever the disk has.
func (k Kernel) size(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(k.Sys, "class/block", name, "size"))
	if err != nil {
		return 0, err
	}
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || sectors <= 0 || sectors > maxState/sector {
		return 0, fmt.Errorf("%w: it has %.20q sectors", ErrPartition, text)
	}
	return sectors * sector, nil
}

// wipe writes zeros, and waits until the disk has them. O_EXCL keeps it from a
// device that is mounted (open(2)).
func wipe(ctx context.Context, path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		if err = ctx.Err(); err == nil {
			_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}
