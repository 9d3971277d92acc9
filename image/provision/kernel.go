package provision

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is the volumes of this machine. It needs CAP_SYS_ADMIN, and a mount
// namespace of its own, so that nobody else sees what it mounts.
type Kernel struct {
	Sys    string // where sysfs is: /sys
	Dev    string // where devices are: /dev
	Folder string // an empty folder to mount at
}

// maxDevices bounds how many are looked at.
const maxDevices = 128

// List implements Volumes. A device that cannot be read is passed over: an empty
// card reader, or a disk that is being pulled out.
func (k Kernel) List(ctx context.Context) ([]Volume, error) {
	devices, err := os.ReadDir(filepath.Join(k.Sys, "class/block"))
	if err != nil {
		return nil, err
	}
	own := k.ownDisk()
	var out []Volume
	for _, d := range devices[:min(len(devices), maxDevices)] {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if v, ok := k.look(d.Name()); ok {
			v.Own = own != "" && k.diskOf(d.Name()) == own
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Volume) int {
		if a.Own != b.Own && a.Own {
			return 1
		} else if a.Own != b.Own {
			return -1
		}
		return strings.Compare(a.Device, b.Device)
	})
	return out, nil
}

// passedOver are kinds of block devices that hold no volume of anybody's.
var passedOver = []string{"loop", "ram", "dm-", "md", "zram", "mtdblock", "fd"}

func (k Kernel) look(name string) (Volume, bool) {
	if slices.ContainsFunc(passedOver, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return Volume{}, false
	}
	size, err := os.ReadFile(filepath.Join(k.Sys, "class/block", name, "size"))
	if err != nil || strings.TrimSpace(string(size)) == "0" {
		// A reader without a medium. Opening it is what makes the kernel look again.
		f, err := os.Open(k.path(name))
		if err == nil {
			_ = f.Close() // nothing was written
		}
		return Volume{}, false
	}
	f, err := os.Open(k.path(name))
	if err != nil {
		return Volume{}, false
	}
	defer f.Close()
	l, err := probe(f)
	if err != nil {
		return Volume{}, false
	}
	return described(name, k.partName(name), l)
}

// path is the device's file; sysfs writes ! for / in names.
func (k Kernel) path(name string) string {
	return filepath.Join(k.Dev, strings.ReplaceAll(name, "!", "/"))
}

// partName is what the partition table calls a partition.
func (k Kernel) partName(name string) string {
	f, err := os.Open(filepath.Join(k.Sys, "class/block", name, "uevent"))
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "PARTNAME="); ok {
			return n
		}
	}
	return ""
}

// diskOf is the whole disk of a partition, or the device itself.
func (k Kernel) diskOf(name string) string {
	at, err := filepath.EvalSymlinks(filepath.Join(k.Sys, "class/block", name))
	if err != nil {
		return name
	}
	if _, err := os.Stat(filepath.Join(at, "partition")); err == nil {
		return filepath.Base(filepath.Dir(at))
	}
	return filepath.Base(at)
}

// Owns tells whether a disk or partition, by the kernel's name, is of the disk that the
// box runs from.
func (k Kernel) Owns(name string) bool {
	own := k.ownDisk()
	if own == "" || name != filepath.Base(name) {
		return false
	}
	_, err := os.Stat(filepath.Join(k.Sys, "class/block", name))
	return err == nil && k.diskOf(name) == own
}

// ownDisk is the disk below the root file system, through device mapper. Empty: it
// cannot be told, or the root is of more than one, and no volume counts as the box's own.
func (k Kernel) ownDisk() string {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return ""
	}
	dev := strconv.Itoa(int(unix.Major(st.Dev))) + ":" + strconv.Itoa(int(unix.Minor(st.Dev)))
	const deepest = 4 // verity on a partition is one
	disks, err := k.disksBelow(filepath.Join(k.Sys, "dev/block", dev), deepest)
	if err != nil || len(disks) != 1 {
		return ""
	}
	return disks[0]
}

// disksBelow names the disks that a device is made of. dm-verity has two partitions
// below it, the data and the hashes: those of two disks that carry the same release
// have the same names, and any of them fit together.
func (k Kernel) disksBelow(at string, deepest int) ([]string, error) {
	at, err := filepath.EvalSymlinks(at)
	if err != nil {
		return nil, err
	}
	below, err := os.ReadDir(filepath.Join(at, "slaves"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(below) == 0 {
		return []string{k.diskOf(filepath.Base(at))}, nil
	}
	if err != nil || deepest == 0 {
		return nil, errors.Join(err, ErrPartition)
	}
	var all []string
	for _, b := range below {
		disks, err := k.disksBelow(filepath.Join(at, "slaves", b.Name()), deepest-1)
		if err != nil {
			return nil, err
		}
		all = append(all, disks...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// mountOptions give whoever wrote the volume no rights and no names: files are
// root's, links and device files mean nothing, and an error of a FAT volume makes it
// read-only. norock leaves out Rock Ridge, which has links and modes of its own.
var mountOptions = map[string]string{
	"vfat":    "uid=0,gid=0,umask=0077,errors=remount-ro,shortname=mixed",
	"iso9660": "uid=0,gid=0,mode=0400,dmode=0500,norock",
}

// Open implements Volumes.
func (k Kernel) Open(ctx context.Context, v Volume, writable bool, use func(*os.Root) error) (err error) {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSYMFOLLOW | unix.MS_NOATIME)
	if !writable {
		flags |= unix.MS_RDONLY
	} else if v.FS == "iso9660" {
		return fmt.Errorf("%w: %w", ErrVolume, unix.EROFS)
	} else {
		flags |= unix.MS_SYNCHRONOUS
	}
	return mounted(k.path(v.Device), k.Folder, v.FS, flags, mountOptions[v.FS], use)
}

// mounted runs use while the device is mounted, and unmounts it whatever happens.
func mounted(device, folder, fs string, flags uintptr, options string, use func(*os.Root) error) (err error) {
	if err := unix.Mount(device, folder, fs, flags, options); err != nil {
		return fmt.Errorf("%w: mounting %s: %w", ErrVolume, device, err)
	}
	defer func() {
		if gone := unix.Unmount(folder, unix.UMOUNT_NOFOLLOW); gone != nil {
			// Lazily then: a mount that stays would be in the way of the next look.
			err = errors.Join(err, fmt.Errorf("%w: unmounting %s: %w", ErrVolume, device, gone), unix.Unmount(folder, unix.MNT_DETACH))
		}
	}()
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return errors.Join(use(root), root.Close())
}
