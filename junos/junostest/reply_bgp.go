package junostest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// bgpPeer is a BGP session of the device.
type bgpPeer struct {
	address, local, id string
	as                 int
	internal, up       bool
	description        string
	received, accepted int
	flaps              int
	number             int
}

// bgpPeers are two route reflectors of the own system, and the neighbours on
// each link.
func (d *Device) bgpPeers() []bgpPeer {
	var all []bgpPeer
	for i := range 2 * b2i(d.Model != QFX) {
		a := fmt.Sprintf("10.255.250.%d", i+1)
		all = append(all, bgpPeer{address: a, local: d.loopback(), id: a, as: d.as(), internal: true, up: true, description: fmt.Sprintf("RR%d", i+1)})
	}
	for _, l := range d.links() {
		r := d.draw("bgp/"+l.peer, l.port)
		all = append(all, bgpPeer{address: l.remote, local: l.local, id: l.loopback, as: 64512 + r.IntN(1000), up: r.IntN(8) > 0, description: l.peer})
	}
	for i := range all {
		r := d.draw("bgp", i)
		p := &all[i]
		p.number, p.flaps = i, r.IntN(9)
		if p.up {
			p.received = 10 + r.IntN(4000)
			p.accepted = p.received - r.IntN(9)
		}
	}
	return all
}

// bgpSummary is the reply to show bgp summary.
func (d *Device) bgpSummary(w *writer, _ int) {
	peers := d.bgpPeers()
	down, received := 0, 0
	for _, p := range peers {
		down += b2i(!p.up)
		received += p.received
	}
	w.in("bgp-information", func() {
		w.leaf("bgp-thread-mode", "BGP I/O")
		w.num("group-count", 2)
		w.num("peer-count", len(peers))
		w.num("down-peer-count", down)
		w.in("bgp-rib", func() {
			w.leaf("name", d.rib())
			w.num("total-prefix-count", received)
			w.num("received-prefix-count", received)
			w.num("accepted-prefix-count", received)
			w.num("active-prefix-count", received)
			w.zeros("suppressed-prefix-count", "history-prefix-count", "damped-prefix-count")
			w.num("total-external-prefix-count", received)
			w.num("active-external-prefix-count", received)
			w.zeros("total-internal-prefix-count", "active-internal-prefix-count", "pending-prefix-count")
			w.leaf("bgp-rib-state", "BGP restart is complete")
		}, "junos:style", "brief")
		for _, p := range peers {
			w.in("bgp-peer", func() { d.bgpTerse(w, p) }, "junos:style", "terse")
		}
	}, "xmlns", d.routingNS())
}

// rib is the table that the peers of the device feed.
func (d *Device) rib() string {
	if d.Model == QFX {
		return "bgp.evpn.0"
	}
	return "inet.0"
}

func (d *Device) bgpTerse(w *writer, p bgpPeer) {
	r := d.draw("bgp-messages", p.number)
	w.leaf("peer-address", p.address)
	w.num("peer-as", p.as)
	w.num("input-messages", b2i(p.up)*r.IntN(1<<24))
	w.num("output-messages", b2i(p.up)*r.IntN(1<<24))
	w.zeros("route-queue-count")
	w.num("flap-count", p.flaps)
	_, length := d.since(d.upFor(r))
	w.leaf("elapsed-time", short(length), "junos:seconds", seconds(length))
	w.leaf("description", p.description)
	if !p.up {
		w.leaf("peer-state", pick(r, "Active", "Connect", "Idle"))
		return
	}
	w.leaf("peer-state", "Established", "junos:format", "Establ")
	w.in("bgp-rib", func() { d.prefixes(w, p) }, "junos:style", "terse")
}

func (d *Device) prefixes(w *writer, p bgpPeer) {
	w.leaf("name", d.rib())
	w.num("active-prefix-count", p.accepted)
	w.num("received-prefix-count", p.received)
	w.num("accepted-prefix-count", p.accepted)
	w.zeros("suppressed-prefix-count")
}

