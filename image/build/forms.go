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
	"regexp"
)

// forms makes what people install from out of the raw image.
func (b *build) forms(ctx context.Context) ([]string, error) {
	image := b.result(".img")
	for _, f := range []struct {
		suffix string
		make   func(ctx context.Context, image, out string) error
	}{{".img.zst", b.pack}, {".qcow2", b.qcow2}, {".ova", b.ova}} {
		b.say("making %s", filepath.Base(b.result(f.suffix)))
		if err := f.make(ctx, image, b.result(f.suffix)); err != nil {
			return nil, fmt.Errorf("making %s: %w", filepath.Base(b.result(f.suffix)), err)
		}
	}
	return []string{b.result(".img.zst"), b.result(".qcow2"), b.result(".ova")}, nil
}

// result is the path of a result by the end of its name.
func (b *build) result(suffix string) string {
	return filepath.Join(b.dist, "lwc_"+b.version+suffix)
}

// tool runs a program of the tools tree, by that tree's loader: the same version
// makes the same bytes on each machine.
func (b *build) tool(ctx context.Context, name string, args ...string) error {
	tools := filepath.Join(b.cache, "tools")
	libs := filepath.Join(tools, "usr/lib/x86_64-linux-gnu")
	all := append([]string{"--library-path", libs, filepath.Join(tools, "usr/bin", name)}, args...)
	cmd := b.command(ctx, filepath.Join(libs, "ld-linux-x86-64.so.2"), all...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w: %s", name, err, bytes.TrimSpace(text))
	}
	return nil
}

// pack compresses the image; one thread, because with several the bytes depend on
// their number.
func (b *build) pack(ctx context.Context, image, out string) error {
	return b.tool(ctx, "zstd", "-q", "-f", "-13", "--long=27", "--single-thread", "-o", out, image)
}

// qcow2 makes the disk for QEMU, Proxmox and OpenStack.
func (b *build) qcow2(ctx context.Context, image, out string) error {
	if err := b.tool(ctx, "qemu-img", "convert", "-m", "1", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zlib", image, out); err != nil {
		return err
	}
	return b.same(ctx, image, out)
}

// contentID is the number in a VMDK's descriptor that changes with its content.
var contentID = regexp.MustCompile(`(?m)^CID=[0-9a-f]{8}$`)

// vmdk makes the disk of the OVA: in the form that import streams through. qemu-img
// takes the content's number by chance; it is derived from the image instead.
func (b *build) vmdk(ctx context.Context, image, out string) error {
	if err := b.tool(ctx, "qemu-img", "convert", "-m", "1", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", image, out); err != nil {
		return err
	}
	sum, _, err := digest(image)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(out, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// The descriptor is in the first sectors (Virtual Disk Format 5.0).
	head := make([]byte, 64<<10)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := contentID.FindIndex(head[:n])
	if at == nil {
		return errors.New("looking for the content's number in the disk: none")
	}
	if _, err := f.WriteAt([]byte("CID="+sum[:8]), int64(at[0])); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return b.same(ctx, image, out)
}

// same refuses a form of the image that holds other bytes.
func (b *build) same(ctx context.Context, image, form string) error {
	return b.tool(ctx, "qemu-img", "compare", "-f", "raw", image, form)
}

// digest returns the SHA-256 of a file, in hex, and its size.
func digest(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}
