package main

import (
	"bytes"
	"context"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lwc/image/contents"
	"lwc/image/gpt"
)

// scan judges all trees of an image; dir is an empty folder to unpack to.
func scan(ctx context.Context, image, dir string) ([]report, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	parts, err := gpt.Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("reading the partitions of %s: %w", image, err)
	}
	root, err := scanRoot(ctx, f, parts, dir)
	if err != nil {
		return nil, fmt.Errorf("looking into the root: %w", err)
	}
	boot, err := scanBoot(ctx, image, parts, dir)
	if err != nil {
		return nil, fmt.Errorf("looking into the boot partition: %w", err)
	}
	return append([]report{root}, boot...), nil
}

// scanRoot unpacks the root's file system and judges it.
func scanRoot(ctx context.Context, disk io.ReaderAt, parts []gpt.Partition, dir string) (report, error) {
	p, ok := gpt.FindType(parts, gpt.RootX64)
	if !ok {
		return report{}, fmt.Errorf("looking for its partition: %w", fs.ErrNotExist)
	}
	raw, tree := filepath.Join(dir, "root.raw"), filepath.Join(dir, "root")
	if err := copyOut(disk, p, raw); err != nil {
		return report{}, err
	}
	if err := tool(ctx, "fsck.erofs", "--extract="+tree, "--no-preserve-owner", "--preserve-perms", raw); err != nil {
		return report{}, err
	}
	entries, err := folder(tree)
	if err != nil {
		return report{}, err
	}
	r := judge(contents.Root(), entries)
	granted, err := capabilities(raw)
	if err != nil {
		return report{}, err
	}
	if granted > 0 {
		r.find("%d files bear capabilities, which are setuid by another name", granted)
	}
	return r, nil
}

// capability is how a file's capabilities begin in erofs: the length of the name, the
// prefix "security.", the length of the value, the name (struct erofs_xattr_entry in
// fs/erofs/erofs_fs.h). What describes files is never compressed there.
var capability = regexp.MustCompile("(?s)\x0a\x06.\x00capability")

// capabilities counts them in a raw file system: unpacking it drops them.
func capabilities(raw string) (int, error) {
	data, err := os.ReadFile(raw)
	if err != nil {
		return 0, err
	}
	return len(capability.FindAllIndex(data, -1)), nil
}

// copyOut writes a partition to a file.
func copyOut(disk io.ReaderAt, p gpt.Partition, to string) error {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, io.NewSectionReader(disk, p.Start, p.Size)); err != nil {
		return err
	}
	return out.Close()
}

// folder reads the files of a tree that lies in a folder.
func folder(root string) ([]entry, error) {
	var all []entry
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		e := entry{name: name, mode: info.Mode()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			e.link, err = os.Readlink(full)
		case info.Mode().IsRegular():
			e.text, err = os.ReadFile(full)
			e.head = slices.Clone(e.text[:min(64, len(e.text))])
			if !slices.Contains(readWhole, name) {
				e.text = nil
			}
		}
		all = append(all, e)
		return err
	})
	return all, err
}

// bootLoaders are the EFI programs beside the kernel images.
var bootLoaders = []string{"efi/boot/bootx64.efi", "efi/systemd/systemd-bootx64.efi"}

// scanBoot judges the boot partition, and the initrd inside each kernel image.
func scanBoot(ctx context.Context, image string, parts []gpt.Partition, dir string) ([]report, error) {
	p, ok := gpt.FindType(parts, gpt.ESP)
	if !ok {
		return nil, fmt.Errorf("looking for its partition: %w", fs.ErrNotExist)
	}
	tree := filepath.Join(dir, "esp")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	if err := tool(ctx, "mcopy", "-s", "-n", "-Q", "-i", fmt.Sprintf("%s@@%d", image, p.Start), "::*", tree); err != nil {
		return nil, err
	}
	entries, err := folder(tree)
	if err != nil {
		return nil, err
	}
	boot, kernels := judgeBoot(entries)
	if len(kernels) == 0 {
		boot.find("no kernel image is in EFI/Linux")
	}
	reports := []report{boot}
	for _, k := range kernels {
		files, err := initrdOf(filepath.Join(tree, k))
		if err != nil {
			return nil, fmt.Errorf("reading the initrd of %s: %w", k, err)
		}
		reports = append(reports, judge(contents.Initrd(), files))
	}
	return reports, nil
}

// judgeBoot judges the boot partition's files and returns the kernel images.
func judgeBoot(entries []entry) (report, []string) {
	r := report{tree: "boot partition", counts: map[string]int{}}
	var kernels []string
	for _, e := range entries {
		if !e.mode.IsRegular() {
			continue
		}
		r.counts["file"]++
		lower := strings.ToLower(e.name)
		kernel, _ := path.Match("efi/linux/lwc_*.efi", lower)
		switch kind := contents.Look(e.head); {
		case kind == contents.Data && allowedData(lower):
		case kind == contents.Data:
			r.find("%s is a file that the boot loader or the kernel's stub could take up", e.name)
		case kind == contents.Other && kernel:
			kernels = append(kernels, e.name)
			r.counts["program"]++
		case kind == contents.Other && slices.Contains(bootLoaders, lower):
			r.counts["program"]++
		default:
			r.find("%s is a program that is not on the list", e.name)
		}
	}
	return r, kernels
}

// allowedData says whether a file of the boot partition that is no program may be
// there: systemd-boot takes up entries, drivers, credentials and extensions from
// folders of theirs (systemd-boot(7), systemd-stub(7)).
func allowedData(lower string) bool {
	if lower == "loader/loader.conf" || lower == "loader/entries.srel" {
		return true
	}
	// Keys that a firmware in setup mode enrols, once the image is signed.
	enrol, _ := path.Match("loader/keys/*/*.auth", lower)
	return enrol
}

// initrdOf takes the initrd out of a unified kernel image: a PE file with a section
// of that name. The microcode before it is no program.
func initrdOf(kernel string) ([]entry, error) {
	f, err := pe.Open(kernel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".initrd")
	if section == nil {
		return nil, errors.New("it has none")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	return unpackInitrd(data[:min(int(section.VirtualSize), len(data))])
}

// tool runs a program; its words of complaint become part of the error.
func tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", name, err, bytes.TrimSpace(text))
	}
	return nil
}
