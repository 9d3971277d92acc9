package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lwc/image/gpt"
	"lwc/image/release"
)

// diskOf finds the disk below a mounted folder: the one that the partition below its
// device mapping lies on.
func diskOf(sys, folder string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return "", os.NewSyscallError("stat "+folder, err)
	}
	at := filepath.Join(sys, "dev", "block", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	// dm-verity maps two partitions of the same disk.
	if below, err := filepath.Glob(filepath.Join(at, "slaves", "*")); err == nil && len(below) > 0 {
		at = below[0]
	}
	part, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", fmt.Errorf("finding the disk below %s: %w", folder, err)
	}
	if _, err := os.Stat(filepath.Join(part, "partition")); err != nil {
		return "", fmt.Errorf("finding the disk below %s: %s is no partition", folder, filepath.Base(part))
	}
	return filepath.Join("/dev", filepath.Base(filepath.Dir(part))), nil
}

// compare reads back what was written, from the disk and not from the kernel's memory
// of it, and compares it with the manifest.
func (b *box) compare(ctx context.Context, m release.Manifest) error {
	unix.Sync()
	for _, f := range m.Files {
		err := b.compareFile(ctx, f, m.Version)
		if err != nil {
			return fmt.Errorf("reading back what was written: %w", err)
		}
	}
	return nil
}

func (b *box) compareFile(ctx context.Context, f release.File, version string) error {
	if f.Role == release.UKI {
		e, there, err := b.entry(version)
		if err != nil || !there {
			return errors.Join(err, fmt.Errorf("the boot loader has no entry for %s", version))
		}
		esp, _, err := b.entries()
		if err != nil {
			return err
		}
		path := filepath.Join(esp, "EFI", "Linux", e.Name)
		if info, err := os.Stat(path); err != nil || info.Size() != f.Size {
			return errors.Join(err, fmt.Errorf("%s has another size than the manifest says", e.Name))
		}
		return compareAt(ctx, path, 0, f)
	}
	disk, err := b.disk()
	if err != nil {
		return err
	}
	start, err := findSlot(disk, f, version)
	if err != nil {
		return err
	}
	return compareAt(ctx, disk, start, f)
}

// findSlot returns where on the disk a file of the release lies.
func findSlot(disk string, f release.File, version string) (int64, error) {
	d, err := os.Open(disk)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	size, err := d.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	parts, err := gpt.Read(d, size)
	if err != nil {
		return 0, err
	}
	kind := map[release.Role]string{release.Root: gpt.RootX64, release.Verity: gpt.VerityX64}[f.Role]
	for _, p := range parts {
		if p.Type == kind && p.Label == "lwc_"+version && strings.ReplaceAll(p.UUID, "-", "") == f.Partition() && p.Size >= f.Size {
			return p.Start, nil
		}
	}
	return 0, fmt.Errorf("there is no partition for the %s of %s", f.Role, version)
}

// compareAt takes the hash of f.Size bytes of a file.
func compareAt(ctx context.Context, path string, start int64, f release.File) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	// What has been written is dropped from the page cache; the rest of the disk stays.
	if err := unix.Fadvise(int(in.Fd()), start, f.Size, unix.FADV_DONTNEED); err != nil {
		return os.NewSyscallError("fadvise", err)
	}
	sum, piece := sha256.New(), make([]byte, 1<<20)
	for r := io.NewSectionReader(in, start, f.Size); ; {
		n, err := r.Read(piece)
		sum.Write(piece[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	want, err := hex.DecodeString(f.SHA256)
	if err != nil || !bytes.Equal(sum.Sum(nil), want) {
		return errors.Join(err, fmt.Errorf("the %s on the disk is not what was written", f.Role))
	}
	return nil
}
