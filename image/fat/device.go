package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// What marks the FSInfo sector ("FSInfo Sector Structure").
const infoLead, infoSign = 0x41615252, 0x61417272

func (v *Volume) read(at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := v.dev.ReadAt(b, v.base+at); err != nil {
		return nil, fmt.Errorf("reading the volume: %w", err)
	}
	return b, nil
}

func (v *Volume) write(at int64, b []byte) error {
	if _, err := v.dev.WriteAt(b, v.base+at); err != nil {
		return fmt.Errorf("writing the volume: %w", err)
	}
	return nil
}

func (v *Volume) loadTable() (table, error) {
	raw, err := v.read(v.table, v.tableLen)
	return table{raw, v.wide, v.clusters}, err
}

// saveTable writes every copy of the table.
func (v *Volume) saveTable(t table) error {
	for i := range v.copies {
		if err := v.write(v.table+int64(i)*v.tableLen, t.raw); err != nil {
			return err
		}
	}
	return nil
}

// saveInfo tells the count of free clusters, where a volume keeps one.
func (v *Volume) saveInfo(t table) error {
	if !v.wide || v.info == 0 {
		return nil
	}
	b, err := v.read(v.info, bootLen)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != infoLead || binary.LittleEndian.Uint32(b[484:]) != infoSign {
		return nil // then there is none
	}
	n, first := t.free()
	binary.LittleEndian.PutUint32(b[488:], n)
	binary.LittleEndian.PutUint32(b[492:], first)
	return v.write(v.info, b)
}

func (v *Volume) readClusters(chain []uint32) ([]byte, error) {
	out := make([]byte, 0, int64(len(chain))*v.cluster)
	for _, c := range chain {
		b, err := v.read(v.at(c), v.cluster)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// writeClusters fills a chain with text, and with zeros after it.
func (v *Volume) writeClusters(chain []uint32, text []byte) error {
	for _, c := range chain {
		b := make([]byte, v.cluster)
		text = text[copy(b, text):]
		if err := v.write(v.at(c), b); err != nil {
			return err
		}
	}
	return nil
}

// root reads the root folder. On FAT32 it needs the table; nil has it read.
func (v *Volume) root(t *table) (folder, error) {
	if !v.wide {
		raw, err := v.read(v.geometry.root, v.rootLen)
		return folder{raw, v.rootLen, []int64{v.geometry.root}}, err
	}
	if t == nil {
		loaded, err := v.loadTable()
		if err != nil {
			return folder{}, err
		}
		t = &loaded
	}
	chain, err := t.chain(v.rootCluster)
	if err != nil {
		return folder{}, err
	}
	if int64(len(chain))*v.cluster > maxRoot {
		return folder{}, fmt.Errorf("reading the root folder: %d clusters: %w", len(chain), ErrDamaged)
	}
	f := folder{piece: v.cluster}
	for _, c := range chain {
		f.at = append(f.at, v.at(c))
	}
	f.raw, err = v.readClusters(chain)
	return f, err
}

// maxRoot bounds the bytes of a root folder, and the memory for it: a folder has at most
// 65536 entries ("FAT Directory Structure").
const maxRoot = 65536 * entryLen

// growRoot adds a cluster to the root folder. That of FAT16 has a fixed length.
func (v *Volume) growRoot(t *table, f *folder) error {
	if !v.wide || int64(len(f.at)+1)*v.cluster > maxRoot {
		return fmt.Errorf("adding an entry to the root folder: %w", ErrFull)
	}
	chain, err := t.chain(v.rootCluster)
	if err != nil {
		return err
	}
	more, err := t.take(1)
	if err != nil {
		return err
	}
	t.set(chain[len(chain)-1], more[0])
	f.raw, f.at = append(f.raw, bytes.Repeat([]byte{end}, int(v.cluster))...), append(f.at, v.at(more[0]))
	return nil
}

// saveRoot writes the root folder, its pieces from the last to the first: an entry
// that is spread over two is whole once its end is there.
func (v *Volume) saveRoot(f folder) error {
	for i := len(f.at) - 1; i >= 0; i-- {
		if err := v.write(f.at[i], f.raw[int64(i)*f.piece:int64(i+1)*f.piece]); err != nil {
			return err
		}
	}
	return nil
}
