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
	root string // element of the payload
	// write adds the payload of one node.
	write func(d *Device, w *writer, node int)
	// of is the catalogue item that it is a variant of, which only other
	// clients ask for; empty: it is the item itself.
	of string
	// filter is the option that narrows the reply to some ports; empty: none.
	filter string

	item string // catalogue item, set by lookUp
	only string // what the filter says, set by byRPC
}

// logged is the item as the log of what was sent has it.
func (c command) logged() string {
	if c.of != "" {
		return ""
	}
	return c.item
}

// lookUp finds the first command of the table that is wanted. An item of the
// catalogue is called like its command, with hyphens.
func lookUp(wanted func(command) bool) (command, bool) {
	i := slices.IndexFunc(commands, wanted)
	if i < 0 {
		return command{}, false
	}
	c := commands[i]
	if c.item = c.of; c.item == "" {
		c.item = strings.ReplaceAll(c.cli, " ", "-")
	}
	return c, true
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
	c, ok = lookUp(func(c command) bool { return c.cli == line })
	return c, everywhere && ok, ok
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
	if op.name == "get-buffer-informaton" { // as it is spelt in older releases
		op.name = "get-buffer-informations"
	}
	c, ok := lookUp(func(c command) bool {
		if c.rpc != op.name {
			return false
		}
		fits := c.opts == ""
		for _, o := range op.options {
			switch {
			case o.name == c.opts:
				fits = true
			case c.filter == "" || o.name != c.filter:
				bad = o.name
				return false
			}
		}
		return fits
	})
	if !ok {
		return command{}, bad
	}
	if c.filter != "" {
		c.only = op.option(c.filter)
	}
	return c, ""
}

// payload writes the reply to a command, wrapped by node where the platform
// does that or everywhere asks for it.
func (d *Device) payload(w *writer, c command, everywhere bool) {
	nodes, master := d.nodes()
	w.only = c.only
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