// bgpNeighbours is the reply to show bgp neighbor.
func (d *Device) bgpNeighbours(w *writer, _ int) {
	w.in("bgp-information", func() {
		for _, p := range d.bgpPeers() {
			w.in("bgp-peer", func() { d.bgpNeighbour(w, p) }, "junos:style", "detail")
		}
	}, "xmlns", d.routingNS())
}

func (d *Device) bgpNeighbour(w *writer, p bgpPeer) {
	r := d.draw("bgp-detail", p.number)
	kind, group := "External", "UNDERLAY"
	if p.internal {
		kind, group = "Internal", "IBGP"
	}
	port := strconv.Itoa(49152 + r.IntN(16000))
	w.leaf("peer-address", p.address+map[bool]string{true: "+179"}[p.up])
	w.num("peer-as", p.as)
	w.leaf("local-address", p.local+map[bool]string{true: "+" + port}[p.up])
	w.num("local-as", d.as())
	w.leaves("description", p.description, "peer-group", group, "peer-cfg-rti", "master", "peer-fwd-rti", "master", "peer-type", kind)
	if !p.up {
		w.leaves("peer-state", "Active", "peer-flags", "", "last-state", "Idle", "last-event", "Start", "last-error", "Hold Timer Expired Error")
		d.bgpOptions(w)
		w.num("flap-count", p.flaps)
		return
	}
	w.leaves("peer-state", "Established", "route-reflector-client", "No", "peer-flags", "Sync", "last-state", "OpenConfirm",
		"last-event", "RecvKeepAlive", "last-error", "None")
	d.bgpOptions(w)
	w.num("flap-count", p.flaps)
	w.leaves("last-flap-event", "RecvNotify", "peer-id", p.id, "local-id", d.loopback(), "active-holdtime", "90", "keepalive-interval", "30",
		"group-index", strconv.Itoa(b2i(p.internal)), "peer-index", strconv.Itoa(p.number), "snmp-index", strconv.Itoa(p.number))
	w.in("bgp-bfd", func() { w.leaves("bfd-configuration-state", "enabled", "bfd-operational-state", "up") })
	w.leaves("nlri-type-peer", "inet-unicast", "nlri-type-session", "inet-unicast", "peer-refresh-capability", "2",
		"peer-stale-route-time-configured", "300", "peer-4byte-as-capability-advertised", strconv.Itoa(p.as))
	w.in("bgp-rib", func() {
		w.leaves("name", d.rib(), "rib-bit", "20000", "bgp-rib-state", "BGP restart is complete", "send-state", "in sync")
		d.prefixCounts(w, p, r)
	}, "junos:style", "detail")
	d.bgpTraffic(w, r)
}

func (d *Device) bgpOptions(w *writer) {
	w.in("bgp-option-information", func() {
		w.leaves("export-policy", "EXPORT-LOCAL", "import-policy", "IMPORT-PEERS", "bgp-options", "Preference LocalAddress LogUpDown AddressFamily PeerAS Refresh",
			"bgp-options2", "", "bgp-options-extended", "GracefulShutdownRcv", "address-families", "inet-unicast", "local-address", d.loopback(),
			"holdtime", "90", "preference", "170", "gshut-recv-local-preference", "0")
	}, "xmlns", d.routingNS())
}

func (d *Device) prefixCounts(w *writer, p bgpPeer, r *rand.Rand) {
	w.num("active-prefix-count", p.accepted)
	w.num("received-prefix-count", p.received)
	w.num("accepted-prefix-count", p.accepted)
	w.zeros("suppressed-prefix-count")
	w.num("advertised-prefix-count", r.IntN(4000))
}

func (d *Device) bgpTraffic(w *writer, r *rand.Rand) {
	in := 1000 + r.IntN(1<<22)
	w.num("last-received", r.IntN(30))
	w.num("last-sent", r.IntN(30))
	w.num("last-checked", 1000+r.IntN(90000))
	for i, way := range []string{"input", "output"} {
		w.num(way+"-messages", in+i*97)
		w.num(way+"-updates", in/9)
		w.zeros(way + "-refreshes")
		w.num(way+"-octets", in*23)
	}
	w.in("bgp-output-queue", func() { w.leaves("number", "1", "count", "0", "table-name", d.rib(), "rib-adv-nlri", "inet-unicast") })
}
