package junostest

import (
	"fmt"
	"strconv"
	"strings"
)

// vrrpGroup is a gateway that the device shares with another.
type vrrpGroup struct {
	unit, local, virtual string
	port, group          int
	master               bool
}

// vrrpGroups are on the gateways of VLANs, and on a router on some ports that
// have no neighbour.
func (d *Device) vrrpGroups() []vrrpGroup {
	var all []vrrpGroup
	add := func(u unit, port int) {
		local, _, _ := strings.Cut(u.addresses[0], "/")
		n := 1 + len(all)
		all = append(all, vrrpGroup{unit: u.name, local: local, virtual: local[:strings.LastIndexByte(local, '.')] + ".254", port: port, group: n,
			master: d.draw("vrrp", n).IntN(2) == 0})
	}
	for i, u := range d.irb().units {
		if u.up {
			add(u, 213+i)
		}
	}
	for _, p := range d.ports() {
		if p.up && p.peer == "" && d.Model == MXDualRE && len(all) < 6 {
			add(p.units[0], p.number)
		}
	}
	return all
}

// vrrp is the reply to show vrrp detail.
func (d *Device) vrrp(w *writer, _ int) {
	w.in("vrrp-information", func() {
		for _, g := range d.vrrpGroups() {
			w.in("vrrp-interface", func() { d.vrrpGroup(w, g) })
		}
	}, "xmlns", d.junosNS("junos-vrrp"), "junos:style", "detail")
}

func (d *Device) vrrpGroup(w *writer, g vrrpGroup) {
	r := d.draw("vrrp-detail", g.group)
	state, master := "backup", g.local[:strings.LastIndexByte(g.local, '.')]+".253"
	if g.master {
		state, master = "master", g.local
	}
	physical, unit, _ := strings.Cut(g.unit, ".")
	w.leaves("interface", g.unit, "physical-interface", physical, "unit", unit, "address", g.local+"/24",
		"index", strconv.Itoa(320+g.port), "snmp-interface-index", strconv.Itoa(800+g.port), "vrrp-traps", "Disabled", "vrrp-version", "2",
		"interface-state", "up", "group", strconv.Itoa(g.group), "vrrp-state", state)
	priority := 100 + 50*b2i(g.master)
	w.num("group-priority", priority)
	w.leaves("advertisement-interval", "1", "authentication-type", "none", "advertisement-threshold", "3", "computed-send-rate", "1",
		"preempt", "yes", "accept-data-mode", "yes", "vip-count", "1", "vip", g.virtual)
	if g.master {
		w.leaf("advertisement-timer", fmt.Sprintf("%.3fs", r.Float64()))
	} else {
		w.leaf("dead-timer", fmt.Sprintf("%.3fs", 2.5+r.Float64()))
		w.leaf("master-priority", "150")
	}
	_, length := d.since(d.upFor(r))
	w.leaf("master-router", master)
	w.leaf("virtual-router-uptime", short(length), "junos:seconds", seconds(length))
	w.leaf("master-router-uptime", short(length), "junos:seconds", seconds(length))
	w.leaf("virtual-mac", fmt.Sprintf("00:00:5e:00:01:%02x", g.group))
	w.leaf("preferred", "yes")
	w.leaves("tracking", "disabled", "current-priority", strconv.Itoa(priority), "configured-priority", strconv.Itoa(priority))
}

// tunnel is a VPN of a firewall.
type tunnel struct {
	gateway string
	index   int
	up      bool
}

func (d *Device) tunnels() []tunnel {
	r := d.draw("tunnels", 0)
	var all []tunnel
	for i := range 2 + r.IntN(12) {
		all = append(all, tunnel{gateway: fmt.Sprintf("203.0.113.%d", 1+(i*17+r.IntN(17))%250), index: 131073 + i, up: r.IntN(10) > 0})
	}
	return all
}

// ike is the reply to show security ike security-associations. The node that
// does not forward has none.
func (d *Device) ike(w *writer, node int) {
	w.in("ike-security-associations-information", func() {
		w.in("ike-security-associations-block", func() {
			for _, t := range d.tunnels() {
				if node > 0 {
					break
				}
				r := d.draw("ike", t.index)
				w.in("ike-security-associations", func() {
					w.leaves("ike-sa-remote-address", t.gateway, "ike-sa-index", strconv.Itoa(2000000+r.IntN(6000000)),
						"ike-sa-state", map[bool]string{true: "UP", false: "DOWN"}[t.up], "ike-sa-initiator-cookie", code(r, "FFFFFFFFFFFFFFFF"),
						"ike-sa-responder-cookie", code(r, "FFFFFFFFFFFFFFFF"), "ike-sa-exchange-type", pick(r, "IKEv2", "Main"))
				})
			}
		})
	}, "xmlns", d.junosNS("junos-ike"), "junos:style", "brief")
}

// ipsec is the reply to show security ipsec security-associations: a pair of
// associations for each tunnel that is up.
func (d *Device) ipsec(w *writer, node int) {
	up := 0
	for _, t := range d.tunnels() {
		up += b2i(t.up && node == 0)
	}
	w.in("ipsec-security-associations-information", func() {
		w.num("total-active-tunnels", up)
		w.num("total-ipsec-sas", up)
		for _, t := range d.tunnels() {
			if t.up && node == 0 {
				w.in("ipsec-security-associations-block", func() {
					w.leaf("sa-block-state", "up")
					d.association(w, t, "inbound", "<")
					d.association(w, t, "outbound", ">")
				})
			}
		}
	}, "xmlns", d.junosNS("junos-ipsec"), "junos:style", "brief")
}

func (d *Device) association(w *writer, t tunnel, way, arrow string) {
	r := d.draw("sa-"+way, t.index)
	w.in("ipsec-security-associations", func() {
		w.leaves("sa-direction", arrow, "sa-tunnel-index", strconv.Itoa(t.index), "sa-spi", code(r, "FFFFFFFF"), "sa-aux-spi", "0",
			"sa-remote-gateway", t.gateway, "sa-port", "500", "sa-vpn-monitoring-state", "-", "sa-protocol", "ESP",
			"sa-esp-encryption-algorithm", "aes-gcm-256/", "sa-hmac-algorithm", "None", "sa-hard-lifetime", strconv.Itoa(r.IntN(3600)),
			"sa-lifesize-remaining", "unlim", "sa-virtual-system", "root")
	})
}

// idp is the reply to show security idp security-package-version. A firewall
// that never fetched one says so.
func (d *Device) idp(w *writer, _ int) {
	r := d.draw("idp", 0)
	w.in("idp-security-package-information", func() {
		if r.IntN(4) == 0 {
			w.leaves("security-package-version", "N/A(N/A)", "detector-version", "N/A", "rollback-security-package-version", "N/A", "policy-template-version", "N/A")
			return
		}
		age := r.IntN(400)
		at := epoch().AddDate(0, 0, -age)
		w.leaves("security-package-version", fmt.Sprintf("%d(%s UTC)", 3700-age/4, at.Format("Mon Jan _2 15:04:05 2006")), "detector-version", "12.6.160240312",
			"rollback-security-package-version", strconv.Itoa(3690-age/4), "policy-template-version", "N/A")
	})
}
