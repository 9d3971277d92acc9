// Prune leaves of a tree what the appliance needs: mkosi calls it when all packages
// are installed, and before the file system is made.
//
// Programs that are not on the list of image/contents go, all scripts, the libraries
// that nothing left asks for, the units whose program is gone, and data that nobody
// reads. What it leaves is judged again by image/scan, on the finished image.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/contents"
)

func main() {
	if err := run(os.Getenv("BUILDROOT"), os.Getenv("OUTPUTDIR")); err != nil {
		fmt.Fprintln(os.Stderr, "prune:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	if root == "" || root == "/" || out == "" {
		return errors.New("BUILDROOT or OUTPUTDIR names no folder: mkosi sets them")
	}
	p := pruner{root: root, out: out, tree: contents.Root()}
	// initrd-release(5): only an initrd has it.
	if _, err := os.Lstat(filepath.Join(root, "etc/initrd-release")); err == nil {
		p.tree = contents.Initrd()
	}
	if err := p.prune(); err != nil {
		return err
	}
	return oneTime(root, os.Getenv("SOURCE_DATE_EPOCH"))
}

// oneTime gives every file the time of the build. mkosi takes those back that are
// newer than it; but a file made by a cached first part of a build is older, and
// would tell when that was.
func oneTime(root, epoch string) error {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH, which mkosi sets: %w", err)
	}
	at := unix.NsecToTimespec(time.Unix(seconds, 0).UnixNano())
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("setting the time of %s: %w", path, err)
		}
		return nil
	})
}
