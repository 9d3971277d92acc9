package provision

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// looks is what the first sectors of a device say of its file system.
type looks struct {
	fs    string // vfat, iso9660, exfat, ntfs; empty: none of these
	label string
}

const (
	sector = 512
	// isoVolume is the primary volume descriptor: sector 16 of 2048 bytes (ECMA-119
	// section 8.4), its volume identifier at byte 40.
	isoVolume, isoLabel, isoLabelLen = 16 * 2048, 40, 32
	// maxRoot bounds the folder entries that are searched for a label.
	maxRoot = 128 << 10
)

// probe reads the label of a device. Everything on it is hostile; what does not hold
// together is no file system.
func probe(dev io.ReaderAt) (looks, error) {
	boot := make([]byte, sector)
	if _, err := dev.ReadAt(boot, 0); err != nil && err != io.EOF {
		return looks{}, err
	}
	signed := boot[510] == 0x55 && boot[511] == 0xaa
	switch {
	case signed && string(boot[3:11]) == "EXFAT   ":
		return looks{"exfat", exfatLabel(dev, boot)}, nil
	case signed && string(boot[3:11]) == "NTFS    ":
		return looks{fs: "ntfs"}, nil
	case signed:
		if label, ok := fatLabel(dev, boot); ok {
			return looks{"vfat", label}, nil
		}
	}
	volume := make([]byte, isoLabel+isoLabelLen)
	if _, err := dev.ReadAt(volume, isoVolume); err != nil || string(volume[:6]) != "\x01CD001" {
		return looks{}, nil // shorter than a file system
	}
	return looks{"iso9660", strings.TrimRight(string(volume[isoLabel:]), " \x00")}, nil
}

// geometry is where the root folder of a FAT volume lies ("Microsoft FAT32 File
// System Specification", sections "Boot Sector and BPB Structure" and "FAT Type
// Determination").
type geometry struct {
	sectorLen, clusterLen, table int64
	root, rootLen                int64 // FAT12 and 16
	data                         int64
	first                        uint32 // cluster of the root folder, FAT32
}

func fatGeometry(boot []byte) (geometry, bool) {
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(boot[at:])) }
	long := func(at int) int64 { return int64(binary.LittleEndian.Uint32(boot[at:])) }
	g := geometry{sectorLen: word(11)}
	perCluster, reserved, copies, entries := int64(boot[13]), word(14), int64(boot[16]), word(17)
	tableLen := word(22)
	if tableLen == 0 {
		tableLen, g.first = long(36), binary.LittleEndian.Uint32(boot[44:])
	}
	g.clusterLen = perCluster * g.sectorLen
	switch {
	case g.sectorLen < sector || g.sectorLen > 4096 || g.sectorLen&(g.sectorLen-1) != 0,
		perCluster == 0 || perCluster&(perCluster-1) != 0,
		reserved == 0, copies < 1 || copies > 2, tableLen == 0, entries == 0 && g.first < 2,
		boot[21] < 0xf0, boot[0] != 0xeb && boot[0] != 0xe9:
		return g, false
	}
	g.table = reserved * g.sectorLen
	g.root = (reserved + copies*tableLen) * g.sectorLen
	g.rootLen = entries * 32
	g.data = g.root + (g.rootLen+g.sectorLen-1)/g.sectorLen*g.sectorLen
	return g, true
}

// fatLabel is the label in the root folder, which Windows sets, or else the one in
// the boot sector.
func fatLabel(dev io.ReaderAt, boot []byte) (string, bool) {
	g, ok := fatGeometry(boot)
	if !ok {
		return "", false
	}
	at := 43
	if g.rootLen == 0 {
		at = 71
	}
	own := ""
	if boot[at-5] == 0x29 {
		own = fatName(boot[at : at+11])
	}
	if own == "NO NAME" {
		own = ""
	}
	if label, found := rootLabel(dev, g); found {
		own = label
	}
	return own, true
}

