package junostest

import (
	"fmt"
	"strconv"
)

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// terse is the reply to show interfaces terse.
func (d *Device) terse(w *writer, _ int) {
	w.in("interface-information", func() {
		d.eachPort(w, func(p port) {
			w.in("physical-interface", func() { p.terse(w) })
		})
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "terse")
}

func (p port) terse(w *writer) {
	w.leaf("name", p.name)
	w.leaf("admin-status", upDown(p.enabled))
	w.leaf("oper-status", upDown(p.up))
	for _, u := range p.units {
		w.in("logical-interface", func() {
			w.leaf("name", u.name)
			w.leaf("admin-status", "up")
			w.leaf("oper-status", upDown(u.up))
			w.in("filter-information", func() {})
			for _, f := range u.families {
				w.in("address-family", func() { u.family(w, f, p.bundle) })
			}
		})
	}
}

func (u unit) family(w *writer, family, bundle string) {
	w.leaf("address-family-name", family)
	var addresses []string
	switch family {
	case "inet":
		addresses = u.addresses
	case "inet6":
		addresses = u.inet6
	case "aenet":
		w.leaf("ae-bundle-name", bundle+".0")
	}
	for _, a := range addresses {
		w.in("interface-address", func() { w.leaf("ifa-local", a, "junos:emit", "emit") })
	}
}

// descriptions is the reply to show interfaces descriptions.
func (d *Device) descriptions(w *writer, _ int) {
	w.in("interface-information", func() {
		d.eachPort(w, func(p port) {
			if p.description == "" {
				return
			}
			w.in("physical-interface", func() {
				w.leaves("name", p.name, "admin-status", upDown(p.enabled), "oper-status", upDown(p.up), "description", p.description)
			})
		})
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "description")
}

// neighbours is the reply to show lldp neighbors.
func (d *Device) neighbours(w *writer, _ int) {
	w.in("lldp-neighbors-information", func() {
		for _, p := range d.ports() {
			if p.peer == "" {
				continue
			}
			w.in("lldp-neighbor-information", func() { d.neighbour(w, p) })
		}
	}, "junos:style", "brief")
}

func (d *Device) neighbour(w *writer, p port) {
	parent := p.bundle
	if parent == "" {
		parent = "-"
	}
	w.leaf("lldp-local-port-id", p.name)
	w.leaf("lldp-local-parent-interface-name", parent)
	w.leaf("lldp-remote-chassis-id-subtype", "Mac address")
	w.leaf("lldp-remote-chassis-id", d.strangerMAC(p.peer))
	w.leaf("lldp-remote-port-description", p.peerPort)
	w.leaf("lldp-remote-system-name", p.peer)
}

// virtualChassis is the reply to show virtual-chassis; a switch that stands
// alone is a virtual chassis of one.
func (d *Device) virtualChassis(w *writer, _ int) {
	w.in("virtual-chassis-information", func() {
		w.in("virtual-chassis-id-information", func() {
			w.leaf("virtual-chassis-id", code(d.draw("vc-id", 0), "FFFF.FFFF.FFFF"))
			w.leaf("virtual-chassis-mode", "Enabled")
		})
		w.in("member-list", func() {
			for m := range d.members() {
				w.in("member", func() { d.member(w, m) })
			}
		}, "junos:style", "single-slot")
		if d.members() == 1 {
			w.in("next-member-information", func() {
				w.leaf("next-member-id", "1")
				w.leaf("next-fpc-slot", "1")
			})
		}
	})
}

func (d *Device) member(w *writer, m int) {
	role, priority := "Linecard", "0"
	switch m {
	case 0:
		role, priority = "Master*", "129"
	case 1:
		role, priority = "Backup", "128"
	}
	w.leaf("member-status", "Prsnt")
	w.leaf("member-id", strconv.Itoa(m))
	w.leaf("fpc-slot", fmt.Sprintf("(FPC %d)", m))
	w.leaf("member-serial-number", d.chassisSerial(m))
	w.leaf("member-model", d.prod.name)
	w.leaf("member-priority", priority)
	w.leaf("member-mixed-mode", "N")
	w.leaf("member-route-mode", "VC")
	w.leaf("member-role", role)
	w.in("neighbor-list", func() {
		all := d.members()
		for _, n := range []int{m - 1, m + 1} {
			if n < 0 || n >= all {
				continue
			}
			w.in("neighbor", func() {
				w.leaf("neighbor-id", strconv.Itoa(n))
				w.leaf("neighbor-interface", fmt.Sprintf("vcp-255/1/%d", (n-m+1)/2))
			})
		}
	})
}

// clusterStatus is the reply to show chassis cluster status. Junos lists both
// nodes flat inside one device-stats.
func (d *Device) clusterStatus(w *writer, _ int) {
	r := d.draw("cluster", 0)
	id := strconv.Itoa(d.clusterID())
	failovers := strconv.Itoa(1 + r.IntN(3))
	w.in("chassis-cluster-status", func() {
		w.leaf("cluster-id", id)
		for group := range 2 {
			w.in("redundancy-group", func() {
				w.leaf("cluster-id", id)
				w.leaf("redundancy-group-id", strconv.Itoa(group))
				w.leaf("redundancy-group-failover-count", failovers)
				w.in("device-stats", func() {
					for n, state := range []string{"primary", "secondary"} {
						w.leaf("device-name", "node"+strconv.Itoa(n))
						w.leaf("device-priority", []string{"100", "1"}[n])
						w.leaf("redundancy-group-status", state)
						w.leaf("preempt", "no")
						w.leaf("failover-mode", "no")
						w.leaf("monitor-failures", "None")
					}
				})
			})
		}
	})
}

func (d *Device) clusterID() int { return 1 + d.draw("cluster-id", 0).IntN(15) }
