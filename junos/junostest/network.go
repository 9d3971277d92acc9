package junostest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// vlan is a VLAN with its gateway on the device, empty where it has none.
type vlan struct {
	id      int
	name    string
	gateway string
}

// vlanList is what is configured on a device that switches; the others have
// the VLAN that is always there.
func (d *Device) vlanList() []vlan {
	n := 0
	switch d.Model {
	case EXVC:
		n = 6
	case QFX:
		n = 12
	default:
		return []vlan{{id: 1, name: "default"}}
	}
	r := d.draw("vlans", 0)
	all := []vlan{{id: 1, name: "default"}}
	for i := range n + r.IntN(n) {
		v := vlan{id: 10 * (i + 1), name: pick(r, "users", "voice", "servers", "printers", "guests", "cameras") + "-" + strconv.Itoa(10*(i+1))}
		if r.IntN(2) == 0 || i < 2 {
			v.gateway = fmt.Sprintf("10.%d.%d.1", d.index%250, 100+i)
		}
		all = append(all, v)
	}
	return all
}

// access is the VLAN of a switched port.
func (d *Device) access(p port, all []vlan) vlan { return all[(p.number*7)%len(all)] }

// link is a logical interface with the neighbour at its other end.
type link struct {
	unit          string
	port          int // number of the port
	local, remote string
	peer          string // its system name
	loopback      string // its router id
	mac           string
}

// links are the logical interfaces over which routing protocols run: those of
// ports with a neighbour, and of switches two gateways.
func (d *Device) links() []link {
	var all []link
	for _, p := range d.ports() {
		if p.peer != "" && len(p.units) > 0 && len(p.units[0].addresses) > 0 {
			all = append(all, d.link(p.units[0].name, p.number, p.units[0].addresses[0], p.peer))
		}
	}
	for i, u := range d.irb().units {
		if i < 2 && u.up && d.Model == EXVC {
			all = append(all, d.link(u.name, 213+i, u.addresses[0], "core-0"+strconv.Itoa(i+1)))
		}
	}
	return all
}

// link pairs the address of an interface with the next one.
func (d *Device) link(unit string, number int, address, peer string) link {
	local, _, _ := strings.Cut(address, "/")
	dot := strings.LastIndexByte(local, '.') + 1
	last, _ := strconv.Atoi(local[dot:])
	r := d.draw("peer/"+peer, 0)
	return link{unit: unit, port: number, local: local, remote: local[:dot] + strconv.Itoa(last+1), peer: peer,
		loopback: fmt.Sprintf("10.254.%d.%d", r.IntN(256), 1+r.IntN(254)), mac: d.strangerMAC(peer)}
}

// as is the number of the autonomous system of the device.
func (d *Device) as() int { return 64512 + d.draw("as", 0).IntN(1000) }

// protocols that a device runs or not, as its configuration says.
const (
	bgp  = "BGP"
	isis = "IS-IS"
	ospf = "OSPF"
	ldp  = "LDP"
	rsvp = "RSVP"
	stp  = "Spanning-tree"
	vrrp = "vrrp"
	lacp = "lacp"
	ike  = "ipsec-key-management"
	poe  = "poe"
)

// runs tells whether a protocol is configured.
func (d *Device) runs(protocol string) bool {
	r := d.draw("runs", 0)
	dice := [4]bool{r.IntN(3) > 0, r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(3) > 0}
	router := d.Model == MXDualRE || d.Model == PTXEVO || d.Model == ACX
	switch protocol {
	case bgp:
		return router || d.Model == QFX || d.Model == SRXCluster && dice[1]
	case isis:
		return d.Model == PTXEVO || router && dice[0]
	case ospf:
		return router && d.Model != PTXEVO && !dice[0] || d.Model == EXVC && dice[1] || d.Model == SRXCluster && dice[0]
	case ldp:
		return d.Model == MXDualRE || d.Model == ACX || d.Model == PTXEVO && dice[2]
	case rsvp:
		return d.Model == PTXEVO || d.Model == MXDualRE && dice[2]
	case stp:
		return d.Model == EXVC || d.Model == QFX
	case vrrp:
		return d.Model == EXVC && dice[0] || d.Model == MXDualRE && dice[3]
	case lacp:
		return slices.ContainsFunc(d.ports(), func(p port) bool { return p.bundle != "" })
	case ike:
		return d.Model == SRXCluster && dice[3]
	case poe:
		return strings.HasSuffix(d.Product, "p")
	}
	return true
}

// protocolOf is what must run for an item to have an answer.
var protocolOf = map[string]string{
	"show-bgp-summary": bgp, "show-bgp-neighbor": bgp, "show-isis-adjacency": isis, "show-ospf-neighbor": ospf,
	"show-ldp-neighbor": ldp, "show-rsvp-neighbor": rsvp, "show-vrrp-detail": vrrp, "show-lacp-interfaces": lacp,
	"show-spanning-tree-bridge": stp, showPoE: poe, showIKE: ike, showIPsec: ike,
}
