package junostest

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// hardware is the reply to show chassis hardware.
func (d *Device) hardware(w *writer, node int) { d.chassis(w, node, false) }

// hardwareExtensive is the reply to show chassis hardware extensive: the same
// with the contents of each part's identification EEPROM.
func (d *Device) hardwareExtensive(w *writer, node int) { d.chassis(w, node, true) }

func (d *Device) chassis(w *writer, node int, extensive bool) {
	c := d.inventory(node)
	w.in("chassis-inventory", func() {
		w.in("chassis", func() { c.write(w, 0, extensive) }, "junos:style", "inventory")
	}, "xmlns", d.junosNS("junos-chassis"))
}

// moduleName is the element of a part at each depth.
func moduleName(depth int) string {
	return "chassis-" + strings.Repeat("sub-", depth-1) + "module"
}

func (p part) write(w *writer, depth int, extensive bool) {
	w.leaf("name", p.name)
	w.some("version", p.version)
	w.some("part-number", p.number)
	w.some("serial-number", p.serial)
	w.leaf("description", p.description)
	w.some("clei-code", p.clei)
	w.some("model-number", p.model)
	if extensive {
		w.in("i2c-information", func() { p.eeprom(w) })
	}
	for _, d := range p.disks {
		w.in("chassis-re-disk-module", func() {
			w.leaf("name", d.name)
			w.leaf("disk-size", strconv.Itoa(d.megabytes))
			w.leaf("model", d.model)
			w.leaf("serial-number", d.serial)
			w.leaf("description", "Hard Disk")
		})
	}
	for _, sub := range p.parts {
		w.in(moduleName(depth+1), func() { sub.write(w, depth+1, extensive) })
	}
}

// eeprom writes what the part's EEPROM says, decoded and as a dump.
func (p part) eeprom(w *writer) {
	h := fnv.New32a()
	h.Write([]byte(p.number + p.serial))
	sum := h.Sum32()
	blank := p.number == "BUILTIN"
	jedec, version, date := "0x7fb0", "0x02", fmt.Sprintf("%02d-%02d-20%02d", 1+sum%12, 1+sum>>8%28, 15+sum>>16%10)
	if blank {
		jedec, version, date = "0x0000", "0x00", "00-00-0000"
	}
	w.leaf("jedec-code", jedec)
	w.leaf("eeprom-version", version)
	w.leaf("part-number", p.number)
	w.leaf("serial-number", p.serial)
	w.leaf("assembly-identifier", fmt.Sprintf("0x%04x", sum&0xfff))
	w.leaf("assembly-version", fmt.Sprintf("%02d.%02d", sum%3, sum%40))
	w.leaf("manufacture-date", date)
	w.leaf("assembly-flags", "0x00")
	w.leaf("i2c-version", p.version)
	w.some("clei-code", p.clei)
	w.leaf("i2c-identifier", p.description)
	w.some("model-number", p.model)
	w.leaf("board-information-record", "Address 0x00: "+dump(p.serial, 16))
	var b strings.Builder
	for i, row := range [...]string{p.version, p.number, p.serial, "", p.clei, p.model, "", ""} {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("Address 0x" + string(digits[i]) + "0: ")
		b.WriteString(dump(row, 16))
	}
	w.leaf("i2c-data", b.String())
}

const digits = "0123456789abcdef"

// dump is text as hexadecimal bytes, filled up with ff.
func dump(text string, size int) string {
	b := make([]byte, 0, 3*size)
	for i := range size {
		c := byte(0xff)
		if i < len(text) {
			c = text[i]
		}
		b = append(b, digits[c>>4], digits[c&15], ' ')
	}
	return string(b[:len(b)-1])
}
