package junostest

// brief is a reply of one element.
func brief(w *writer, root string) { w.in(root, func() {}) }

func (d *Device) buffers(w *writer, _ int)     { brief(w, "memory-statistics") }
func (d *Device) users(w *writer, _ int)       { brief(w, "system-users-information") }
func (d *Device) processes(w *writer, _ int)   { w.leaf("output", "last pid: 1") }
func (d *Device) memory(w *writer, _ int)      { brief(w, "system-memory-information") }
func (d *Device) connections(w *writer, _ int) { w.leaf("output", "Active Internet connections") }
func (d *Device) ntp(w *writer, _ int)         { w.leaf("output", "remote refid") }
func (d *Device) replication(w *writer, _ int) { brief(w, "task-replication-state") }
func (d *Device) pics(w *writer, _ int)        { brief(w, "fpc-information") }
func (d *Device) fpcs(w *writer, _ int)        { brief(w, "fpc-information") }
func (d *Device) firmware(w *writer, _ int)    { brief(w, "firmware-information") }
func (d *Device) power(w *writer, _ int)       { brief(w, "power-usage-information") }
func (d *Device) fans(w *writer, _ int)        { brief(w, "fan-information") }
func (d *Device) thresholds(w *writer, _ int)  { brief(w, "temperature-threshold-information") }
func (d *Device) clusterInterfaces(w *writer, _ int) {
	brief(w, "chassis-cluster-interface-statistics")
}
func (d *Device) pfe(w *writer, _ int)           { brief(w, "pfe-statistics") }
func (d *Device) poe(w *writer, _ int)           { brief(w, "poe") }
func (d *Device) media(w *writer, node int)      { d.terse(w, node) }
func (d *Device) extensive(w *writer, node int)  { d.terse(w, node) }
func (d *Device) diagnostics(w *writer, _ int)   { brief(w, "interface-information") }
func (d *Device) lacp(w *writer, _ int)          { brief(w, "lacp-interface-information-list") }
func (d *Device) vlans(w *writer, _ int)         { brief(w, "l2ng-l2ald-vlan-instance-information") }
func (d *Device) spanningTree(w *writer, _ int)  { brief(w, "stp-bridge") }
func (d *Device) arp(w *writer, _ int)           { brief(w, "arp-table-information") }
func (d *Device) bgpSummary(w *writer, _ int)    { brief(w, "bgp-information") }
func (d *Device) bgpNeighbours(w *writer, _ int) { brief(w, "bgp-information") }
func (d *Device) isis(w *writer, _ int)          { brief(w, "isis-adjacency-information") }
func (d *Device) isisExtensive(w *writer, _ int) { brief(w, "isis-adjacency-information") }
func (d *Device) ospf(w *writer, _ int)          { brief(w, "ospf-neighbor-information") }
func (d *Device) ospfExtensive(w *writer, _ int) { brief(w, "ospf-neighbor-information") }
func (d *Device) rsvp(w *writer, _ int)          { brief(w, "rsvp-neighbor-information") }
func (d *Device) ldp(w *writer, _ int)           { brief(w, "ldp-neighbor-information") }
func (d *Device) ldpExtensive(w *writer, _ int)  { brief(w, "ldp-neighbor-information") }
func (d *Device) vrrp(w *writer, _ int)          { brief(w, "vrrp-information") }
func (d *Device) bfd(w *writer, _ int)           { brief(w, "bfd-session-information") }
func (d *Device) bfdExtensive(w *writer, _ int)  { brief(w, "bfd-session-information") }
func (d *Device) routes(w *writer, _ int)        { brief(w, "route-summary-information") }
func (d *Device) ike(w *writer, _ int)           { brief(w, "ike-security-associations-information") }
func (d *Device) ipsec(w *writer, _ int)         { brief(w, "ipsec-security-associations-information") }
func (d *Device) idp(w *writer, _ int)           { brief(w, "idp-security-package-information") }
