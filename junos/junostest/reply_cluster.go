package junostest

import "strconv"

// clusterInterfaces is the reply to show chassis cluster interfaces: control,
// fabric and redundant links.
func (d *Device) clusterInterfaces(w *writer, _ int) {
	w.in("chassis-cluster-interface-statistics", func() {
		w.in("control-interface-index", func() {
			w.leaves("control-link-status", "Up")
			w.in("control-interface", func() {
				w.leaves("index", "0", "name", "em0", "monitored-status", "Up", "internal-sa", "Disabled", "security", "Disabled")
			})
		})
		w.leaf("fabric-link-status", "Up")
		for node := range 2 {
			w.in("fabric-interface", func() {
				w.leaves("fabric-interface-name", "fab"+strconv.Itoa(node), "fabric-child-name", "xe-"+strconv.Itoa(node*7)+"/1/0",
					"fabric-physical-status", "Up", "fabric-monitored-status", "Up", "fabric-security", "Disabled")
			})
		}
		w.in("redundant-ethernet-information", func() {
			for _, p := range d.redundantPorts() {
				w.leaves("redundant-ethernet-name", p.name, "redundant-ethernet-status", upWord(p.up), "redundant-group", "1")
			}
		})
		w.in("pseudo-interface-information", func() {
			w.leaves("pseudo-interface-name", "lo0", "pseudo-interface-status", "Up", "redundant-group", "0")
		})
		d.monitored(w)
	})
}

// monitored lists the ports whose loss makes a node fail over.
func (d *Device) monitored(w *writer) {
	w.in("monitored-interfaces", func() {
		for i, p := range d.ports() {
			if i%6 == 0 {
				w.leaves("interface-name", p.name, "weight", "255", "monitored-status", upWord(p.up), "redundant-group", "1")
			}
		}
	})
}

func upWord(up bool) string {
	if up {
		return "Up"
	}
	return "Down"
}
