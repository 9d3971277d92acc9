package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// folder is the root folder, in memory, with where each piece of it lies.
type folder struct {
	raw   []byte
	piece int64   // length of one piece
	at    []int64 // offset of each piece
}

// found is a file of the folder.
type found struct {
	slot int // of its short entry
	raw  []byte
}

func (f found) first() uint32 {
	return uint32(binary.LittleEndian.Uint16(f.raw[20:]))<<16 | uint32(binary.LittleEndian.Uint16(f.raw[26:]))
}

func (f found) size() int64 { return int64(binary.LittleEndian.Uint32(f.raw[28:])) }

// entries calls do with each entry that is in use, but for parts of long names,
// until it returns false.
func (f folder) entries(do func(slot int, name string, e []byte) bool) {
	var long longName
	for slot := range len(f.raw) / entryLen {
		e := f.raw[slot*entryLen : (slot+1)*entryLen]
		switch {
		case e[0] == end:
			return
		case e[0] == freed:
			long = longName{}
		case e[11]&0x3F == attrLong:
			long.add(e)
		default:
			if !do(slot, long.of(e), e) {
				return
			}
			long = longName{}
		}
	}
}

// find looks for a name, as FAT does: upper and lower case are the same.
func (f folder) find(name string) (hit *found, err error) {
	f.entries(func(slot int, other string, e []byte) bool {
		if e[11]&attrLabel != 0 || !strings.EqualFold(other, name) {
			return true
		}
		hit = &found{slot, e}
		return false
	})
	if hit != nil && hit.raw[11]&attrFolder != 0 {
		return nil, fmt.Errorf("looking for %s: a folder has this name", name)
	}
	return hit, nil
}

// label is that of the volume: an entry of the root folder.
func (f folder) label() (text string) {
	f.entries(func(_ int, _ string, e []byte) bool {
		if e[11]&(attrLabel|attrFolder) == attrLabel {
			text = labelText(e[:11])
		}
		return text == ""
	})
	return text
}

// freeShort is a short name that no entry has.
func (f folder) freeShort(name string) ([11]byte, error) {
	for n := 1; n < 100; n++ {
		short, taken := shortName(name, n), false
		f.entries(func(_ int, _ string, e []byte) bool {
			taken = taken || string(e[:11]) == string(short[:])
			return !taken
		})
		if !taken {
			return short, nil
		}
	}
	return [11]byte{}, fmt.Errorf("naming %s: %w", name, ErrFull)
}

// room returns the first of n free entries in a row, -1 when there are none.
func (f folder) room(n int) int {
	run, ended := 0, false
	for slot := range len(f.raw) / entryLen {
		first := f.raw[slot*entryLen]
		ended = ended || first == end
		if ended || first == freed {
			run++
		} else {
			run = 0
		}
		if run == n {
			return slot - n + 1
		}
	}
	return -1
}

// put stores entries from a slot on, and keeps the mark of the end behind them.
func (f folder) put(slot int, entries ...[entryLen]byte) {
	atEnd := false
	for s := range slot + len(entries) {
		atEnd = atEnd || f.raw[s*entryLen] == end
	}
	for i, e := range entries {
		copy(f.raw[(slot+i)*entryLen:], e[:])
	}
	if next := (slot + len(entries)) * entryLen; atEnd && next < len(f.raw) {
		f.raw[next] = end
	}
}

// fill writes what an entry says of a file: where, how long, of when.
func fill(e []byte, first uint32, size int, when time.Time) {
	date, clock := stamp(when)
	binary.LittleEndian.PutUint16(e[18:], date) // last access
	binary.LittleEndian.PutUint16(e[20:], uint16(first>>16))
	binary.LittleEndian.PutUint16(e[22:], clock)
	binary.LittleEndian.PutUint16(e[24:], date)
	binary.LittleEndian.PutUint16(e[26:], uint16(first))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
}

// stamp is a time as FAT writes it: from 1980 on, in steps of two seconds ("Date
// and Time Formats").
func stamp(t time.Time) (date, clock uint16) {
	year := min(max(t.Year()-1980, 0), 127)
	return uint16(year<<9 | int(t.Month())<<5 | t.Day()), uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}
