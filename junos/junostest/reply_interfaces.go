package junostest

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// wants tells whether a port is asked for: all are where nothing narrows the
// request. The pattern is that of the CLI: * stands for any characters, [ab]
// for one of a set.
func (w *writer) wants(name string) bool {
	return w.only == "" || glob(w.only, name)
}

// glob matches name against a pattern with * and [set]. It goes back to the
// last * only, so that no pattern takes long.
func glob(pattern, name string) bool {
	star, mark := -1, 0
	p, n := 0, 0
	for n < len(name) {
		size, same := globOne(pattern[p:], name[n])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case same:
			p, n = p+size, n+1
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// globOne tells whether the first element of a pattern stands for c, and how
// long it is.
func globOne(pattern string, c byte) (size int, same bool) {
	if pattern == "" {
		return 0, false
	}
	if pattern[0] != '[' {
		return 1, pattern[0] == c
	}
	end := strings.IndexByte(pattern, ']')
	return end + 1, end > 0 && strings.IndexByte(pattern[1:end], c) >= 0
}

// eachPort calls yield with every interface that is asked for, physical ones first.
func (d *Device) eachPort(w *writer, yield func(p port)) {
	ports := d.ports()
	for _, group := range [][]port{ports, aggregates(ports), d.softPorts()} {
		for _, p := range group {
			if w.wants(p.name) {
				yield(p)
			}
		}
	}
}

// traffic is what the counters of an interface stand at. They do not move:
// the same question has the same answer.
type traffic struct{ inBytes, inPackets, outBytes, outPackets, inBPS, outBPS int }

func (d *Device) traffic(p port) traffic {
	if !p.up {
		return traffic{}
	}
	r := d.draw("traffic", p.number)
	in, out := 1<<20+r.IntN(1<<42), 1<<20+r.IntN(1<<41)
	return traffic{inBytes: in, inPackets: in / 731, outBytes: out, outPackets: out / 644, inBPS: r.IntN(1 << 32), outBPS: r.IntN(1 << 31)}
}

// mtu of the frames of a port.
func (p port) mtu() string {
	switch {
	case p.speed == "1000mbps" || strings.HasPrefix(p.name, "vme") || strings.HasPrefix(p.name, "fxp"):
		return "1514"
	case p.speed == "":
		return "Unlimited"
	}
	return "9192"
}

// media is the reply to show interfaces media, and to show interfaces.
func (d *Device) media(w *writer, _ int) {
	w.in("interface-information", func() {
		d.eachPort(w, func(p port) {
			w.in("physical-interface", func() {
				d.physical(w, p)
				d.rates(w, p)
				if p.speed != "" && p.optic == (optic{}) && p.units != nil {
					negotiation(w, p)
				}
				if p.speed != "" {
					d.macCounters(w, p, false)
				}
				alarmFlags(w)
				w.leaf("interface-transmit-statistics", "Disabled")
				for i, u := range p.units {
					w.in("logical-interface", func() { d.logical(w, p, u, i, false) })
				}
			})
		})
	}, "xmlns", d.junosNS("junos-interface"), "junos:style", "normal")
}

// physical writes what both levels of detail say of a port first.
func (d *Device) physical(w *writer, p port) {
	w.leaf("name", p.name)
	w.leaf("admin-status", upDown(p.enabled), "junos:format", map[bool]string{true: "Enabled", false: "Disabled"}[p.enabled])
	w.leaf("oper-status", upDown(p.up))
	w.num("local-index", 128+p.number)
	w.num("snmp-index", 500+p.number)
	w.some("description", p.description)
	if p.speed == "" {
		w.leaves("if-type", softType(p.name), "link-level-type", softType(p.name), "mtu", p.mtu())
		w.in("if-device-flags", func() { deviceFlags(w, p) })
		return
	}
	w.leaves("link-level-type", "Ethernet", "mtu", p.mtu())
	if p.optic != (optic{}) {
		w.leaf("sonet-mode", "LAN-PHY")
	}
	if p.units != nil && p.optic == (optic{}) && p.up {
		w.leaf("link-mode", "Full-duplex")
	}
	w.leaves("speed", p.speed, "bpdu-error", "None", "ld-pdu-error", "None", "loopback", "Disabled", "source-filtering", "Disabled",
		"if-flow-control", "Enabled", "if-auto-negotiation", map[bool]string{true: "Enabled", false: "Disabled"}[p.optic == (optic{})], "if-remote-fault", "Online")
	w.in("if-device-flags", func() { deviceFlags(w, p) })
	w.in("if-config-flags", func() {
		w.empty("iff-snmp-traps")
		w.leaf("internal-flags", "0x4000")
	})
	w.in("if-media-flags", func() { w.empty("ifmf-none") })
	w.in("physical-interface-cos-information", func() {
		w.leaves("physical-interface-cos-hw-max-queues", "8", "physical-interface-cos-use-max-queues", "8")
	})
	w.leaves("current-physical-address", d.mac(p.number), "hardware-physical-address", d.mac(p.number))
	d.flapped(w, p)
}

func softType(name string) string {
	switch name {
	case "lo0":
		return "Loopback"
	case "dsc":
		return "Software-Pseudo"
	}
	return "Ethernet"
}

func deviceFlags(w *writer, p port) {
	w.empty("ifdf-present")
	if p.up {
		w.empty("ifdf-running")
	} else {
		w.empty("ifdf-down")
	}
}

func (d *Device) flapped(w *writer, p port) {
	ago := time.Duration(60+d.draw("flap", p.number).IntN(300*86400)) * time.Second
	at, length := d.since(min(ago, d.life(0).booted))
	w.leaf("interface-flapped", at.Format(dateTime)+" ("+short(length)+" ago)", "junos:seconds", seconds(length))
}

func (d *Device) rates(w *writer, p port) {
	t := d.traffic(p)
	w.in("traffic-statistics", func() {
		w.num("input-bps", t.inBPS)
		w.num("input-pps", t.inBPS/5900)
		w.num("output-bps", t.outBPS)
		w.num("output-pps", t.outBPS/5200)
	}, "junos:style", "brief")
}

// negotiation is what a copper port agreed on with its partner.
func negotiation(w *writer, p port) {
	w.in("ethernet-autonegotiation", func() {
		if !p.up {
			w.leaf("autonegotiation-status", "Incomplete")
			return
		}
		w.leaves("autonegotiation-status", "Complete", "link-partner-status", "OK", "link-partner-duplexity", "full-duplex",
			"flow-control", "None", "local-flow-control", "None", "link-partner-remote-fault", "OK", "local-remote-fault", "Link OK")
	})
}

func alarmFlags(w *writer) {
	for _, name := range []string{"active-alarms", "active-defects"} {
		w.in(name, func() {
			w.in("interface-alarms", func() { w.empty("alarm-not-present") })
		})
	}
}

// logical writes a unit, with its counters where full is set.
func (d *Device) logical(w *writer, p port, u unit, i int, full bool) {
	w.leaf("name", u.name)
	w.num("local-index", 320+p.number+i)
	w.num("snmp-index", 800+p.number+i)
	if full {
		w.num("generation", 150+p.number+i)
	}
	w.in("if-config-flags", func() {
		if u.up {
			w.empty("iff-up")
		} else {
			w.empty("iff-down")
		}
		w.empty("iff-snmp-traps")
		w.leaf("internal-flags", "0x4004000")
	})
	w.leaf("encapsulation", "ENET2")
	w.in("policer-overhead", func() {})
	if d.Model == SRXCluster && u.families != nil && u.families[0] == "inet" {
		w.leaf("logical-interface-zone-name", map[bool]string{true: "untrust", false: "trust"}[strings.HasPrefix(u.name, "reth1")])
	}
	if full {
		d.unitCounters(w, p)
	} else {
		t := d.traffic(p)
		w.in("traffic-statistics", func() {
			w.num("input-packets", t.inPackets)
			w.num("output-packets", t.outPackets)
		}, "junos:style", "brief")
	}
	w.in("filter-information", func() {})
	for n, f := range u.families {
		w.in("address-family", func() { d.family(w, p, u, f, n, full) })
	}
}

func (d *Device) family(w *writer, p port, u unit, family string, n int, full bool) {
	w.leaf("address-family-name", family)
	w.leaf("mtu", map[bool]string{true: "1500", false: "9178"}[p.mtu() == "1514"])
	if full {
		w.num("generation", 180+p.number+n)
		w.zeros("route-table")
	}
	w.in("address-family-flags", func() {
		w.empty(map[bool]string{true: "ifff-sendbcast-pkt-to-re", false: "ifff-is-primary"}[family == "inet"])
	})
	switch family {
	case "aenet":
		w.leaf("ae-bundle-name", p.bundle+".0")
	case "inet":
		for i, a := range u.addresses {
			w.in("interface-address", func() { d.address(w, a, i == 0, full, p.number) })
		}
	case "inet6":
		for i, a := range u.inet6 {
			w.in("interface-address", func() { d.address(w, a, i == 0, full, p.number) })
		}
	}
}

// address writes one address of an interface: the network, the address and,
// of IPv4 networks with room for it, the broadcast address.
func (d *Device) address(w *writer, prefix string, primary, full bool, generation int) {
	local, bits, _ := strings.Cut(prefix, "/")
	w.in("ifa-flags", func() {
		w.empty("ifaf-current-preferred")
		if primary {
			w.empty("ifaf-current-primary")
		}
	})
	if cut := strings.LastIndexAny(local, ".:"); bits == "24" {
		w.leaf("ifa-destination", local[:cut]+"/24")
		w.leaf("ifa-local", local)
		w.leaf("ifa-broadcast", local[:cut]+".255")
	} else {
		w.some("ifa-destination", strings.TrimSuffix(prefix, "/"))
		w.leaf("ifa-local", local)
	}
	if full {
		w.num("ifa-generation", 190+generation)
	}
}

// forwardingClasses are those that every port has a queue for.
var forwardingClasses = [...]string{"best-effort", "expedited-forwarding", "assured-forwarding", "network-control"}

func (d *Device) queues(w *writer, r *rand.Rand, t traffic) {
	w.in("queue-counters", func() {
		w.leaf("interface-cos-short-summary", "")
		w.leaves("intf-cos-num-queues-supported", "8", "intf-cos-num-queues-in-use", strconv.Itoa(len(forwardingClasses)), "intf-cos-queue-type", "Egress queues")
		for i, class := range forwardingClasses {
			n := t.outPackets >> (2 * i)
			dropped := b2i(r.IntN(5) == 0 && n > 0) * r.IntN(4000)
			w.in("queue", func() {
				w.num("queue-number", i)
				w.leaf("forwarding-class-name", class)
				w.num("queue-counters-queued-packets", n)
				w.num("queue-counters-trans-packets", n-min(n, dropped))
				w.num("queue-counters-total-drop-packets", min(n, dropped))
			})
		}
	}, "junos:style", "brief")
}
