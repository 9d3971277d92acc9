package fat

import (
	"encoding/binary"
	"fmt"
)

const (
	// wideMask: the upper four bits of an entry of FAT32 are reserved and kept.
	wideMask = 0x0FFFFFFF
	// lastWide and lastNarrow mark the last cluster of a chain; from minLast* on a
	// value means the same ("FAT Data Structure").
	lastWide, minLastWide     = 0x0FFFFFFF, 0x0FFFFFF8
	lastNarrow, minLastNarrow = 0xFFFF, 0xFFF8
)

// table is the allocation table, in memory: for each cluster the next of its
// chain, 0 when it is free.
type table struct {
	raw      []byte
	wide     bool
	clusters uint32
}

func (t table) get(c uint32) uint32 {
	if t.wide {
		return binary.LittleEndian.Uint32(t.raw[4*c:]) & wideMask
	}
	return uint32(binary.LittleEndian.Uint16(t.raw[2*c:]))
}

func (t table) set(c, next uint32) {
	if t.wide {
		kept := binary.LittleEndian.Uint32(t.raw[4*c:]) &^ wideMask
		binary.LittleEndian.PutUint32(t.raw[4*c:], kept|next)
		return
	}
	binary.LittleEndian.PutUint16(t.raw[2*c:], uint16(next))
}

func (t table) last() uint32 {
	if t.wide {
		return lastWide
	}
	return lastNarrow
}

func (t table) isLast(next uint32) bool {
	return next >= minLastWide || !t.wide && next >= minLastNarrow
}

// chain lists the clusters from the first on. One that leads nowhere, or in a
// circle, is an error.
func (t table) chain(first uint32) ([]uint32, error) {
	var out []uint32
	for c := first; ; c = t.get(c) {
		if c < 2 || c-2 >= t.clusters || len(out) > int(t.clusters) {
			return nil, fmt.Errorf("following a chain: cluster %d: %w", c, ErrDamaged)
		}
		out = append(out, c)
		if t.isLast(t.get(c)) {
			return out, nil
		}
	}
}

// take links n free clusters to a chain.
func (t table) take(n int) ([]uint32, error) {
	var out []uint32
	for c := uint32(2); c-2 < t.clusters && len(out) < n; c++ {
		if t.get(c) == 0 {
			out = append(out, c)
		}
	}
	if len(out) < n {
		return nil, ErrFull
	}
	for i, c := range out {
		next := t.last()
		if i+1 < n {
			next = out[i+1]
		}
		t.set(c, next)
	}
	return out, nil
}

// free counts the free clusters and names the first.
func (t table) free() (n, first uint32) {
	for c := t.clusters + 1; c >= 2; c-- {
		if t.get(c) == 0 {
			n, first = n+1, c
		}
	}
	return n, first
}
