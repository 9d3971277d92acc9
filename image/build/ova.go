package main

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"
)

// descriptor is the machine in the OVF of DMTF DSP0243, with VMware's extensions for
// the firmware and the TPM.
//
//go:embed ova.xml
var descriptor string

// machine is what the descriptor is filled in with.
type machine struct {
	Version  string
	Disk     string // name of the disk's file
	DiskSize int64  // of that file
	Capacity int64  // of the disk, in bytes
	Used     int64  // of it
}

// ova makes the file that VMware, VirtualBox and others import: a descriptor, the
// checksums of all, the disk, in this order (DSP0243, section 5.1).
func (b *build) ova(ctx context.Context, image, out string) error {
	disk := filepath.Join(b.work, "out", "lwc_"+b.version+"-disk1.vmdk")
	if err := b.vmdk(ctx, image, disk); err != nil {
		return err
	}
	defer os.Remove(disk)
	sum, size, err := digest(disk)
	if err != nil {
		return err
	}
	info, err := os.Stat(image)
	if err != nil {
		return err
	}
	ovf, err := machine{b.version, filepath.Base(disk), size, info.Size(), size}.ovf()
	if err != nil {
		return err
	}
	name := "lwc_" + b.version
	manifest := fmt.Sprintf("SHA256(%s.ovf)= %s\nSHA256(%s)= %s\n", name, sumOf(ovf), filepath.Base(disk), sum)
	return b.writeOVA(out, disk, []member{{name + ".ovf", ovf}, {name + ".mf", []byte(manifest)}})
}

// ovf fills the descriptor in.
func (m machine) ovf() ([]byte, error) {
	t, err := template.New("ovf").Parse(descriptor)
	if err != nil {
		return nil, fmt.Errorf("reading the descriptor: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, m); err != nil {
		return nil, fmt.Errorf("filling in the descriptor: %w", err)
	}
	return text.Bytes(), nil
}

// member is a small file of the archive.
type member struct {
	name string
	text []byte
}

// writeOVA writes the archive: the small files, then the disk.
func (b *build) writeOVA(out, disk string, small []member) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, m := range small {
		if err := b.addTo(w, m.name, int64(len(m.text)), bytes.NewReader(m.text)); err != nil {
			return err
		}
	}
	d, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if err := b.addTo(w, filepath.Base(disk), info.Size(), d); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

// addTo writes one file, with nothing about it that depends on this machine.
func (b *build) addTo(w *tar.Writer, name string, size int64, r io.Reader) error {
	seconds, err := strconv.ParseInt(b.epoch, 10, 64)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(seconds, 0), Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}
