package junostest

import (
	"fmt"
	"strconv"
)

// supplyName is what the platform calls its power supplies.
func (d *Device) supplyName(i int) string {
	switch d.Model {
	case MXDualRE, SRXCluster:
		return "PEM " + strconv.Itoa(i)
	case PTXEVO:
		return "PSM " + strconv.Itoa(i)
	case EXVC:
		return "Power Supply " + strconv.Itoa(i)
	default:
		return "PSU " + strconv.Itoa(i)
	}
}

// supplyStates tells for each power supply whether it is on: the first always
// is, and environment says the same.
func (d *Device) supplyStates(node int) []bool {
	r := d.draw("supplies", node)
	on := make([]bool, d.prod.power)
	for i := range on {
		on[i] = r.IntN(8) > 0 || i == 0
	}
	return on
}

// power is the reply to show chassis power.
func (d *Device) power(w *writer, node int) {
	capacity := 650
	if d.Model == MXDualRE || d.Model == PTXEVO {
		capacity = 2520
	}
	r := d.draw("power", node)
	total, used := 0, 0
	w.in("power-usage-information", func() {
		for i, on := range d.supplyStates(node) {
			load := b2i(on) * (20 + r.IntN(30))
			total, used = total+b2i(on)*capacity, used+capacity*load/100
			w.in("power-usage-item", func() {
				w.leaves("name", d.supplyName(i), "state", map[bool]string{true: "Online", false: "Present"}[on])
				d.supply(w, capacity, load, i, on)
			})
		}
		w.in("power-usage-system", func() {
			w.in("power-usage-zone-information", func() {
				w.zeros("zone")
				w.num("capacity-actual", total)
				w.num("capacity-max", total)
				w.num("capacity-allocated", total*3/5)
				w.num("capacity-remaining", total*2/5)
				w.num("capacity-actual-usage", used)
			})
			w.num("capacity-sys-actual", total)
			w.num("capacity-sys-max", total)
			w.num("capacity-sys-remaining", total*2/5)
		})
	}, "xmlns", d.junosNS("junos-chassis"))
}

func (d *Device) supply(w *writer, capacity, load, slot int, on bool) {
	w.in("ac-input-detail", func() {
		w.leaf("ac-input", map[bool]string{true: "OK", false: "Out of range"}[on])
		w.num("ac-expected", 1)
		w.num("ac-actual", b2i(on))
	})
	w.in("pem-capacity-detail", func() {
		w.num("capacity-actual", b2i(on)*capacity)
		w.num("capacity-max", capacity)
	})
	watts := capacity * load / 100
	w.in("dc-output-detail", func() {
		w.num("dc-power", watts)
		w.num("zone", slot&1*b2i(d.Product == "mx960"))
		w.num("dc-current", watts/12)
		w.num("dc-voltage", b2i(on)*12)
		w.num("dc-load", load)
	})
}

// fans is the reply to show chassis fan.
func (d *Device) fans(w *writer, node int) {
	w.in("fan-information", func() {
		for m := range d.vcMembers() {
			r := d.draw("fans", node<<4|m)
			for i := range d.prod.fans * 2 {
				rpm := 3200 + r.IntN(40)*60
				name := fmt.Sprintf("Fan Tray %d Fan %d", i/2, i%2+1)
				if d.Model == EXVC {
					name = fmt.Sprintf("FPC %d %s", m, name)
				}
				w.in("fan-information-rpm-item", func() {
					w.leaves("name", name, "status", "OK", "rpm", strconv.Itoa(rpm), "comment", pick(r, "Spinning at normal speed", "Spinning at intermediate-speed"))
				})
			}
		}
	}, "xmlns", d.junosNS("junos-chassis"))
}

// vcMembers is how many chassis one reply covers: all of a virtual chassis.
func (d *Device) vcMembers() int {
	if d.Model == EXVC {
		return d.members()
	}
	return 1
}

// thresholds is the reply to show chassis temperature-thresholds, in degrees.
func (d *Device) thresholds(w *writer, node int) {
	w.in("temperature-threshold-information", func() {
		w.in("temperature-threshold", func() { threshold(w, "Chassis default", 48, 65) })
		for i := range d.engines() {
			w.in("temperature-threshold", func() { threshold(w, fmt.Sprintf("Routing Engine %d", i), 70, 85) })
		}
		cards, slots := d.nodeCards(node)
		for i, l := range cards {
			for n := range l.pics {
				w.in("temperature-threshold", func() { threshold(w, fmt.Sprintf("FPC %d sensor %d", slots[i], n), 55+l.slot&3, 75) })
			}
		}
	}, "xmlns", d.junosNS("junos-chassis"))
}

func threshold(w *writer, name string, normal, yellow int) {
	w.leaf("name", name)
	w.num("fan-normal-speed", normal)
	w.num("fan-high-speed", normal+6)
	w.num("bad-fan-yellow-alarm", yellow-10)
	w.num("yellow-alarm", yellow)
	w.num("bad-fan-red-alarm", yellow)
	w.num("red-alarm", yellow+10)
	w.num("fire-shutdown", yellow+25)
}
