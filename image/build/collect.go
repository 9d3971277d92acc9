package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// collect moves what mkosi made to where people look for it.
func (b *build) collect(ctx context.Context) error {
	parts := filepath.Join(b.dist, "parts")
	if err := os.MkdirAll(parts, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", b.dist, err)
	}
	out, name := filepath.Join(b.work, "out"), "lwc_"+b.version
	moves := [][2]string{{name + ".raw", filepath.Join(b.dist, name+".img")}}
	for _, pattern := range []string{".efi", ".root-*.raw", ".verity-*.raw"} {
		old, _ := filepath.Glob(filepath.Join(parts, name+pattern))
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("removing an older build: %w", err)
			}
		}
		made, _ := filepath.Glob(filepath.Join(out, name+pattern))
		if len(made) != 1 {
			return fmt.Errorf("looking for %s%s in what mkosi made: %d files", name, pattern, len(made))
		}
		moves = append(moves, [2]string{filepath.Base(made[0]), filepath.Join(parts, filepath.Base(made[0]))})
	}
	for _, m := range moves {
		if err := b.move(ctx, filepath.Join(out, m[0]), m[1]); err != nil {
			return err
		}
	}
	return grow(filepath.Join(b.dist, name+".img"))
}

// papers makes the other forms of the image and what is said about all of them.
func (b *build) papers(ctx context.Context) error {
	files, err := b.forms(ctx)
	if err != nil {
		return err
	}
	bom, err := b.sbom()
	if err != nil {
		return err
	}
	statement, err := b.provenance(ctx, append(files, bom))
	if err != nil {
		return err
	}
	return b.checksums(append(files, bom, statement))
}

// checksums writes what sha256sum -c reads.
func (b *build) checksums(files []string) error {
	var text strings.Builder
	for _, path := range files {
		sum, size, err := digest(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, filepath.Base(path))
		b.say("%-28s %6.1f MB", filepath.Base(path), float64(size)/1e6)
	}
	if err := os.WriteFile(b.result(".SHA256SUMS"), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("writing the checksums: %w", err)
	}
	return b.weigh()
}

// maxPacked is what a line of 10 Mbit/s brings in a minute and a half.
const maxPacked = 100_000_000

// weigh tells the size of what people download, as a goal, and refuses to outgrow it.
func (b *build) weigh() error {
	info, err := os.Stat(b.result(".img.zst"))
	if err != nil {
		return fmt.Errorf("weighing the image: %w", err)
	}
	word := "ok"
	if info.Size() > maxPacked {
		word = "short"
		err = fmt.Errorf("the packed image has %d bytes, more than %d", info.Size(), maxPacked)
	}
	fmt.Fprintf(b.log, "goal image-zst-mb %.1f %d %s\n", float64(info.Size())/1e6, maxPacked/1_000_000, word)
	return err
}

// sumOf is the SHA-256 of a text, in hex.
func sumOf(text []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// move takes a file to another place, which may be another file system; holes stay
// holes.
func (b *build) move(ctx context.Context, from, to string) error {
	if text, err := b.command(ctx, "cp", "--sparse=always", "--reflink=auto", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copying %s: %w: %s", filepath.Base(from), err, text)
	}
	return nil
}

// diskSize is what all partitions of a box need together, those that are made at the
// first boot included (image/mkosi/mkosi.extra/usr/lib/repart.d).
const diskSize = 1 << 30

// grow gives the image the room that its first boot needs, so that it boots on a disk
// of its own size. The zeros also overwrite what was on the disk before: a box that is
// flashed again keeps nothing.
func grow(image string) error {
	info, err := os.Stat(image)
	if err != nil {
		return fmt.Errorf("looking at the image: %w", err)
	}
	if info.Size() > diskSize {
		return fmt.Errorf("the image has %d bytes, more than the %d that its disk is meant to have", info.Size(), diskSize)
	}
	if err := os.Truncate(image, diskSize); err != nil {
		return fmt.Errorf("giving the image its size: %w", err)
	}
	return nil
}