func fatName(b []byte) string { return strings.TrimRight(string(b), " \x00") }

// rootLabel searches the root folder for the entry that is the volume's label.
func rootLabel(dev io.ReaderAt, g geometry) (string, bool) {
	if g.rootLen > 0 {
		label, found, _ := labelIn(dev, g.root, min(g.rootLen, maxRoot))
		return label, found
	}
	next := make([]byte, 4)
	cluster := g.first
	for left := int64(maxRoot); left > 0; left -= g.clusterLen {
		label, found, end := labelIn(dev, g.data+int64(cluster-2)*g.clusterLen, min(g.clusterLen, left))
		if found || end {
			return label, found
		}
		if _, err := dev.ReadAt(next, g.table+int64(cluster)*4); err != nil {
			return "", false
		}
		// The upper four bits are reserved; from 0xFFFFFF7 on there is no next.
		cluster = binary.LittleEndian.Uint32(next) & 0x0fffffff
		if cluster < 2 || cluster >= 0x0ffffff7 {
			return "", false
		}
	}
	return "", false
}

// labelIn searches a piece of the folder; end tells that nothing comes after it.
func labelIn(dev io.ReaderAt, at, length int64) (label string, found, end bool) {
	b := make([]byte, length)
	if _, err := dev.ReadAt(b, at); err != nil {
		return "", false, true
	}
	for ; len(b) >= 32; b = b[32:] {
		const volumeID, longName = 0x08, 0x0f
		switch attributes := b[11] & 0x3f; {
		case b[0] == 0:
			return "", false, true
		case b[0] != 0xe5 && attributes != longName && attributes&0x18 == volumeID:
			return fatName(b[:11]), true, true
		}
	}
	return "", false, false
}

// exfatLabel is the label of the exFAT file system ("exFAT file system
// specification", sections 3.1 and 7.3), of which a box only says that it does not
// read it: sticks above 32 GB come formatted so.
func exfatLabel(dev io.ReaderAt, boot []byte) string {
	sectorShift, clusterShift := boot[108], boot[109]
	if sectorShift < 9 || sectorShift > 12 || clusterShift > 25-sectorShift {
		return ""
	}
	heap, first := binary.LittleEndian.Uint32(boot[88:]), binary.LittleEndian.Uint32(boot[96:])
	if first < 2 {
		return ""
	}
	at := int64(heap)<<sectorShift + int64(first-2)<<(sectorShift+clusterShift)
	b := make([]byte, min(int64(1)<<(sectorShift+clusterShift), maxRoot))
	if n, err := dev.ReadAt(b, at); err != nil && n < 32 {
		return ""
	}
	for ; len(b) >= 32 && b[0] != 0; b = b[32:] {
		const volumeLabel, maxChars = 0x83, 11
		if b[0] != volumeLabel {
			continue
		}
		units := make([]uint16, min(int(b[1]), maxChars))
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(b[2+2*i:])
		}
		return string(utf16.Decode(units))
	}
	return ""
}

// wanted tells a label that a box looks for.
func wanted(label string) bool {
	return strings.EqualFold(label, "LWCCONF") || strings.EqualFold(label, "CIDATA")
}

// described makes a volume of what a device looks like; false: it is not meant.
// partName is the name that the partition table gives it.
func described(name, partName string, l looks) (Volume, bool) {
	v := Volume{Device: name, Label: l.label, FS: l.fs}
	switch {
	case wanted(l.label) && (l.fs == "vfat" || l.fs == "iso9660"):
	case wanted(l.label):
		v.Problem = fmt.Sprintf("it is formatted as %s, which a box does not read", strings.ToUpper(l.fs))
	case strings.EqualFold(partName, "LWCCONF"):
		v.Label, v.Problem = partName, "it is not formatted, or damaged"
		if l.fs != "" {
			v.Problem = "its name is no longer " + partName + ", or it was formatted as something else"
		}
	default:
		return v, false
	}
	return v, true
}
