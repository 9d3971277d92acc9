package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Attributes of an entry of a folder ("FAT Directory Structure"); one of all
// four lower bits is a part of a long name.
const (
	attrLabel  = 0x08
	attrFolder = 0x10
	attrFile   = 0x20
	attrLong   = 0x0F

	freed   = 0xE5 // first byte of an entry that is free
	end     = 0x00 // the same, and so are all that follow
	lastBit = 0x40 // in the number of the first stored part of a long name
	perPart = 13   // UTF-16 units in a part of a long name
)

// longAt is where a part of a long name keeps its units ("Long Directory Entries").
func longAt() [perPart]int { return [perPart]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} }

// checkName takes the names that need no further rules: letters, digits, '-', '_',
// with one dot inside.
func checkName(name string) error {
	base, ext, dotted := strings.Cut(name, ".")
	plain := strings.ContainsFunc(base+ext, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if base == "" || dotted && ext == "" || plain || len(name) > 64 {
		return fmt.Errorf("naming a file: %q is not a name for it here", name)
	}
	return nil
}

// shortName makes the n-th short name for a long one ("Generating 8.3 names").
func shortName(name string, n int) [11]byte {
	base, ext, _ := strings.Cut(strings.ToUpper(name), ".")
	tail := fmt.Sprintf("~%d", n)
	base = base[:min(len(base), 8-len(tail))] + tail
	var out [11]byte
	copy(out[:], bytes.Repeat([]byte{' '}, len(out)))
	copy(out[:8], base)
	copy(out[8:], ext)
	return out
}

// checksum ties the parts of a long name to the short one ("ChkSum").
func checksum(short []byte) byte {
	var sum byte
	for _, b := range short {
		sum = sum>>1 | sum<<7
		sum += b
	}
	return sum
}

// longParts returns the entries of a long name, in the order in which they are
// stored: the last part first.
func longParts(name string, sum byte) [][entryLen]byte {
	units := utf16.Encode([]rune(name))
	n := (len(units) + perPart - 1) / perPart
	out := make([][entryLen]byte, n)
	for i := range n {
		e := &out[n-1-i]
		e[0], e[11], e[13] = byte(i+1), attrLong, sum
		for k, at := range longAt() {
			unit := uint16(0xFFFF)
			if j := i*perPart + k; j < len(units) {
				unit = units[j]
			} else if j == len(units) {
				unit = 0
			}
			binary.LittleEndian.PutUint16(e[at:], unit)
		}
	}
	out[0][0] |= lastBit
	return out
}

// longName collects the parts of a long name while a folder is read.
type longName struct {
	units []uint16
	want  byte // number of the part that has to follow
	sum   byte
}

// add takes the next part; one that does not fit drops what was collected.
func (l *longName) add(e []byte) {
	n := e[0] &^ lastBit
	if e[0]&lastBit != 0 {
		*l = longName{want: n, sum: e[13]}
	}
	if n == 0 || n != l.want || e[13] != l.sum {
		*l = longName{}
		return
	}
	var part []uint16
	for _, at := range longAt() {
		u := binary.LittleEndian.Uint16(e[at:])
		if u == 0 {
			break
		}
		part = append(part, u)
	}
	l.units, l.want = append(part, l.units...), n-1
}

// of returns the name of the entry that follows the parts.
func (l *longName) of(e []byte) string {
	if len(l.units) > 0 && l.want == 0 && checksum(e[:11]) == l.sum {
		return string(utf16.Decode(l.units))
	}
	base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if ext != "" {
		base += "." + ext
	}
	return base
}

// labelText is a label without the spaces that fill it.
func labelText(b []byte) string { return strings.TrimRight(string(b), " \x00") }
