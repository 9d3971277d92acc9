package junostest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lacp is the reply to show lacp interfaces: each aggregate with the state of
// its members, from both ends.
func (d *Device) lacp(w *writer, _ int) {
	ports := d.ports()
	w.in("lacp-interface-information-list", func() {
		for _, a := range aggregates(ports) {
			if !w.wants(a.name) {
				continue
			}
			w.in("lacp-interface-information", func() {
				w.in("lag-lacp-header", func() { w.leaf("aggregate-name", a.name) })
				for _, p := range ports {
					if p.bundle == a.name {
						lacpState(w, p.name, "Actor")
						lacpState(w, p.name, "Partner")
					}
				}
				for _, p := range ports {
					if p.bundle == a.name {
						w.in("lag-lacp-protocol", func() {
							w.leaves("name", p.name, "lacp-receive-state", "Current", "lacp-transmit-state", "Fast periodic",
								"lacp-mux-state", "Collecting distributing")
						})
					}
				}
			})
		}
	}, "xmlns", d.junosNS("junos-lacp"), "junos:style", "brief")
}

func lacpState(w *writer, name, role string) {
	w.in("lag-lacp-state", func() {
		w.leaves("name", name, "lacp-role", role, "lacp-expired", "No", "lacp-defaulted", "No", "lacp-distributing", "Yes", "lacp-collecting", "Yes",
			"lacp-synchronization", "Yes", "lacp-aggregation", "Yes", "lacp-timeout", "Fast", "lacp-activity", "Active")
	})
}

// vlans is the reply to show vlans.
func (d *Device) vlans(w *writer, _ int) {
	all, ports := d.vlanList(), d.ports()
	w.in("l2ng-l2ald-vlan-instance-information", func() {
		for _, v := range all {
			w.in("l2ng-l2ald-vlan-instance-group", func() {
				w.empty("l2rtb-brief-summary")
				w.leaves("l2ng-l2rtb-name", "default-switch", "l2ng-l2rtb-vlan-name", v.name, "l2ng-l2rtb-vlan-tag", strconv.Itoa(v.id))
				w.in("l2ng-l2rtb-vlan-member", func() {
					for _, p := range ports {
						if switched(p) && d.access(p, all) == v {
							w.leaf("l2ng-l2rtb-vlan-member-interface", p.units[0].name+map[bool]string{true: "*"}[p.up])
						}
					}
				})
			}, "junos:style", "brief")
		}
	}, "xmlns", d.junosNS("junos-esw"), "junos:style", "brief")
}

func switched(p port) bool { return len(p.units) > 0 && p.units[0].families[0] == "eth-switch" }

// spanningTree is the reply to show spanning-tree bridge. A device that has an
// uplink sees the root of the network there, and is the root itself without one.
func (d *Device) spanningTree(w *writer, _ int) {
	r := d.draw("stp", 0)
	root, port := d.systemMAC(), ""
	for _, p := range d.ports() {
		if p.peer != "" {
			root, port = d.strangerMAC("stp-root"), p.name
			break
		}
	}
	w.in("stp-bridge", func() {
		w.leaves("routing-instance-name", "GLOBAL", "context-id", "0", "protocol", "RSTP")
		w.in("cist-bridge-parameters", func() {
			bridge(w, "root-bridge", map[bool]int{true: 4096, false: 32768}[port != ""], root)
			if port != "" {
				w.leaf("root-port", port)
				w.num("root-cost", 2000)
			}
			w.leaves("hello-time-learned", "2", "max-age-learned", "20", "forward-delay-learned", "15", "msg-age", strconv.Itoa(b2i(port != "")))
			w.num("topology-change-count", r.IntN(200))
			w.num("time-since-last-tc", int(d.upFor(r).Seconds()))
			bridge(w, "this-bridge", 32768, d.systemMAC())
			w.zeros("extended-system-id")
		})
	})
}

func bridge(w *writer, name string, priority int, mac string) {
	w.in(name, func() {
		w.num("bridge-priority", priority)
		w.leaf("bridge-mac", mac)
	})
}

// arp is the reply to show arp no-resolve: the neighbours on links, and hosts
// in the networks that the device is the gateway of.
func (d *Device) arp(w *writer, _ int) {
	n := 0
	entry := func(mac, ip, unit string) {
		n++
		w.in("arp-table-entry", func() {
			w.block("mac-address", mac)
			w.block("ip-address", ip)
			w.block("interface-name", unit)
			w.in("arp-table-entry-flags", func() { w.empty("none") })
		})
	}
	w.in("arp-table-information", func() {
		for _, l := range d.links() {
			entry(l.mac, l.remote, l.unit)
		}
		for _, u := range slices.Concat(d.irb().units, reth(d.redundantPorts())) {
			if !u.up {
				continue
			}
			network := u.addresses[0][:strings.LastIndexByte(u.addresses[0], '.')]
			r := d.draw("hosts/"+u.name, 0)
			for host := 10; host < 250; host += 1 + r.IntN(24) {
				ip := network + "." + strconv.Itoa(host)
				entry(d.strangerMAC(ip), ip, u.name)
			}
		}
		entry(d.strangerMAC("gateway"), fmt.Sprintf("192.168.%d.254", d.index>>8&255), d.managementPort()+".0")
		w.num("arp-entry-count", n)
	}, "xmlns", d.junosNS("junos-arp"), "junos:style", "no-resolve")
}

func reth(ports []port) []unit {
	var all []unit
	for _, p := range ports {
		all = append(all, p.units...)
	}
	return all
}

// poe is the reply to show poe interface: what each copper port feeds.
func (d *Device) poe(w *writer, _ int) {
	w.in("poe", func() {
		for _, p := range d.ports() {
			if p.optic != (optic{}) || p.speed != "1000mbps" {
				continue
			}
			r := d.draw("poe", p.number)
			feeds := p.up && r.IntN(2) == 0
			w.in("interface-information", func() {
				w.leaves("interface-name", p.name, "interface-enabled", map[bool]string{true: "Enabled", false: "Disabled"}[p.enabled],
					"interface-status", map[bool]string{true: "ON", false: "OFF"}[feeds], "interface-power-limit", "30.0W", "interface-priority", "Low",
					"interface-power", fmt.Sprintf("%.1fW", float64(b2i(feeds)*(30+r.IntN(200)))/10),
					"interface-class", map[bool]string{true: strconv.Itoa(1 + r.IntN(4)), false: "not-applicable"}[feeds])
			})
		}
	}, "xmlns", d.junosNS("junos-poe"))
}
