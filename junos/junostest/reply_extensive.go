package junostest

import (
	"strconv"
)

// extensive is the reply to show interfaces extensive: every counter of every port.
func (d *Device) extensive(w *writer, _ int) {
	w.in("interface-information", func() {
		d.eachPort(w, func(p port) {
			w.in("physical-interface", func() {
				d.physical(w, p)
				if p.speed == "" {
					d.softCounters(w, p)
				} else {
					d.hardCounters(w, p)
				}
				for i, u := range p.units {
					w.in("logical-interface", func() { d.logical(w, p, u, i, true) })
				}
			})
		})
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "normal")
}

func (d *Device) softCounters(w *writer, p port) {
	w.leaf("statistics-cleared", "Never")
	d.counters(w, "traffic-statistics", d.traffic(p), "verbose")
}

func (d *Device) counters(w *writer, name string, t traffic, style string) {
	w.in(name, func() {
		w.num("input-bytes", t.inBytes)
		w.num("input-bps", t.inBPS)
		w.num("output-bytes", t.outBytes)
		w.num("output-bps", t.outBPS)
		w.num("input-packets", t.inPackets)
		w.num("input-pps", t.inBPS/5900)
		w.num("output-packets", t.outPackets)
		w.num("output-pps", t.outBPS/5200)
	}, "junos:style", style)
}

func (d *Device) hardCounters(w *writer, p port) {
	r, t := d.draw("errors", p.number), d.traffic(p)
	w.leaf("statistics-cleared", "Never")
	d.counters(w, "traffic-statistics", t, "verbose")
	errors := b2i(p.up && r.IntN(6) == 0) * r.IntN(90000)
	w.in("input-error-list", func() {
		w.num("input-errors", errors)
		w.num("input-drops", errors/9)
		w.num("framing-errors", errors-errors/9)
		w.zeros("input-runts", "input-discards", "input-l3-incompletes", "input-l2-channel-errors", "input-l2-mismatch-timeouts",
			"input-fifo-errors", "input-resource-errors")
	})
	w.in("output-error-list", func() {
		w.num("carrier-transitions", 1+r.IntN(60))
		w.zeros("output-errors", "output-collisions")
		w.num("output-drops", b2i(p.up)*r.IntN(2000))
		w.zeros("aged-packets", "mtu-errors", "hs-link-crc-errors", "output-fifo-errors", "output-resource-errors")
	})
	d.queues(w, r, t)
	alarmFlags(w)
	if p.optic != (optic{}) {
		d.pcs(w, p, errors)
	} else {
		negotiation(w, p)
	}
	d.macCounters(w, p, true)
	d.frameFilter(w, t)
	w.in("pfe-information", func() {
		w.in("destination-slot", func() {
			w.leaf("destination-slot-number", strconv.Itoa(p.slot)+" (0x00)")
		})
	})
	d.shaping(w, p)
	w.leaf("interface-transmit-statistics", "Disabled")
}

// macCounters writes the counters of the Ethernet chip, all of them where full is set.
func (d *Device) macCounters(w *writer, p port, full bool) {
	t := d.traffic(p)
	style := "brief"
	if full {
		style = "verbose"
	}
	w.in("ethernet-mac-statistics", func() {
		w.num("input-bytes", t.inBytes)
		w.num("output-bytes", t.outBytes)
		w.num("input-packets", t.inPackets)
		w.num("output-packets", t.outPackets)
		if !full {
			return
		}
		w.num("input-unicasts", t.inPackets/100*97)
		w.num("output-unicasts", t.outPackets/100*98)
		w.num("input-broadcasts", t.inPackets>>12)
		w.num("output-broadcasts", t.outPackets>>14)
		w.num("input-multicasts", t.inPackets>>10)
		w.num("output-multicasts", t.outPackets>>11)
		w.zeros("input-crc-errors", "output-crc-errors", "input-fifo-errors", "output-fifo-errors", "input-mac-control-frames",
			"output-mac-control-frames", "input-mac-pause-frames", "output-mac-pause-frames", "input-oversized-frames",
			"input-jabber-frames", "input-fragment-frames", "input-vlan-tagged-frames", "input-code-violations",
			"input-total-errors", "output-total-errors")
	}, "junos:style", style)
}

// pcs writes the counters of the coding layer, and those of forward error
// correction where the port is fast enough to need it.
func (d *Device) pcs(w *writer, p port, errors int) {
	w.in("ethernet-pcs-statistics", func() {
		w.num("bit-error-seconds", errors%60)
		w.num("errored-blocks-seconds", errors%40)
	}, "junos:style", "verbose")
	if p.speed != "100Gbps" && p.speed != "400Gbps" {
		return
	}
	mode := map[string]string{"100Gbps": "FEC91", "400Gbps": "FEC119"}[p.speed]
	w.in("ethernet-fec-mode-information", func() { w.leaf("enabled_fec_mode", mode) }, "junos:style", "verbose")
	w.in("ethernet-fec-statistics", func() {
		w.num("fec_ccw_count", errors*13)
		w.zeros("fec_nccw_count")
		w.num("fec_ccw_error_rate", errors%7)
		w.zeros("fec_nccw_error_rate")
	}, "junos:style", "verbose")
}

func (d *Device) frameFilter(w *writer, t traffic) {
	w.in("ethernet-filter-statistics", func() {
		w.num("input-packets", t.inPackets/100*97)
		w.zeros("input-reject-count", "input-reject-destination-address-count", "input-reject-source-address-count")
		w.num("output-packets", t.outPackets)
		w.zeros("output-packet-pad-count", "output-packet-error-count", "cam-destination-filter-count", "cam-source-filter-count")
	})
}

// shaping writes how the bandwidth is divided over the queues.
func (d *Device) shaping(w *writer, p port) {
	w.in("cos-information", func() {
		w.in("cos-stream-information", func() {
			w.leaf("cos-direction", "Output")
			for _, q := range []struct {
				number  int
				percent int
			}{{0, 95}, {3, 5}} {
				w.in("cos-queue-configuration", func() {
					w.num("cos-queue-number", q.number)
					w.leaf("cos-queue-forwarding-class", forwardingClasses[q.number])
					w.num("cos-queue-bandwidth", q.percent)
					w.leaf("cos-queue-bandwidth-bps", bandwidth(p.speed, q.percent))
					w.num("cos-queue-buffer", q.percent)
					w.leaves("cos-queue-buffer-bytes", "0", "cos-queue-priority", "low", "cos-queue-limit", "none")
				})
			}
		}, "junos:style", "brief")
	}, "junos:style", "extensive")
}

// bandwidth is a share of a speed, in bits per second.
func bandwidth(speed string, percent int) string {
	mega := map[string]int{"1000mbps": 1000, "10Gbps": 10000, "40Gbps": 40000, "100Gbps": 100000, "400Gbps": 400000}[speed]
	return strconv.Itoa(mega * 10000 * percent)
}

func (d *Device) unitCounters(w *writer, p port) {
	t := d.traffic(p)
	d.counters(w, "traffic-statistics", t, "verbose")
	w.in("local-traffic-statistics", func() {
		w.num("input-bytes", t.inBytes>>16)
		w.num("output-bytes", t.outBytes>>16)
		w.num("input-packets", t.inPackets>>16)
		w.num("output-packets", t.outPackets>>16)
	}, "junos:style", "verbose")
	t.inBytes, t.outBytes = t.inBytes-t.inBytes>>16, t.outBytes-t.outBytes>>16
	t.inPackets, t.outPackets = t.inPackets-t.inPackets>>16, t.outPackets-t.outPackets>>16
	d.counters(w, "transit-traffic-statistics", t, "verbose")
}
