package boottest

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unicode/utf16"

	"lwc/testdata/need"
)

// The disk that MakePartition makes: the partition begins at 1 MiB.
const (
	partsSize  = 48 << 20
	partStart  = 1 << 20
	partSize   = 32 << 20
	partSector = 512
)

// MakePartition makes a disk with one partition of that label, an empty ext4 file system,
// and returns its path.
func MakePartition(t testing.TB, label string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "parts.raw")
	disk := make([]byte, partsSize)
	writeTable(disk, label)
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, need.Program(t, "mkfs.ext4"), "-q", "-F", "-E", "offset="+strconv.Itoa(partStart), file, strconv.Itoa(partSize>>10)+"k")
	return file
}

// writeTable writes a table of partitions with its backup (UEFI 2.10, section 5.3),
// and the boot record that keeps old programs from the disk.
func writeTable(disk []byte, label string) {
	const entries, entryLen, headerLen = 128, 128, 92
	linux := [16]byte{0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4}
	sectors := uint64(len(disk) / partSector)
	disk[450], disk[510], disk[511] = 0xee, 0x55, 0xaa
	binary.LittleEndian.PutUint32(disk[454:], 1)
	binary.LittleEndian.PutUint32(disk[458:], uint32(sectors-1))

	table := make([]byte, entries*entryLen)
	copy(table, linux[:])
	copy(table[16:], "a foreign state.")
	binary.LittleEndian.PutUint64(table[32:], partStart/partSector)
	binary.LittleEndian.PutUint64(table[40:], (partStart+partSize)/partSector-1)
	for i, c := range utf16.Encode([]rune(label)) {
		binary.LittleEndian.PutUint16(table[56+2*i:], c)
	}
	length := uint64(len(table) / partSector)
	for _, at := range []struct{ header, other, table uint64 }{{1, sectors - 1, 2}, {sectors - 1, 1, sectors - 1 - length}} {
		h := make([]byte, headerLen)
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		for offset, v := range map[int]uint64{24: at.header, 32: at.other, 40: 2 + length, 48: sectors - 2 - length, 72: at.table} {
			binary.LittleEndian.PutUint64(h[offset:], v)
		}
		copy(h[56:], "a foreign disk..")
		for offset, v := range map[int]uint32{80: entries, 84: entryLen, 88: crc32.ChecksumIEEE(table)} {
			binary.LittleEndian.PutUint32(h[offset:], v)
		}
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		copy(disk[at.header*partSector:], h)
		copy(disk[at.table*partSector:], table)
	}
}
