package junostest

import (
	"fmt"
	"math/rand/v2"
)

// part is one entry of the inventory with what it holds.
type part struct {
	name, version, number, serial, description, clei, model string
	disks                                                   []disk
	parts                                                   []part
}

// disk is a disk of a routing engine.
type disk struct {
	name, model, serial string
	megabytes           int
}

// Numbers of the parts whose serials stand in other replies too. The rest are
// numbered as they come, a block of partsPerNode for each node.
const (
	chassisPart  = 0
	enginePart   = 16
	firstPart    = 64
	partsPerNode = 4096
)

// chassisSerial is that of the chassis, member or node of that number.
func (d *Device) chassisSerial(node int) string {
	prefix := map[Model]string{EXVC: "PE", SRXCluster: "DB", QFX: "XH", ACX: "WN"}[d.Model]
	if prefix == "" {
		prefix = "JN"
	}
	return d.serial(prefix, chassisPart+node)
}

// engineSerial is that of the routing engine of that number. The engines of a
// virtual chassis are its members.
func (d *Device) engineSerial(engine int) string {
	if d.Model == EXVC {
		return d.chassisSerial(engine)
	}
	return d.serial("CA", enginePart+engine)
}

// shop hands out parts with serials.
type shop struct {
	d    *Device
	r    *rand.Rand
	next int
}

func (d *Device) shop(node int) *shop {
	return &shop{d: d, r: d.draw("parts", node), next: firstPart + node*partsPerNode}
}

// part makes a part with a serial of its own.
func (s *shop) part(name, number, description, model string) part {
	s.next++
	return part{name: name, version: fmt.Sprintf("REV %02d", 1+s.r.IntN(40)), number: number, model: model,
		serial: s.d.serial("C", s.next), description: description, clei: code(s.r, "IPAAA9AAAA")}
}

// builtin makes a part that has no number of its own.
func builtin(name, description string, inside ...part) part {
	return part{name: name, number: "BUILTIN", serial: "BUILTIN", description: description, parts: inside}
}

// inventory is the chassis of a node with all it holds. A virtual chassis is
// one chassis with a card for each member.
func (d *Device) inventory(node int) part {
	s := d.shop(node)
	c := part{name: "Chassis", serial: d.chassisSerial(node), description: d.prod.marketing, model: d.prod.chassisPart}
	if d.Model == EXVC {
		c.description, c.model = "Virtual Chassis", ""
		c.parts = s.members()
		return c
	}
	c.parts = append(c.parts, s.frame(node)...)
	for _, l := range d.prod.cards {
		c.parts = append(c.parts, s.card(l, ""))
	}
	c.parts = append(c.parts, s.supplies("")...)
	return c
}

// frame is what is not a line card: midplane, display, engines, control boards.
func (s *shop) frame(node int) []part {
	d := s.d
	frame := []part{s.part("Midplane", "750-047853", d.prod.marketing+" Backplane", d.prod.chassisPart)}
	if d.Model == MXDualRE {
		frame = append(frame, s.part("FPM Board", "760-021392", "Front Panel Display", "CRAFT-"+d.prod.marketing+"-S"))
	}
	engines := d.engines()
	for i := range engines {
		frame = append(frame, s.engine(fmt.Sprintf("Routing Engine %d", i), node*engines+i))
	}
	if d.Model == MXDualRE || d.Model == PTXEVO {
		for i := range engines {
			frame = append(frame, s.part(fmt.Sprintf("CB %d", i), "750-062572", "Enhanced MX SCB 2", "SCBE2-MX-S"))
		}
	}
	return frame
}

// engines is how many routing engines a chassis has.
func (d *Device) engines() int {
	if d.Model == MXDualRE {
		return 2
	}
	return 1
}

func (s *shop) engine(name string, number int) part {
	e := s.part(name, "740-031116", s.d.prod.engine, s.d.prod.engine+"-S")
	e.serial = s.d.engineSerial(number)
	e.disks = []disk{{"ada0", "VSF200C4GBI", code(s.r, "P1T99999999999 999"), 3769},
		{"ada1", "ATP Velocity SII", code(s.r, "P1T99999999999 999"), 30552}}
	return e
}

func (s *shop) members() []part {
	var parts []part
	for m := range s.d.members() {
		e := builtin(fmt.Sprintf("Routing Engine %d", m), s.d.prod.engine)
		e.version, e.number, e.serial = "REV 14", s.d.prod.cards[0].part, s.d.engineSerial(m)
		parts = append(parts, e)
	}
	for m := range s.d.members() {
		l := s.d.prod.cards[0]
		l.slot = m
		c := s.card(l, "")
		c.serial = s.d.chassisSerial(m)
		c.parts = append(c.parts, s.supplies("")...)
		parts = append(parts, c)
	}
	return parts
}

func (s *shop) card(l card, prefix string) part {
	c := s.part(fmt.Sprintf("%sFPC %d", prefix, l.slot), l.part, l.description, l.model)
	if l.part == "BUILTIN" {
		c = builtin(c.name, l.description)
	}
	c.parts = append(c.parts, builtin("CPU", "FPC CPU"))
	for _, p := range l.pics {
		pp := builtin(fmt.Sprintf("PIC %d", p.slot), p.description)
		for port := range p.ports {
			if o, ok := s.d.optic(l, p, port); ok {
				x := s.part(fmt.Sprintf("Xcvr %d", port), o.part, o.description, "")
				x.clei = ""
				pp.parts = append(pp.parts, x)
			}
		}
		c.parts = append(c.parts, pp)
	}
	return c
}

func (s *shop) supplies(prefix string) []part {
	var parts []part
	for i := range s.d.prod.power {
		parts = append(parts, s.part(prefix+s.d.supplyName(i), "740-029970",
			"PS 1.4-2.6kW; 90-264V AC in", "PWR-MX480-2520-AC-S"))
	}
	for i := range s.d.prod.fans {
		parts = append(parts, s.part(fmt.Sprintf("%sFan Tray %d", prefix, i), "740-031521", "Enhanced Fan Tray", "FFANTRAY-HC-S"))
	}
	return parts
}
