package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// ErrFormat says that a volume is no FAT16 or FAT32 that this package can use.
var ErrFormat = errors.New("not a FAT16 or FAT32 volume")

const (
	bootLen = 512
	// Below these counts of clusters a volume is FAT12 and FAT16 ("FAT Type
	// Determination").
	fat12Clusters, fat16Clusters = 4085, 65525
	// maxTable bounds the memory for the allocation table: 16 MiB serve a volume of
	// 2 GiB in clusters of 512 bytes.
	maxTable = 16 << 20
	entryLen = 32
)

// geometry is where the parts of a volume lie. Offsets and lengths are in bytes,
// from the beginning of the volume.
type geometry struct {
	wide        bool // FAT32
	cluster     int64
	clusters    uint32 // of data; they are numbered from 2
	table       int64  // offset of the first copy
	tableLen    int64
	copies      int
	root        int64  // FAT16: offset of the root folder
	rootLen     int64  // FAT16: its length
	rootCluster uint32 // FAT32: its first cluster
	data        int64  // offset of cluster 2
	info        int64  // FAT32: offset of the FSInfo sector; 0: none
	label       string // of the boot sector
}

// parse reads the boot sector of a volume of a given size ("Boot Sector and BPB
// Structure").
func parse(boot []byte, size int64) (geometry, error) {
	if len(boot) < bootLen || boot[510] != 0x55 || boot[511] != 0xAA {
		return geometry{}, fmt.Errorf("%w: it has no boot sector", ErrFormat)
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(boot[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(boot[at:])) }
	sector, perCluster, reserved, copies := u16(11), int64(boot[13]), u16(14), int64(boot[16])
	if bits.OnesCount64(uint64(sector)) != 1 || sector < 512 || sector > 4096 || bits.OnesCount64(uint64(perCluster)) != 1 ||
		reserved == 0 || copies == 0 || copies > 2 {
		return geometry{}, fmt.Errorf("%w: its sizes make no sense", ErrFormat)
	}
	total, table := u16(19), u16(22)
	if total == 0 {
		total = u32(32)
	}
	wide := table == 0
	if wide {
		table = u32(36)
	}
	rootLen := u16(17) * entryLen
	g := geometry{wide: wide, cluster: sector * perCluster, table: reserved * sector, tableLen: table * sector, copies: int(copies),
		rootLen: rootLen, label: labelText(boot[43:54])}
	g.root = g.table + copies*g.tableLen
	g.data = g.root + (rootLen+sector-1)/sector*sector
	if total*sector > size || g.data >= total*sector || g.tableLen > maxTable {
		return geometry{}, fmt.Errorf("%w: its parts do not fit into %d bytes", ErrFormat, size)
	}
	g.clusters = uint32((total*sector - g.data) / g.cluster)
	if wide {
		g.rootCluster, g.info, g.label = uint32(u32(44)), u16(48)*sector, labelText(boot[71:82])
		if u16(40)&0x80 != 0 || u16(42) != 0 {
			return geometry{}, fmt.Errorf("%w: it is of a form that is hardly used", ErrFormat)
		}
	}
	return g, g.check()
}

func (g geometry) check() error {
	width := int64(2)
	if g.wide {
		width = 4
	}
	switch {
	case g.wide != (g.clusters >= fat16Clusters) || g.clusters < fat12Clusters:
		return fmt.Errorf("%w: it has %d clusters", ErrFormat, g.clusters)
	case (int64(g.clusters)+2)*width > g.tableLen:
		return fmt.Errorf("%w: its table is too short", ErrFormat)
	case g.wide && (g.rootLen != 0 || !g.valid(g.rootCluster) || g.info >= g.table):
		return fmt.Errorf("%w: its root folder lies nowhere", ErrFormat)
	case !g.wide && g.rootLen == 0:
		return fmt.Errorf("%w: it has no root folder", ErrFormat)
	}
	return nil
}

// valid says whether there is a cluster of this number.
func (g geometry) valid(c uint32) bool { return c >= 2 && c-2 < g.clusters }

// at is where a cluster lies.
func (g geometry) at(c uint32) int64 { return g.data + int64(c-2)*g.cluster }
