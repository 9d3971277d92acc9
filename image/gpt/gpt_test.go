package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"unicode/utf16"
)

const sectors = 2048

// disk makes one with both tables and the given partition in each.
func disk(t testing.TB, name string, first, last uint64) []byte {
	t.Helper()
	d := make([]byte, sectors*Sector)
	table := make([]byte, maxEntries*entrySize)
	e := table[entrySize:] // the first entry is free
	copy(e, []byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b})
	e[16] = 1
	binary.LittleEndian.PutUint64(e[32:], first)
	binary.LittleEndian.PutUint64(e[40:], last)
	for i, u := range utf16.Encode([]rune(name)) {
		binary.LittleEndian.PutUint16(e[56+2*i:], u)
	}
	put := func(lba, entries uint64) {
		copy(d[entries*Sector:], table)
		h := d[lba*Sector:][:92]
		copy(h, "EFI PART")
		le := binary.LittleEndian
		le.PutUint32(h[12:], 92)
		le.PutUint64(h[24:], lba)
		le.PutUint64(h[72:], entries)
		le.PutUint32(h[80:], maxEntries)
		le.PutUint32(h[84:], entrySize)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(table))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	}
	put(1, 2)
	put(sectors-1, sectors-33)
	return d
}

func TestReadsThePartitions(t *testing.T) {
	d := disk(t, "ESP", 64, 127)
	parts, err := Read(bytes.NewReader(d), int64(len(d)))
	if err != nil {
		t.Fatal(err)
	}
	p, ok := FindType(parts, ESP)
	if !ok || p.Label != "ESP" || p.Start != 64*Sector || p.Size != 64*Sector || p.UUID != "00000001-0000-0000-0000-000000000000" {
		t.Fatalf("got %+v", parts)
	}
	if _, ok := Find(parts, "ESP"); !ok {
		t.Fatal("not found by its label")
	}
	if _, ok := Find(parts, "other"); ok {
		t.Fatal("found what is not there")
	}
}

func TestBackupTable(t *testing.T) {
	for name, damage := range map[string]int{"magic": Sector, "header": Sector + 30, "entries": 2*Sector + entrySize + 40} {
		d := disk(t, "ESP", 64, 127)
		d[damage] ^= 0xff
		parts, err := Read(bytes.NewReader(d), int64(len(d)))
		if err != nil || len(parts) != 1 {
			t.Errorf("%s: %v, %v", name, parts, err)
		}
		d[(sectors-1)*Sector+40] ^= 0xff
		if _, err := Read(bytes.NewReader(d), int64(len(d))); !errors.Is(err, ErrTable) {
			t.Errorf("%s: both tables are damaged: %v", name, err)
		}
	}
}

func TestPartitionOutsideTheDisk(t *testing.T) {
	for _, at := range [][2]uint64{{64, sectors}, {65, 64}, {1 << 60, 1<<63 + 1}} {
		d := disk(t, "ESP", at[0], at[1])
		if parts, err := Read(bytes.NewReader(d), int64(len(d))); !errors.Is(err, ErrTable) {
			t.Errorf("%v: %v, %v", at, parts, err)
		}
	}
}

// FuzzRead checks that whatever a disk holds, all that is returned lies in it.
func FuzzRead(f *testing.F) {
	whole := disk(f, "ESP", 64, 127)
	f.Add(whole[Sector:2*Sector], whole[2*Sector:4*Sector], true)
	f.Add(whole[Sector:2*Sector], []byte{}, false)
	f.Fuzz(func(t *testing.T, head, entries []byte, mend bool) {
		d := make([]byte, 64*Sector)
		copy(d[Sector:2*Sector], head)
		copy(d[2*Sector:34*Sector], entries)
		if mend {
			mendSums(d)
		}
		parts, err := Read(bytes.NewReader(d), int64(len(d)))
		if err != nil && parts != nil {
			t.Fatal("partitions and an error")
		}
		for _, p := range parts {
			if p.Start < 0 || p.Size <= 0 || p.Start+p.Size > int64(len(d)) {
				t.Fatalf("outside the disk: %+v", p)
			}
		}
	})
}

// mendSums makes the checksums right, so that fuzzing gets past them.
func mendSums(d []byte) {
	h := d[Sector : 2*Sector]
	le := binary.LittleEndian
	if n := int(le.Uint32(h[80:])) * entrySize; n >= 0 && n <= 32*Sector {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(d[2*Sector:][:n]))
	}
	if n := le.Uint32(h[12:]); n <= Sector && n >= 20 {
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:n]))
	}
}
