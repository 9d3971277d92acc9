// Package gpt finds the partitions of a disk image without the kernel's help:
// a build machine may have no loop devices. [Read] takes the primary table, or
// the backup when that is damaged, and believes nothing of it that lies outside
// the disk.
package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// Types of partitions in their text form, as the UEFI specification and the
// Discoverable Partitions Specification give them.
const (
	ESP        = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	BasicData  = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
	RootX64    = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
	VerityX64  = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
	LinuxOther = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

const (
	// Sector is the only sector size that is read: images are made with it.
	Sector = 512
	// entrySize and maxEntries are those of every table in practice (UEFI 2.10,
	// 5.3.3: 128 bytes, and 16 KiB are reserved for them).
	entrySize  = 128
	maxEntries = 128
)

// ErrTable says that neither copy of the partition table is good.
var ErrTable = errors.New("no good partition table")

// Partition is one entry of the table. Start and Size are in bytes.
type Partition struct {
	Type, UUID  string
	Label       string
	Start, Size int64
}

// Read returns the partitions of a disk of size bytes, in the table's order.
// The error wraps [ErrTable] when there is no good table.
func Read(disk io.ReaderAt, size int64) ([]Partition, error) {
	parts, first := readAt(disk, size, 1)
	if first == nil {
		return parts, nil
	}
	parts, err := readAt(disk, size, size/Sector-1)
	if err != nil {
		return nil, errors.Join(first, err)
	}
	return parts, nil
}

// Extent is how many bytes a disk has by its primary table, whose header names the
// sector of the backup at the very end. Zero: there is no good header, or it does not
// say. A file that is shorter was cut off; a disk may be larger.
func Extent(disk io.ReaderAt) int64 {
	raw := make([]byte, Sector)
	if _, err := disk.ReadAt(raw, Sector); err != nil {
		return 0
	}
	h, err := parseHeader(raw, 1)
	if err != nil || h.backup < 1 {
		return 0
	}
	return (h.backup + 1) * Sector
}

// Find returns the first partition of that label.
func Find(parts []Partition, label string) (Partition, bool) {
	for _, p := range parts {
		if p.Label == label {
			return p, true
		}
	}
	return Partition{}, false
}

// FindType returns the first partition of that type.
func FindType(parts []Partition, kind string) (Partition, bool) {
	for _, p := range parts {
		if p.Type == kind {
			return p, true
		}
	}
	return Partition{}, false
}

// header is what of UEFI 2.10, table 5.5, is needed.
type header struct {
	backup  int64 // sector of the other copy of the header
	entries int64 // first sector of the entries
	count   int
	sum     uint32
}

func readAt(disk io.ReaderAt, size, lba int64) ([]Partition, error) {
	if lba < 1 || (lba+1)*Sector > size {
		return nil, fmt.Errorf("%w: the disk is too small", ErrTable)
	}
	raw := make([]byte, Sector)
	if _, err := disk.ReadAt(raw, lba*Sector); err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	h, err := parseHeader(raw, lba)
	if err != nil {
		return nil, err
	}
	table := make([]byte, h.count*entrySize)
	if h.entries < 1 || h.entries > size/Sector || h.entries*Sector+int64(len(table)) > size {
		return nil, fmt.Errorf("%w: its entries are outside the disk", ErrTable)
	}
	if _, err := disk.ReadAt(table, h.entries*Sector); err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	if crc32.ChecksumIEEE(table) != h.sum {
		return nil, fmt.Errorf("%w: the checksum of its entries is wrong", ErrTable)
	}
	return parseEntries(table, size)
}

func parseHeader(raw []byte, lba int64) (header, error) {
	le := binary.LittleEndian
	length := le.Uint32(raw[12:])
	if string(raw[:8]) != "EFI PART" || length < 92 || length > Sector {
		return header{}, fmt.Errorf("%w: sector %d holds none", ErrTable, lba)
	}
	sum := le.Uint32(raw[16:])
	zeroed := bytes.Clone(raw[:length])
	clear(zeroed[16:20])
	if crc32.ChecksumIEEE(zeroed) != sum || le.Uint64(raw[24:]) != uint64(lba) {
		return header{}, fmt.Errorf("%w: the checksum of its header is wrong", ErrTable)
	}
	count, each := le.Uint32(raw[80:]), le.Uint32(raw[84:])
	if each != entrySize || count > maxEntries {
		return header{}, fmt.Errorf("%w: %d entries of %d bytes", ErrTable, count, each)
	}
	const sectors = 1<<40 - 1 // more than any disk has, and no overflow in bytes
	return header{backup: int64(le.Uint64(raw[32:]) & sectors), entries: int64(le.Uint64(raw[72:]) & sectors), count: int(count), sum: le.Uint32(raw[88:])}, nil
}

func parseEntries(table []byte, size int64) ([]Partition, error) {
	var parts []Partition
	for e := table; len(e) >= entrySize; e = e[entrySize:] {
		if bytes.Equal(e[:16], make([]byte, 16)) {
			continue
		}
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if first > last || last >= uint64(size/Sector) {
			return nil, fmt.Errorf("%w: a partition is outside the disk", ErrTable)
		}
		parts = append(parts, Partition{
			Type: guid(e[:16]), UUID: guid(e[16:32]), Label: label(e[56:entrySize]),
			Start: int64(first) * Sector, Size: int64(last-first+1) * Sector,
		})
	}
	return parts, nil
}

// guid writes the mixed order of UEFI 2.10, appendix A: the first three groups
// are little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func label(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
