package apitype

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"lwc/transport/wire"
)

// Event is something that an operator should know, with what to do about it.
type Event struct {
	wire.Event
	Meaning string `json:"meaning,omitempty" doc:"Of a port violation: what it means."`
	Advice  string `json:"advice,omitempty" doc:"Of a port violation: what to do."`
}

// About names what an event is about: a device, a port, or "-".
func (e Event) About() string {
	if v := e.Violation; v != nil && v.Port != "" {
		return v.Port + " port"
	} else if v != nil {
		return "outside the ports"
	}
	return cmp.Or(e.Device, "-")
}

// Outcome says whether a port violation was put right; empty for other events.
func (e Event) Outcome() string {
	switch {
	case e.Violation == nil:
		return ""
	case e.Violation.Healed:
		return "put right by the collector"
	}
	return "not put right when this was told"
}

// meaning is what one kind of violation says, and what an engineer does about it.
type meaning struct{ what, do string }

// onTheBox ends the advice for what no network can cause.
const onTheBox = "Nothing in your networks causes this: only a program with administrator rights on the box can do it. " +
	"Find out who changed the box at that time; if nobody did, take it off the networks and have it examined."

// meanings are the kinds of docs/protocol.md, in words for whoever looks after
// the site's network.
var meanings = map[string]meaning{
	"sysctl":          {"A setting of the kernel that keeps the ports apart was changed.", onTheBox},
	"nftables":        {"The packet filter in front of the port was changed, or another one was added.", onTheBox},
	"route":           {"A route was added to the port, or one of its own was taken away.", onTheBox},
	"rule":            {"A rule was added that decides which routes are used, or one was taken away.", onTheBox},
	"traffic-control": {"Something was attached to the port that can send its frames elsewhere.", onTheBox},
	"namespace":       {"The closed room that a port lives in is not the one that the collector made.", onTheBox},
	"home-holds-port": {"A port was taken out of the closed room that it lives in.", onTheBox},
	"address": {"The port has an address that it should not have, lacks its own, or another host uses it.",
		"Look for a second host with the port's address in that network, and give one of the two another address. " +
			"If there is none, a program with administrator rights changed the box: find out who did."},
	"link": {"The network card of the port is gone, was replaced, was switched off, or was joined to something else.",
		"Check that the card and its cable are where they were. Collecting goes on by itself when the same card is back; " +
			"a new card needs its name or MAC address in the configuration of the box."},
	"extra-interface": {"The box has a network interface that is neither of its two ports.",
		"Unplug what was added: a network card, a USB adapter, a modem. The ports open by themselves when it is gone."},
	"same-segment": {"What one port sent came in at the other: both are plugged into the same network.",
		"Plug the two ports into different networks: two switches, or two VLANs, with nothing that bridges them. " +
			"The ports open by themselves when they are apart."},
	"overlap": {"The two ports have addresses or routes that overlap.",
		"Give the two ports separate subnets: in the configuration of the box, or at the DHCP server that hands out the address. " +
			"The collector does not choose between the two: the ports stay closed until the addresses are changed."},
	"watch": {"The collector could not follow what changes in the kernel, and closed the ports until it can see again.",
		"If it comes again, look at the memory and the load of the box: it has too little left to keep watch."},
}

// ExplainViolation says what a violation means and what to do about it.
func ExplainViolation(v *wire.PortViolation) (what, do string) {
	if v == nil {
		return "", ""
	}
	m, ok := meanings[v.Kind]
	if !ok {
		m = meaning{"The ports are not as they were configured.", onTheBox}
	}
	return m.what, m.do
}

// Separation says in words whether two ports are kept apart, and by what.
func Separation(p wire.PortState) string {
	switch p.Mode {
	case "":
		return "unknown"
	case "enforce":
		return "separated by network namespaces"
	case "userns":
		return "separated by network namespaces of an ordinary user (a developer's set-up)"
	}
	return "NOT separated"
}

// PortsSince says in words what state the ports are in, and since when: "open
// since 2026-01-02 15:04:05 UTC".
func PortsSince(p wire.PortState) string {
	if p.State == "" {
		return "unknown"
	}
	if p.Since.IsZero() {
		return p.State
	}
	return p.State + " since " + p.Since.UTC().Format(time.DateTime) + " UTC"
}

// Violations says in words how many violations there were since the daemon started.
func Violations(p wire.PortState) string {
	switch {
	case p.Mode == "unprotected":
		return "nobody looks for any in this mode"
	case p.Violations == 0:
		return "none since the collector started"
	case p.Healed >= p.Violations:
		return fmt.Sprintf("%d since the collector started, all put right", p.Violations)
	case p.Healed == 0:
		return fmt.Sprintf("%d since the collector started, none put right", p.Violations)
	}
	return fmt.Sprintf("%d since the collector started, %d put right", p.Violations, p.Healed)
}

// PortsWord is the state of the ports in a few words, for a row of a table:
// "open, separated", "blocked, latched", "open, NOT separated".
func PortsWord(p wire.PortState) string {
	if p.State == "" {
		return "-"
	}
	parts := []string{p.State}
	switch p.Mode {
	case "enforce", "userns":
		parts = append(parts, "separated")
	default:
		parts = append(parts, "NOT separated")
	}
	if p.Mode == "userns" {
		parts = append(parts, "userns")
	}
	if p.Latched {
		parts = append(parts, "latched")
	}
	if len(p.Degraded) > 0 {
		parts = append(parts, "degraded")
	}
	return strings.Join(parts, ", ")
}

// PortsNeed says what an operator has to know of a collector's ports, one
// sentence or two an entry; nothing when they are open and separated, and the
// kernel can do all of it.
func PortsNeed(p wire.PortState) []string {
	var out []string
	if p.Mode == "" && p.State != "" {
		out = append(out, "The collector does not say whether its two ports are separated.")
	}
	if p.Mode != "" && p.Mode != "enforce" && p.Mode != "userns" {
		out = append(out, "The two ports are NOT separated: lwcd runs in mode "+p.Mode+". Set [guard] mode = \"enforce\" and restart it.")
	}
	switch {
	case p.Latched:
		out = append(out, "The ports are closed and stay closed: too many violations came in a short time"+because(p)+". Remove the cause, then restart lwcd.")
	case p.State == "blocked":
		out = append(out, "The ports are closed, and nothing is collected"+because(p)+". They open by themselves once the cause is gone.")
	case p.State == "down":
		out = append(out, "The ports are down, and nothing is collected"+because(p)+".")
	}
	for _, lack := range p.Degraded {
		out = append(out, "The separation is weaker here: "+strings.TrimSuffix(lack, ".")+".")
	}
	return out
}

func because(p wire.PortState) string {
	if p.Detail == "" {
		return ""
	}
	return ": " + strings.TrimSuffix(p.Detail, ".")
}
