package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// VolumeSize is the size of what [Format] makes: small, and with clusters enough
// to be FAT16, which every system reads.
const VolumeSize = 4 << 20

// Format writes an empty FAT16 volume of VolumeSize bytes from the beginning of
// the device on, which has to hold zeros there. The label has up to 11 capital
// letters and digits.
func Format(dev Device, label string, serial uint32, when time.Time) error {
	if label == "" || len(label) > 11 || label != strings.ToUpper(label) || checkName(label) != nil {
		return fmt.Errorf("formatting a volume: %q is not a label", label)
	}
	const (
		sector, reserved, copies, rootEntries = 512, 1, 2, 512
		total                                 = VolumeSize / sector
		tableSectors                          = (total*2 + sector - 1) / sector
	)
	boot := make([]byte, bootLen)
	copy(boot, "\xEB\x3C\x90MSWIN4.1") // the jump and the name that readers expect
	put16 := func(at int, n uint16) { binary.LittleEndian.PutUint16(boot[at:], n) }
	put16(11, sector)
	boot[13] = 1 // sectors of a cluster
	put16(14, reserved)
	boot[16] = copies
	put16(17, rootEntries)
	put16(19, total)
	boot[21] = 0xF8 // a disk that is not removed
	put16(22, tableSectors)
	put16(24, 32) // sectors of a track, heads: of old BIOSes
	put16(26, 8)
	boot[36], boot[38] = 0x80, 0x29 // drive; what follows is there
	binary.LittleEndian.PutUint32(boot[39:], serial)
	copy(boot[43:], fmt.Sprintf("%-11s%-8s", label, "FAT16"))
	boot[510], boot[511] = 0x55, 0xAA
	if _, err := dev.WriteAt(boot, 0); err != nil {
		return fmt.Errorf("writing a boot sector: %w", err)
	}
	for i := range int64(copies) { // the first two entries belong to no cluster
		if _, err := dev.WriteAt([]byte{0xF8, 0xFF, 0xFF, 0xFF}, (reserved+i*tableSectors)*sector); err != nil {
			return fmt.Errorf("writing an allocation table: %w", err)
		}
	}
	var e [entryLen]byte
	copy(e[:], fmt.Sprintf("%-11s", label))
	e[11] = attrLabel
	fill(e[:], 0, 0, when)
	if _, err := dev.WriteAt(e[:], (reserved+copies*tableSectors)*sector); err != nil {
		return fmt.Errorf("writing a root folder: %w", err)
	}
	return nil
}
