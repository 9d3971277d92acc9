package junostest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// routingNS is the namespace of the replies of the routing daemon.
func (d *Device) routingNS() string { return d.junosNS("junos-routing") }

// isis is the reply to show isis adjacency.
func (d *Device) isis(w *writer, _ int) {
	w.in("isis-adjacency-information", func() {
		for _, l := range d.links() {
			r := d.draw("isis", l.port)
			w.in("isis-adjacency", func() {
				w.leaves("interface-name", l.unit, "system-name", l.peer, "level", "2", "adjacency-state", adjacency(r, "Initializing"),
					"holdtime", strconv.Itoa(18+r.IntN(10)))
			})
		}
	}, "xmlns", d.routingNS(), "junos:style", "brief")
}

// adjacency is Up, and seldom the other state.
func adjacency(r *rand.Rand, other string) string {
	if r.IntN(12) == 0 {
		return other
	}
	return "Up"
}

// isisExtensive is the reply to show isis adjacency extensive.
func (d *Device) isisExtensive(w *writer, _ int) {
	w.in("isis-adjacency-information", func() {
		for _, l := range d.links() {
			r := d.draw("isis", l.port)
			w.in("isis-adjacency", func() {
				state := adjacency(r, "Initializing")
				w.leaves("system-name", l.peer, "interface-name", l.unit, "level", "2", "adjacency-state", state, "holdtime", strconv.Itoa(18+r.IntN(10)),
					"interface-priority", "0", "transition-count", strconv.Itoa(1+r.IntN(9)))
				at, length := d.since(d.upFor(r))
				w.leaf("last-transition-time", long(length), "junos:seconds", seconds(length))
				w.leaves("circuit-type", "2", "adjacency-flag", "Speaks: IP, IPv6", "adjacency-topologies", "Unicast",
					"adjacency-restart-capable", "yes", "adjacency-advertisement", "advertise", "ip-address", l.remote)
				w.in("isis-adjacency-log", func() {
					w.leaves("adjacency-when", at.Format("Mon Jan _2 15:04:05"), "adjacency-state", state, "adjacency-event", "Seenself")
				})
			})
		}
	}, "xmlns", d.routingNS(), "junos:style", "extensive")
}

// upFor is how long an adjacency has been up: less than the device.
func (d *Device) upFor(r *rand.Rand) time.Duration {
	return time.Duration(1+r.Int64N(int64(d.life(0).started/time.Second))) * time.Second
}

// ospf is the reply to show ospf neighbor.
func (d *Device) ospf(w *writer, _ int) { d.ospfNeighbours(w, false) }

// ospfExtensive is the reply to show ospf neighbor extensive.
func (d *Device) ospfExtensive(w *writer, _ int) { d.ospfNeighbours(w, true) }

func (d *Device) ospfNeighbours(w *writer, full bool) {
	style := "brief"
	if full {
		style = "extensive"
	}
	w.in("ospf-neighbor-information", func() {
		for _, l := range d.links() {
			w.in("ospf-neighbor", func() { d.ospfNeighbour(w, l, full) })
		}
	}, "xmlns", d.routingNS(), "junos:style", style)
}

func (d *Device) ospfNeighbour(w *writer, l link, full bool) {
	r := d.draw("ospf", l.port)
	state := adjacency(r, "ExStart")
	if state == "Up" {
		state = "Full"
	}
	w.leaves("neighbor-address", l.remote, "interface-name", l.unit, "ospf-neighbor-state", state, "neighbor-id", l.loopback,
		"neighbor-priority", "128", "activity-timer", strconv.Itoa(30+r.IntN(10)))
	if !full {
		return
	}
	w.leaves("ospf-area", "0.0.0.0", "options", "0x52", "dr-address", "0.0.0.0", "bdr-address", "0.0.0.0")
	_, length := d.since(d.upFor(r))
	w.block("neighbor-up-time", short(length), "junos:seconds", seconds(length))
	w.block("neighbor-adjacency-time", short(length), "junos:seconds", seconds(length))
}

// ldp is the reply to show ldp neighbor.
func (d *Device) ldp(w *writer, _ int) {
	w.in("ldp-neighbor-information", func() {
		for _, l := range d.links() {
			w.in("ldp-neighbor", func() {
				w.leaves("ldp-neighbor-address", l.remote, "interface-name", l.unit, "ldp-label-space-id", l.loopback+":0",
					"ldp-remaining-time", strconv.Itoa(10+d.draw("ldp", l.port).IntN(5)))
			})
		}
	}, "xmlns", d.routingNS(), "junos:style", "brief")
}

// ldpExtensive is the reply to show ldp neighbor extensive.
func (d *Device) ldpExtensive(w *writer, _ int) {
	w.in("ldp-neighbor-information", func() {
		for _, l := range d.links() {
			r := d.draw("ldp", l.port)
			w.in("ldp-neighbor", func() {
				w.leaves("ldp-neighbor-address", l.remote, "interface-name", l.unit, "ldp-label-space-id", l.loopback+":0",
					"ldp-remaining-time", strconv.Itoa(10+r.IntN(5)), "ldp-transport-address", l.loopback, "ldp-config-sequence", "1")
				_, length := d.since(d.upFor(r))
				w.leaf("ldp-up-time", short(length), "junos:seconds", seconds(length))
				w.leaves("ldp-reference-count", "1", "ldp-holdtime", "15", "ldp-proposed-local-holdtime", "15", "ldp-proposed-peer-holdtime", "15",
					"ldp-hello-interval", "5")
				w.in("ldp-neighbor-hello-flags", func() { w.leaf("ldp-neighbor-hello-flag", "none") })
				w.in("ldp-neighbor-types", func() { w.leaf("ldp-neighbor-type", "discovered") })
			})
		}
	}, "xmlns", d.routingNS(), "junos:style", "extensive")
}

