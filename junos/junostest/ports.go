package junostest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
)

// port is a physical port and what is configured on it.
type port struct {
	name, speed string
	number      int // in the device, from 1: of its address and its indexes
	slot, pic   int
	socket      int
	up, enabled bool
	description string
	peer        string // system name of the LLDP neighbour; empty: none
	peerPort    string
	bundle      string // aggregate that it belongs to
	optic       optic  // zero: copper
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
	r := d.draw("optic", l.slot<<16|p.slot<<8|number)
	if r.IntN(10) < 3 {
		return optic{}, false
	}
	return pick(r, p.optics...), true
}

// cards calls yield with each line card of the device and the slot that its
// ports are named by.
func (d *Device) cards(yield func(l card, slot int)) {
	for member := range d.members() {
		for _, l := range d.prod.cards {
			slot := l.slot
			switch d.Model {
			case EXVC:
				l.slot, slot = member, member
			case SRXCluster:
				slot = l.slot + member*7 // node 1 of a cluster numbers on from the highest slot
			}
			yield(l, slot)
		}
	}
}

// ports lists every physical port in the order of slots. What it returns is
// shared: nobody changes it.
func (d *Device) ports() []port {
	if kept := d.kept.Load(); kept != nil {
		return *kept
	}
	all := d.makePorts()
	d.kept.Store(&all)
	d.fleet.recent.add(d)
	return all
}

// recent are the devices whose ports are kept, because more is likely to be
// asked of them; of a large fleet that is a small part.
type recent struct {
	mu   sync.Mutex // guards the ring; a device is in it at most once for each time that its ports were made
	ring [256]*Device
	next int
}

// add takes the place of the device that has been there longest.
func (r *recent) add(d *Device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.ring[r.next]; old != nil && old != d {
		old.kept.Store(nil)
	}
	r.ring[r.next] = d
	r.next = (r.next + 1) % len(r.ring)
}

func (d *Device) makePorts() []port {
	all := make([]port, 0, 64)
	d.cards(func(l card, slot int) {
		for _, p := range l.pics {
			all = d.picPorts(all, l, p, slot)
		}
	})
	if d.fleet.cfg.Canary != "" && len(all) > 0 {
		all[0].description = d.fleet.cfg.Canary
	}
	return all
}

// picPorts adds the ports of a PIC that exist: copper ones, and the sockets
// that hold a pluggable.
func (d *Device) picPorts(all []port, l card, p pic, slot int) []port {
	for i := range p.ports {
		o, plugged := d.optic(l, p, i)
		if len(p.optics) > 0 && !plugged {
			continue
		}
		name := p.media + "-" + strconv.Itoa(slot) + "/" + strconv.Itoa(p.slot) + "/" + strconv.Itoa(i)
		port := port{name: name, speed: p.speed, number: len(all) + 1, slot: slot, pic: p.slot, socket: i, optic: o}
		d.configure(&port)
		all = append(all, port)
	}
	return all
}

// configure decides what is plugged into a port and configured on it.
func (d *Device) configure(p *port) {
	r := d.draw("port", p.number)
	p.enabled = r.IntN(20) > 0
	p.up = p.enabled && r.IntN(4) > 0
	if r.IntN(3) > 0 || p.up && r.IntN(2) == 0 {
		p.description = describe(r)
	}
	if p.up && r.IntN(2) == 0 {
		p.peer = code(r, pick(r, "ber", "fra", "par", "zrh")+"-core-99")
		p.peerPort = "et-0/" + strconv.Itoa(r.IntN(2)) + "/" + strconv.Itoa(r.IntN(12))
	}
	if p.peer != "" && r.IntN(3) == 0 {
		p.bundle = "ae" + strconv.Itoa(r.IntN(4))
	}
	if p.enabled {
		p.units = []unit{d.unit(r, p)}
	}
}

func (d *Device) unit(r *rand.Rand, p *port) unit {
	u := unit{name: p.name + ".0", up: p.up}
	switch {
	case p.bundle != "":
		u.families = []string{"aenet"}
	case d.Model == EXVC || d.Model == QFX && r.IntN(3) > 0:
		u.families = []string{"eth-switch"}
	default:
		u.families = []string{"inet", "inet6", "multiservice"}
		host := p.number << 1 // of the pair of addresses of this link
		u.addresses = []string{fmt.Sprintf("10.%d.%d.%d/31", d.index%250, host>>8, host&0xfe)}
		u.inet6 = []string{fmt.Sprintf("2001:db8:%x:%x::1/64", d.index, host), fmt.Sprintf("fe80::%x/64", host)}
	}
	return u
}

