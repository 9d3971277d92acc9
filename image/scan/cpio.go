package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// errInitrd says that an initrd is none that the kernel would unpack whole.
var errInitrd = errors.New("not an initrd of cpio archives")

// The bounds of an initrd: several times what a real one has.
const (
	maxInitrd  = 512 << 20
	maxEntries = 100_000
)

// unpackInitrd returns the files of an initrd: cpio archives one after the other,
// each compressed or not, with zeros between (the kernel's early-userspace
// documentation, "initramfs buffer format").
func unpackInitrd(data []byte) ([]entry, error) {
	var all []entry
	for {
		data = bytes.TrimLeft(data, "\x00")
		switch {
		case len(data) == 0:
			return all, nil
		case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
			n, err := frameSize(data)
			if err != nil {
				return nil, err
			}
			inner, err := inflate(data[:n])
			if err != nil {
				return nil, err
			}
			more, err := unpackInitrd(inner)
			if err != nil {
				return nil, err
			}
			all, data = append(all, more...), data[n:]
		case bytes.HasPrefix(data, []byte("070701")):
			more, rest, err := archive(data)
			if err != nil {
				return nil, err
			}
			all, data = append(all, more...), rest
		default:
			return nil, fmt.Errorf("%w: it has a part that begins with % x", errInitrd, data[:min(8, len(data))])
		}
		if len(all) > maxEntries {
			return nil, fmt.Errorf("%w: more than %d files", errInitrd, maxEntries)
		}
	}
}

// inflate decompresses one frame, up to the bound. What is inside is no frame again.
func inflate(frame []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxInitrd), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	inner, err := d.DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInitrd, err)
	}
	if bytes.HasPrefix(bytes.TrimLeft(inner, "\x00"), []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return nil, fmt.Errorf("%w: compressed twice", errInitrd)
	}
	return inner, nil
}

// frameSize is the length of the zstd frame that data begins with (RFC 8878,
// section 3.1.1).
func frameSize(data []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(data); err != nil {
		return 0, fmt.Errorf("%w: %w", errInitrd, err)
	}
	at := h.HeaderSize
	for last := false; !last; {
		if at+3 > len(data) {
			return 0, fmt.Errorf("%w: a compressed part is cut off", errInitrd)
		}
		block := int(data[at]) | int(data[at+1])<<8 | int(data[at+2])<<16
		last = block&1 == 1
		size := block >> 3
		if block>>1&3 == 1 { // one byte that is repeated
			size = 1
		}
		at += 3 + size
	}
	if h.HasCheckSum {
		at += 4
	}
	if at > len(data) {
		return 0, fmt.Errorf("%w: a compressed part is cut off", errInitrd)
	}
	return at, nil
}

// archive reads one archive in the "new" form (cpio(5)) and returns what follows it.
func archive(data []byte) ([]entry, []byte, error) {
	var all []entry
	for at := 0; ; {
		e, size, err := member(data[at:])
		if err != nil {
			return nil, nil, err
		}
		at += size
		if e.name == "TRAILER!!!" {
			return all, data[min(at, len(data)):], nil
		}
		if all = append(all, e); len(all) > maxEntries {
			return nil, nil, fmt.Errorf("%w: more than %d files", errInitrd, maxEntries)
		}
	}
}

// member reads one file; size is how far the next one is.
func member(data []byte) (e entry, size int, err error) {
	const header = 110
	if len(data) < header || string(data[:6]) != "070701" {
		return e, 0, fmt.Errorf("%w: a file has no header", errInitrd)
	}
	field := func(n int) int {
		v, ferr := strconv.ParseUint(string(data[6+8*n:14+8*n]), 16, 32)
		err = errors.Join(err, ferr)
		return int(v)
	}
	mode, length, nameLength := field(1), field(6), field(11)
	if err != nil {
		return e, 0, fmt.Errorf("%w: %w", errInitrd, err)
	}
	begin := (header + nameLength + 3) &^ 3
	if nameLength < 1 || begin > len(data) || length > len(data)-begin {
		return e, 0, fmt.Errorf("%w: a file goes beyond the end", errInitrd)
	}
	name := strings.TrimRight(string(data[header:header+nameLength]), "\x00")
	e = entry{name: strings.TrimPrefix(strings.TrimPrefix(name, "./"), "/"), mode: fileMode(mode)}
	body := data[begin : begin+length]
	e.head, e.text = body[:min(64, length)], body
	if e.mode&fs.ModeSymlink != 0 {
		e.link = string(body)
	}
	return e, min((begin+length+3)&^3, len(data)), nil
}

// fileMode translates the bits of inode(7).
func fileMode(bits int) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	switch bits & 0o170000 {
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o100000:
	default:
		mode |= fs.ModeIrregular
	}
	if bits&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if bits&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	return mode
}
