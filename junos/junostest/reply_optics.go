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
		w.leaf("module-voltage", milli(3250+r.IntN(120)))
		w.leaves("rx-signal-avg-optical-power", milliwatt(rxDBm(p)), "rx-signal-avg-optical-power-dbm", centi(rxDBm(p)))
		alarmsOff(w, "laser-bias-current", "laser-tx-power", "module-temperature", "module-voltage", "laser-rx-power")
		limits(w)
		return
	}
	temperature(w, "module-temperature", celsius)
	w.leaf("module-voltage", milli(3250+r.IntN(120)))
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
	w.leaves("laser-bias-current", milli(5000+r.IntN(3000)), "laser-output-power", milliwatt(dbm), "laser-output-power-dbm", centi(dbm))
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
		for _, level := range levels {
			w.leaf(q+level, "Off")
		}
	}
}

// limits writes the thresholds that are burnt into a pluggable.
func limits(w *writer) {
	for _, l := range burnt {
		for i, level := range levels {
			if l.celsius != nil {
				temperature(w, l.quantity+level+"-threshold", l.celsius[i])
				continue
			}
			w.leaf(l.quantity+level+"-threshold", l.values[i])
			if l.dbm != nil {
				w.leaf(l.quantity+level+"-threshold-dbm", l.dbm[i])
			}
		}
	}
}

var levels = [...]string{"-high-alarm", "-low-alarm", "-high-warn", "-low-warn"}

// burnt are the thresholds, for each of the levels.
var burnt = []struct {
	quantity    string
	values, dbm []string
	celsius     []int
}{
	{quantity: "laser-bias-current", values: []string{"13.000", "4.000", "12.500", "5.000"}},
	{quantity: "laser-tx-power", values: []string{"1.2580", "0.1860", "1.0000", "0.2040"}, dbm: []string{"1.00", "-7.30", "0.00", "-6.90"}},
	{quantity: "laser-rx-power", values: []string{"1.7780", "0.0400", "1.5840", "0.0790"}, dbm: []string{"2.50", "-13.98", "2.00", "-11.02"}},
	{quantity: "module-temperature", celsius: []int{75, -5, 70, 0}},
	{quantity: "module-voltage", values: []string{"3.630", "2.970", "3.464", "3.134"}},
}

// darkness is what a receiver reports that sees no light.
const darkness = -4000

// centi is hundredths of a dBm as a number with two decimals.
func centi(dbm int) string {
	if dbm <= darkness {
		return "- Inf"
	}
	return decimal(dbm, 100)
}

// decimal is n parts of one as a number with as many decimals as one has zeros.
func decimal(n, one int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return sign + strconv.Itoa(n/one) + "." + strconv.Itoa(one + n%one)[1:]
}

// milli is thousandths as a number.
func milli(n int) string { return decimal(n, 1000) }

// milliwatt is hundredths of a dBm as a power.
func milliwatt(dbm int) string {
	return decimal(int(math.Pow(10, float64(dbm)/1000)*10000+0.5), 10000)
}