// describe writes what people write into descriptions, the characters that XML
// must escape and those outside ASCII among it.
func describe(r *rand.Rand) string {
	n := r.IntN(1000)
	switch r.IntN(7) {
	case 0:
		return fmt.Sprintf("UPLINK: core-%02d # et-0/0/%d (ae%d)", n%20, n%48, n%8)
	case 1:
		return fmt.Sprintf("CUST: Müller & Söhne GmbH <circuit %05d>", n*37)
	case 2:
		return fmt.Sprintf("SRV: esx%03d \"vmnic%d\"", n, n%4)
	case 3:
		return fmt.Sprintf("DO NOT TOUCH - ticket #%d, ask the O'Brien team", 10000+n)
	case 4:
		return fmt.Sprintf("PEER: AS%d via IXP Zürich > LAN 2", 64512+n)
	case 5:
		return fmt.Sprintf("AP floor %d 東京 wing", n%12)
	default:
		return "spare"
	}
}

// aggregates are the ae interfaces that ports belong to, in order.
func aggregates(ports []port) []port {
	var all []port
	for i := range 4 {
		name := "ae" + strconv.Itoa(i)
		agg := port{name: name, number: 200 + i, enabled: true, description: "LAG " + strconv.Itoa(i)}
		for _, p := range ports {
			if p.bundle == name {
				agg.up, agg.speed = true, p.speed
			}
		}
		if agg.up {
			agg.units = []unit{{name: name + ".0", up: true, families: []string{"inet", "multiservice"}, addresses: []string{fmt.Sprintf("172.16.%d.1/30", i)}}}
			all = append(all, agg)
		}
	}
	return all
}

// loopback is the address by which routers know the device.
func (d *Device) loopback() string { return fmt.Sprintf("10.255.%d.%d", d.index>>8, d.index&255) }

// managementPort is the name of the port out of band.
func (d *Device) managementPort() string {
	switch d.Model {
	case EXVC:
		return "vme"
	case QFX, ACX:
		return "em0"
	case PTXEVO:
		return "re0:mgmt-0"
	default:
		return "fxp0"
	}
}

// softPorts are the interfaces without a socket.
func (d *Device) softPorts() []port {
	lo := unit{name: "lo0.0", up: true, families: []string{"inet", "inet6"}, addresses: []string{d.loopback()},
		inet6: []string{fmt.Sprintf("2001:db8:ffff::%x", d.index+1)}}
	management := d.managementPort()
	mgmt := unit{name: management + ".0", up: true, families: []string{"inet"},
		addresses: []string{fmt.Sprintf("192.168.%d.%d/24", d.index>>8&255, d.index&255)}}
	all := []port{
		{name: "dsc", number: 210, up: true, enabled: true},
		{name: management, number: 211, up: true, enabled: true, description: "MGMT: out of band", units: []unit{mgmt}},
		{name: "lo0", number: 212, up: true, enabled: true, units: []unit{lo}},
	}
	if irb := d.irb(); len(irb.units) > 0 {
		all = append(all, irb)
	}
	return append(all, d.redundantPorts()...)
}

// irb is the port whose units are the gateways of VLANs.
func (d *Device) irb() port {
	p := port{name: "irb", number: 213, up: true, enabled: true}
	for i, v := range d.vlanList() {
		if v.gateway != "" {
			p.units = append(p.units, unit{name: "irb." + strconv.Itoa(v.id), up: i%5 != 4, families: []string{"inet"}, addresses: []string{v.gateway + "/24"}})
		}
	}
	return p
}

// redundantPorts are those that both nodes of a cluster share.
func (d *Device) redundantPorts() []port {
	if d.Model != SRXCluster {
		return nil
	}
	var all []port
	for i := range 2 {
		name, network := "reth"+strconv.Itoa(i), fmt.Sprintf("172.%d.%d.1/24", 20+i, d.index%250)
		all = append(all, port{name: name, number: 220 + i, speed: "10Gbps", up: true, enabled: true, description: []string{"TRUST", "UNTRUST"}[i],
			units: []unit{{name: name + ".0", up: true, families: []string{"inet"}, addresses: []string{network}}}})
	}
	return all
}
