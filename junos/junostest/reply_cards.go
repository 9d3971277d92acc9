package junostest

import (
	"strconv"
)

// chassisSlots is how many card slots the chassis has; those without a card
// are listed too.
func (d *Device) chassisSlots() int {
	switch d.Product {
	case "mx240":
		return 3
	case "mx480":
		return 6
	case "mx960":
		return 12
	}
	return 0
}

// nodeCards are the cards that one node reports, and the slots in which it
// reports them.
func (d *Device) nodeCards(node int) (cards []card, slots []int) {
	d.cards(func(l card, slot int) {
		if d.Model == SRXCluster {
			if slot/7 != node {
				return
			}
			slot %= 7
		}
		cards, slots = append(cards, l), append(slots, slot)
	})
	return cards, slots
}

// bySlot calls card for each slot with a card, in order, and empty for those
// without one.
func (d *Device) bySlot(node int, full func(l card, slot int), empty func(slot int)) {
	cards, slots := d.nodeCards(node)
	next := 0
	for i, slot := range slots {
		for ; next < slot; next++ {
			empty(next)
		}
		full(cards[i], slot)
		next = slot + 1
	}
	for ; next < d.chassisSlots(); next++ {
		empty(next)
	}
}

// fpcs is the reply to show chassis fpc.
func (d *Device) fpcs(w *writer, node int) {
	w.in("fpc-information", func() {
		d.bySlot(node, func(_ card, slot int) {
			w.in("fpc", func() { d.fpc(w, node<<8|slot, slot) })
		}, func(slot int) {
			w.in("fpc", func() { w.leaves("slot", strconv.Itoa(slot), "state", "Empty") })
		})
	}, "xmlns", d.junosNS("junos-chassis"), "junos:style", "brief")
}

func (d *Device) fpc(w *writer, n, slot int) {
	r := d.draw("fpc", n)
	w.leaves("slot", strconv.Itoa(slot), "state", "Online")
	celsius := 28 + r.IntN(25)
	w.leaf("temperature", strconv.Itoa(celsius), "junos:celsius", strconv.Itoa(celsius))
	total := 4 + r.IntN(30)
	w.num("cpu-total", total)
	w.zeros("cpu-interrupt")
	for _, minutes := range []string{"1", "5", "15"} {
		w.num("cpu-"+minutes+"min-avg", total-r.IntN(4))
	}
	w.num("memory-dram-size", min(d.prod.memory, 3136))
	w.num("memory-heap-utilization", 10+r.IntN(50))
	w.num("memory-buffer-utilization", 5+r.IntN(30))
}

// pics is the reply to show chassis fpc pic-status.
func (d *Device) pics(w *writer, node int) {
	w.in("fpc-information", func() {
		d.bySlot(node, func(l card, slot int) {
			w.in("fpc", func() {
				w.leaves("slot", strconv.Itoa(slot), "state", "Online", "description", l.description)
				for _, p := range l.pics {
					w.in("pic", func() {
						w.leaves("pic-slot", strconv.Itoa(p.slot), "pic-state", "Online", "pic-type", p.description)
					})
				}
			})
		}, func(int) {})
	}, "xmlns", d.junosNS("junos-chassis"), "junos:style", "pic-style")
}

// firmware is the reply to show chassis firmware: the boot loader and the
// system of each card.
func (d *Device) firmware(w *writer, node int) {
	r := d.draw("firmware", 0)
	loader := pick(r, "Juniper ROM Monitor Version 12.3b2", "Juniper ROM Monitor Version 14.1b1", "loader 1.1")
	switch d.Model {
	case EXVC:
		loader = "FreeBSD/PowerPC U-Boot loader 2.4"
	case QFX, ACX, SRXCluster:
		loader = pick(r, "BIOS V0.10.5", "BIOS V0.21.0", "CBDE_P_EXE1_00.15.01")
	case PTXEVO:
		loader = pick(r, "CBEP_P_VAL0_00.19.1", "CBEP_P_VAL0_00.21.3")
	}
	w.in("firmware-information", func() {
		w.in("chassis", func() {
			d.bySlot(node, func(l card, slot int) {
				w.in("chassis-module", func() {
					w.leaf("name", "FPC "+strconv.Itoa(slot))
					firmwareElement(w, "ROM", loader)
					firmwareElement(w, "O/S", "Version "+d.Release+" by builder on 2025-08-22 01:44:12 UTC")
					for i := range len(l.pics) * b2i(d.plat.evolved) {
						firmwareElement(w, "ZL30763 "+strconv.Itoa(i), "6024."+strconv.Itoa(r.IntN(99)))
					}
				})
			}, func(int) {})
		}, "junos:style", "firmware")
	}, "xmlns", d.junosNS("junos-chassis"))
}

func firmwareElement(w *writer, kind, version string) {
	w.in("firmware", func() { w.leaves("type", kind, "firmware-version", version) })
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pfe is the reply to show pfe statistics traffic.
func (d *Device) pfe(w *writer, node int) {
	r := d.draw("pfe", node)
	in := 1_000_000 + r.IntN(1<<40)
	w.in("pfe-statistics", func() {
		w.in("pfe-traffic-statistics", func() {
			w.num("pfe-input-packets", in)
			w.num("input-pps", r.IntN(2_000_000))
			w.num("pfe-output-packets", in/100*97)
			w.num("output-pps", r.IntN(2_000_000))
			w.zeros("pfe-fabric-input", "pfe-fabric-input-pps", "pfe-fabric-output", "pfe-fabric-output-pps")
		})
		w.in("pfe-local-traffic-statistics", func() {
			w.num("pfe-input-packets", in>>12)
			w.num("pfe-output-packets", in>>13)
			w.zeros("software-input-control-drops", "software-input-high-drops", "software-input-medium-drops",
				"software-input-low-drops", "software-output-low-drops", "hardware-input-drops")
		})
		w.in("pfe-local-protocol-statistics", func() {
			w.zeros("hdlc-keepalive-count", "atm-oam-count", "fr-lmi-count", "ppp-lcp-ncp-count")
			w.num("ospf-hello-count", b2i(d.runs(ospf))*r.IntN(1<<24))
			w.zeros("ospf3-hello-count", "rsvp-hello-count")
			w.num("ldp-hello-count", b2i(d.runs(ldp))*r.IntN(1<<24))
			w.num("bfd-count", r.IntN(1<<28))
			w.num("isis-iih-count", b2i(d.runs(isis))*r.IntN(1<<24))
			w.num("lacp-count", b2i(d.runs(lacp))*r.IntN(1<<24))
			w.num("arp-count", r.IntN(1<<20))
			w.zeros("ether-oam-count", "unknown-count")
		})
		w.in("pfe-hardware-discard-statistics", func() { d.discards(w, r.IntN(5000)) })
	})
}

func (d *Device) discards(w *writer, dropped int) {
	w.zeros("timeout-discard", "truncated-key-discard", "bits-to-test-discard", "data-error-discard", "stack-underflow-discard",
		"stack-overflow-discard")
	w.num("bad-route-discard", dropped)
	w.zeros("extended-discard", "nexthop-discard", "invalid-iif-discard", "info-cell-discard", "fabric-discard")
	w.zeros("input-checksum-discard", "output-mtu-discard")
}
