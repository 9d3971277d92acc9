package junostest

import (
	"slices"
	"strings"
)

// command is one show command that devices know.
type command struct {
	cli  string // as typed
	rpc  string // NETCONF operation
	opts string // name of its one option; empty: none
	item string // catalogue item that it is, or that it is a variant of
	root string // element of the payload
	// write adds the payload of one node.
	write func(d *Device, w *writer, node int)
	// variant says that it is not the item itself: only other clients ask for it.
	variant bool
}

// logged is the item as the log of what was sent has it.
func (c command) logged() string {
	if c.variant {
		return ""
	}
	return c.item
}

// commands returns all that devices know. Variants of an operation stand next
// to each other.
func commands() []command {
	return []command{
		{"show version", "get-software-information", "", "show-version", "software-information", (*Device).software, false},
		{"show system uptime", "get-system-uptime-information", "", "show-system-uptime", "system-uptime-information", (*Device).uptime, false},
		{"show system commit", "get-commit-information", "", "show-system-commit", "commit-information", (*Device).commits, false},
		{"show system license", "get-license-summary-information", "", "show-system-license", "license-summary-information", (*Device).licences, false},
		{"show system core-dumps", "get-system-core-dumps", "", "show-system-core-dumps", "directory-list", (*Device).coreDumps, false},
		{"show system storage", "get-system-storage", "", "show-system-storage", "system-storage-information", (*Device).storage, false},
		{"show system alarms", "get-system-alarm-information", "", "show-system-alarms", "alarm-information", (*Device).systemAlarms, false},
		{"show chassis alarms", "get-alarm-information", "", "show-chassis-alarms", "alarm-information", (*Device).chassisAlarms, false},
		{"show chassis hardware extensive", "get-chassis-inventory", "extensive", "show-chassis-hardware-extensive", "chassis-inventory", (*Device).hardwareExtensive, false},
		{"show chassis hardware detail", "get-chassis-inventory", "detail", "show-chassis-hardware-extensive", "chassis-inventory", (*Device).hardware, true},
		{"show chassis hardware", "get-chassis-inventory", "", "show-chassis-hardware-extensive", "chassis-inventory", (*Device).hardware, true},
		{"show chassis routing-engine", "get-route-engine-information", "", "show-chassis-routing-engine", "route-engine-information", (*Device).routeEngine, false},
		{"show chassis environment", "get-environment-information", "", "show-chassis-environment", "environment-information", (*Device).environment, false},
		{"show interfaces terse", "get-interface-information", "terse", "show-interfaces-terse", "interface-information", (*Device).terse, false},
		{"show interfaces descriptions", "get-interface-information", "descriptions", "show-interfaces-descriptions", "interface-information", (*Device).descriptions, false},
		{"show lldp neighbors", "get-lldp-neighbors-information", "", "show-lldp-neighbors", "lldp-neighbors-information", (*Device).neighbours, false},
		{"show virtual-chassis", "get-virtual-chassis-information", "", "show-virtual-chassis", "virtual-chassis-information", (*Device).virtualChassis, false},
		{"show chassis cluster status", "get-chassis-cluster-status", "", "show-chassis-cluster-status", "chassis-cluster-status", (*Device).clusterStatus, false},
	}
}

// byCLI finds a command as typed. everywhere says that it asks every routing
// engine or member, which commands do with words of their own.
func (d *Device) byCLI(line string) (c command, everywhere, ok bool) {
	line = strings.Join(strings.Fields(line), " ")
	for _, suffix := range d.everywhereWords() {
		if rest, found := strings.CutSuffix(line, suffix); found {
			line, everywhere = rest, true
		}
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.cli == line })
	if i < 0 {
		return command{}, false, false
	}
	return all[i], everywhere, true
}

func (d *Device) everywhereWords() []string {
	switch d.Model {
	case MXDualRE:
		return []string{" invoke-on all-routing-engines"}
	case EXVC, QFX:
		return []string{" all-members"}
	default:
		return nil
	}
}

// byRPC finds the command of an operation. bad names the element that is not
// understood where there is none.
func byRPC(op operation) (c command, bad string) {
	bad = op.name
	for _, c := range commands() {
		if c.rpc != op.name {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(op.options), func(o option) bool { return o.name == c.opts })
		if len(rest) == 0 && (c.opts == "" || len(op.options) > 0) {
			return c, ""
		}
		if len(rest) > 0 {
			bad = rest[0].name
		}
	}
	return command{}, bad
}

// payload writes the reply to a command, wrapped by node where the platform
// does that or everywhere asks for it.
func (d *Device) payload(w *writer, c command, everywhere bool) {
	nodes, master := d.nodes()
	if !everywhere && !d.mixes(c.item) {
		c.write(d, w, master)
		return
	}
	w.in("multi-routing-engine-results", func() {
		for i, name := range nodes {
			w.blank()
			w.in("multi-routing-engine-item", func() {
				w.blank()
				w.leaf("re-name", name)
				w.blank()
				c.write(d, w, i)
			})
		}
		w.blank()
	})
}

// lacking tells how the device answers a command that its platform does not have.
func (d *Device) lacking(c command) lack { return d.plat.lacks[c.item] }

// junosNS is the namespace of a module in this release. Modules are versioned
// by the main release: "23.4R0" where the device runs 23.4R2-S7.4.
func (d *Device) junosNS(module string) string {
	main, _, _ := strings.Cut(d.Release, "R")
	return "http://xml.juniper.net/junos/" + main + "R0/" + module
}

// envelopeNS is the namespace junos of the envelope.
func (d *Device) envelopeNS() string {
	return "http://xml.juniper.net/junos/" + d.Release + "/junos"
}
