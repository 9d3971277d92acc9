package junostest

import (
	"fmt"
	"math/rand/v2"
)

// port is a physical port and what is configured on it.
type port struct {
	name, speed string
	up, enabled bool
	description string
	peer        string // system name of the LLDP neighbour; empty: none
	peerPort    string
	bundle      string // aggregate that it belongs to
	units       []unit
}

// unit is a logical interface.
type unit struct {
	name      string
	up        bool
	families  []string
	addresses []string // of inet
	inet6     []string
}

// optic tells which pluggable sits in a port; ok is false where there is none.
func (d *Device) optic(l card, p pic, number int) (optic, bool) {
	if len(p.optics) == 0 {
		return optic{}, false
	}
	r := d.rng(fmt.Sprintf("optic/%d/%d/%d", l.slot, p.slot, number))
	if r.IntN(10) < 3 {
		return optic{}, false
	}
	return pick(r, p.optics...), true
}

// ports lists every physical port in the order of slots.
func (d *Device) ports() []port {
	var all []port
	for member := range d.members() {
		for _, l := range d.prod.cards {
			slot := l.slot
			switch d.Model {
			case EXVC:
				l.slot, slot = member, member
			case SRXCluster:
				slot = l.slot + member*7 // node 1 of a cluster numbers on from the highest slot
			}
			for _, p := range l.pics {
				all = append(all, d.picPorts(l, p, slot)...)
			}
		}
	}
	if d.fleet.cfg.Canary != "" && len(all) > 0 {
		all[0].description = d.fleet.cfg.Canary
	}
	return all
}

// picPorts lists the ports of a PIC that exist: copper ones, and the sockets
// that hold a pluggable.
func (d *Device) picPorts(l card, p pic, slot int) []port {
	var all []port
	for i := range p.ports {
		if _, plugged := d.optic(l, p, i); len(p.optics) > 0 && !plugged {
			continue
		}
		all = append(all, d.port(fmt.Sprintf("%s-%d/%d/%d", p.media, slot, p.slot, i), p.speed))
	}
	return all
}

func (d *Device) port(name, speed string) port {
	r := d.rng("port/" + name)
	p := port{name: name, speed: speed, enabled: r.IntN(20) > 0}
	p.up = p.enabled && r.IntN(4) > 0
	if r.IntN(3) > 0 || p.up && r.IntN(2) == 0 {
		p.description = describe(r)
	}
	if p.up && r.IntN(2) == 0 {
		p.peer = code(r, pick(r, "ber", "fra", "par", "zrh")+"-core-99")
		p.peerPort = fmt.Sprintf("et-0/%d/%d", r.IntN(2), r.IntN(12))
	}
	if p.peer != "" && r.IntN(3) == 0 {
		p.bundle = fmt.Sprintf("ae%d", r.IntN(4))
	}
	if p.enabled {
		p.units = []unit{d.unit(r, p)}
	}
	return p
}

func (d *Device) unit(r *rand.Rand, p port) unit {
	u := unit{name: p.name + ".0", up: p.up}
	switch {
	case p.bundle != "":
		u.families = []string{"aenet"}
	case d.Model == EXVC || d.Model == QFX && r.IntN(3) > 0:
		u.families = []string{"eth-switch"}
	default:
		u.families = []string{"inet", "inet6", "multiservice"}
		host := r.IntN(1 << 16)
		u.addresses = []string{fmt.Sprintf("10.%d.%d.%d/31", d.index%250, host>>8, host&0xfe)}
		u.inet6 = []string{fmt.Sprintf("2001:db8:%x:%x::1/64", d.index, host), fmt.Sprintf("fe80::%x/64", host)}
	}
	return u
}

// describe writes what people write into descriptions, the characters that XML
// must escape and those outside ASCII among it.
func describe(r *rand.Rand) string {
	n := r.IntN(1000)
	return pick(r,
		fmt.Sprintf("UPLINK: core-%02d # et-0/0/%d (ae%d)", n%20, n%48, n%8),
		fmt.Sprintf("CUST: Müller & Söhne GmbH <circuit %05d>", n*37),
		fmt.Sprintf("SRV: esx%03d \"vmnic%d\"", n, n%4),
		fmt.Sprintf("DO NOT TOUCH - ticket #%d, ask the O'Brien team", 10000+n),
		fmt.Sprintf("PEER: AS%d via IXP Zürich > LAN 2", 64512+n),
		fmt.Sprintf("AP floor %d 東京 wing", n%12),
		"spare",
	)
}

// aggregates are the ae interfaces that ports belong to, in order.
func aggregates(ports []port) []port {
	var all []port
	for i := range 4 {
		name := fmt.Sprintf("ae%d", i)
		agg := port{name: name, enabled: true, description: fmt.Sprintf("LAG %d", i)}
		for _, p := range ports {
			if p.bundle == name {
				agg.up = true
			}
		}
		if agg.up {
			agg.units = []unit{{name: name + ".0", up: true, families: []string{"inet", "multiservice"}, addresses: []string{fmt.Sprintf("172.16.%d.1/30", i)}}}
			all = append(all, agg)
		}
	}
	return all
}

// softPorts are the interfaces without a socket.
func (d *Device) softPorts() []port {
	lo := unit{name: "lo0.0", up: true, families: []string{"inet", "inet6"},
		addresses: []string{fmt.Sprintf("10.255.%d.%d", d.index>>8, d.index&255)},
		inet6:     []string{fmt.Sprintf("2001:db8:ffff::%x", d.index+1)}}
	management := map[Model]string{MXDualRE: "fxp0", EXVC: "vme", SRXCluster: "fxp0", QFX: "em0", PTXEVO: "re0:mgmt-0", ACX: "em0"}[d.Model]
	mgmt := unit{name: management + ".0", up: true, families: []string{"inet"},
		addresses: []string{fmt.Sprintf("192.168.%d.%d/24", d.index>>8&255, d.index&255)}}
	return []port{
		{name: "dsc", up: true, enabled: true},
		{name: management, up: true, enabled: true, description: "MGMT: out of band", units: []unit{mgmt}},
		{name: "lo0", up: true, enabled: true, units: []unit{lo}},
	}
}
