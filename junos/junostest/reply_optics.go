package junostest

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// diagnostics is the reply to show interfaces diagnostics optics: the ports
// that hold a pluggable, and nothing of copper ports.
func (d *Device) diagnostics(w *writer, _ int) {
	w.in("interface-information", func() {
		for _, p := range d.ports() {
			if p.optic == (optic{}) || !w.wants(p.name) {
				continue
			}
			w.in("physical-interface", func() {
				w.leaf("name", p.name)
				w.in("optics-diagnostics", func() { d.optics(w, p) })
			})
		}
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "normal")
}

// lanes is how many lasers a pluggable has.
func (o optic) lanes() int {
	if strings.HasPrefix(o.description, "SFP") {
		return 1
	}
	return 4
}

func (d *Device) optics(w *writer, p port) {
	if p.optic.description == "SFP-T" {
		w.leaf("optic-diagnostics-not-available", "N/A")
		return
	}
	r := d.draw("light", p.number)
	celsius := 26 + r.IntN(20)
	if p.optic.lanes() == 1 {
		d.light(w, r, p)
		temperature(w, "module-temperature", celsius)
		w.leaf("module-voltage", milli(3250+r.IntN(120), 3))
		w.leaves("rx-signal-avg-optical-power", milliwatt(rxDBm(p)), "rx-signal-avg-optical-power-dbm", centi(rxDBm(p)))
		alarmsOff(w, "laser-bias-current", "laser-tx-power", "module-temperature", "module-voltage", "laser-rx-power")
		limits(w)
		return
	}
	temperature(w, "module-temperature", celsius)
	w.leaf("module-voltage", milli(3250+r.IntN(120), 3))
	alarmsOff(w, "module-temperature", "module-voltage")
	limits(w)
	for lane := range p.optic.lanes() {
		w.in("optics-diagnostics-lane-values", func() {
			w.num("lane-index", lane)
			d.light(w, r, p)
			d.laneLight(w, r, p)
		})
	}
}

// rxDBm is the light that a port receives, in hundredths of a dBm: darkness
// where nothing is plugged in at the other end.
func rxDBm(p port) int {
	if !p.up {
		return darkness
	}
	return -180 - (p.number*37+p.socket*11)%620
}

// light writes what is sent.
func (d *Device) light(w *writer, r *rand.Rand, p port) {
	if !p.enabled { // the laser of a disabled port is off
		w.leaves("laser-bias-current", "0.000", "laser-output-power", "0.000", "laser-output-power-dbm", "- Inf")
		return
	}
	dbm := -280 + r.IntN(260)
	w.leaves("laser-bias-current", milli(5000+r.IntN(3000), 3), "laser-output-power", milliwatt(dbm), "laser-output-power-dbm", centi(dbm))
}

func (d *Device) laneLight(w *writer, r *rand.Rand, p port) {
	dbm := rxDBm(p)
	if p.up {
		dbm -= r.IntN(90)
	}
	w.leaves("laser-rx-optical-power", milliwatt(dbm), "laser-rx-optical-power-dbm", centi(dbm))
	alarmsOff(w, "laser-bias-current", "laser-tx-power")
	lost := map[bool]string{true: "On", false: "Off"}[!p.up]
	w.leaves("laser-rx-power-high-alarm", "Off", "laser-rx-power-low-alarm", lost, "laser-rx-power-high-warn", "Off", "laser-rx-power-low-warn", lost)
	w.leaves("tx-loss-of-signal-functionality-alarm", "Off", "rx-loss-of-signal-alarm", lost, "tx-laser-disabled-alarm", map[bool]string{true: "Off", false: "On"}[p.enabled])
}

// alarmsOff writes the four alarms of each quantity, none of them raised.
func alarmsOff(w *writer, quantities ...string) {
	for _, q := range quantities {
		for _, level := range [...]string{"-high-alarm", "-low-alarm", "-high-warn", "-low-warn"} {
			w.leaf(q+level, "Off")
		}
	}
}

// limits writes the thresholds that are burnt into a pluggable.
func limits(w *writer) {
	four := func(quantity string, values ...string) {
		for i, level := range [...]string{"-high-alarm-threshold", "-low-alarm-threshold", "-high-warn-threshold", "-low-warn-threshold"} {
			w.leaf(quantity+level, values[i])
		}
	}
	four("laser-bias-current", "13.000", "4.000", "12.500", "5.000")
	for _, power := range []struct {
		name string
		dbm  [4]int
	}{{"laser-tx-power", [4]int{100, -730, 0, -690}}, {"laser-rx-power", [4]int{250, -1390, 200, -1100}}} {
		for i, level := range [...]string{"-high-alarm", "-low-alarm", "-high-warn", "-low-warn"} {
			w.leaf(power.name+level+"-threshold", milliwatt(power.dbm[i]))
			w.leaf(power.name+level+"-threshold-dbm", centi(power.dbm[i]))
		}
	}
	for i, level := range [...]string{"-high-alarm", "-low-alarm", "-high-warn", "-low-warn"} {
		temperature(w, "module-temperature"+level+"-threshold", [...]int{75, -5, 70, 0}[i])
	}
	four("module-voltage", "3.630", "2.970", "3.464", "3.134")
}

// darkness is what a receiver reports that sees no light.
const darkness = -4000

// centi is hundredths of a dBm as a number with two decimals.
func centi(dbm int) string {
	if dbm <= darkness {
		return "- Inf"
	}
	return strconv.FormatFloat(float64(dbm)/100, 'f', 2, 64)
}

// milli is thousandths as a number with that many decimals.
func milli(n, decimals int) string { return strconv.FormatFloat(float64(n)/1000, 'f', decimals, 64) }

// milliwatt is hundredths of a dBm as a power.
func milliwatt(dbm int) string {
	return strconv.FormatFloat(math.Pow(10, float64(dbm)/1000), 'f', 4, 64)
}