// rsvp is the reply to show rsvp neighbor.
func (d *Device) rsvp(w *writer, _ int) {
	links := d.links()
	w.in("rsvp-neighbor-information", func() {
		w.num("rsvp-neighbor-count", len(links))
		for _, l := range links {
			r := d.draw("rsvp", l.port)
			hellos := 1000 + r.IntN(900000)
			w.in("rsvp-neighbor", func() {
				w.leaves("rsvp-neighbor-address", l.remote, "neighbor-idle", "0")
				w.num("neighbor-up-count", 1+r.IntN(4))
				w.num("neighbor-down-count", r.IntN(3))
				_, length := d.since(d.upFor(r))
				w.leaf("last-changed-time", short(length), "junos:seconds", seconds(length))
				w.num("hello-interval", 9)
				w.num("hellos-sent", hellos)
				w.num("hellos-received", hellos-r.IntN(40))
				w.num("messages-received", hellos/7)
			})
		}
	}, "xmlns", d.routingNS(), "junos:style", "brief")
}

// bfd is the reply to show bfd session: one session for each neighbour.
func (d *Device) bfd(w *writer, _ int) { d.bfdSessions(w, false) }

// bfdExtensive is the reply to show bfd session extensive.
func (d *Device) bfdExtensive(w *writer, _ int) { d.bfdSessions(w, true) }

func (d *Device) bfdSessions(w *writer, full bool) {
	style := "brief"
	if full {
		style = "extensive"
	}
	links := d.links()
	w.in("bfd-session-information", func() {
		for _, l := range links {
			w.in("bfd-session", func() { d.bfdSession(w, l, full) })
		}
		w.num("sessions", len(links))
		w.num("clients", len(links))
		w.leaf("cumulative-transmission-rate", fmt.Sprintf("%.1f", 3.3*float64(len(links))))
		w.leaf("cumulative-reception-rate", fmt.Sprintf("%.1f", 3.3*float64(len(links))))
	}, "xmlns", d.junosNS("junos-bfd"), "junos:style", style)
}

func (d *Device) bfdSession(w *writer, l link, full bool) {
	r := d.draw("bfd", l.port)
	w.leaves("session-neighbor", l.remote, "session-state", adjacency(r, "Down"), "session-interface", l.unit, "session-detection-time", "0.900",
		"session-transmission-interval", "0.300", "session-adaptive-multiplier", "3")
	if !full {
		return
	}
	client := map[bool]string{true: "ISIS L2", false: "OSPF realm ospf-v2 Area 0.0.0.0"}[d.runs(isis)]
	w.in("bfd-client", func() {
		w.leaves("client-name", client, "client-transmission-interval", "0.300", "client-reception-interval", "0.300")
	})
	w.leaves("local-diagnostic", "None", "remote-diagnostic", "None", "session-version", "1", "remote-state", "Up", "session-type", "Single hop BFD",
		"minimum-asynchronous-interval", "0.300", "minimum-slow-interval", "1.000", "adaptive-asynchronous-transmission-interval", "0.300",
		"adaptive-reception-interval", "0.300", "minimum-transmission-interval", "0.300", "minimum-reception-interval", "0.300",
		"detection-multiplier", "3", "neighbor-minimum-transmission-interval", "0.300", "neighbor-minimum-reception-interval", "0.300",
		"neighbor-session-multiplier", "3", "local-discriminator", strconv.Itoa(16+l.port), "remote-discriminator", strconv.Itoa(16+r.IntN(200)),
		"echo-mode-desired", "disabled", "echo-mode-state", "inactive", "no-refresh", "no-refresh")
}

// routes is the reply to show route summary.
func (d *Device) routes(w *writer, _ int) {
	w.in("route-summary-information", func() {
		w.leaves("as-number", strconv.Itoa(d.as()), "router-id", d.loopback())
		direct := 2
		for _, p := range d.ports() {
			for _, u := range p.units {
				direct += len(u.addresses) * b2i(u.up)
			}
		}
		d.table(w, "inet.0", direct)
		if d.runs(ldp) || d.runs(rsvp) {
			d.table(w, "inet.3", 0)
			d.table(w, "mpls.0", 0)
		}
		d.table(w, "inet6.0", direct)
	}, "xmlns", d.routingNS())
}

// table writes the routes of a table by the protocols that the device runs.
func (d *Device) table(w *writer, name string, direct int) {
	r := d.draw("table/"+name, 0)
	type count struct {
		protocol string
		routes   int
	}
	counts := []count{{"Direct", direct}, {"Local", direct}, {"Static", b2i(direct > 0) * (1 + r.IntN(6))}}
	for _, p := range []string{bgp, isis, ospf, ldp, rsvp} {
		label := (p == ldp || p == rsvp) != (direct > 0)
		if d.runs(p) && label {
			counts = append(counts, count{p, 3 + r.IntN(map[bool]int{true: 900000, false: 4000}[p == bgp])})
		}
	}
	total := 0
	for _, c := range counts {
		total += c.routes
	}
	w.in("route-table", func() {
		w.leaf("table-name", name)
		w.num("destination-count", total)
		w.num("total-route-count", total)
		w.num("active-route-count", total)
		w.zeros("holddown-route-count", "hidden-route-count")
		for _, c := range counts {
			if c.routes > 0 {
				w.in("protocols", func() {
					w.leaf("protocol-name", c.protocol)
					w.num("protocol-route-count", c.routes)
					w.num("active-route-count", c.routes)
				})
			}
		}
	})
}
