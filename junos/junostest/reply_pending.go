package junostest

func rootOnly(w *writer, root string) { w.in(root, func() {}) }

func (d *Device) buffers(w *writer, _ int)       { rootOnly(w, "memory-statistics") }
func (d *Device) users(w *writer, _ int)         { rootOnly(w, "system-users-information") }
func (d *Device) memory(w *writer, _ int)        { rootOnly(w, "system-memory-information") }
func (d *Device) replication(w *writer, _ int)   { rootOnly(w, "task-replication-state") }
func (d *Device) poe(w *writer, _ int)           { rootOnly(w, "poe") }
func (d *Device) lacp(w *writer, _ int)          { rootOnly(w, "lacp-interface-information-list") }
func (d *Device) vlans(w *writer, _ int)         { rootOnly(w, "l2ng-l2ald-vlan-instance-information") }
func (d *Device) spanningTree(w *writer, _ int)  { rootOnly(w, "stp-bridge") }
func (d *Device) arp(w *writer, _ int)           { rootOnly(w, "arp-table-information") }
func (d *Device) bgpSummary(w *writer, _ int)    { rootOnly(w, "bgp-information") }
func (d *Device) bgpNeighbours(w *writer, _ int) { rootOnly(w, "bgp-information") }
func (d *Device) isis(w *writer, _ int)          { rootOnly(w, "isis-adjacency-information") }
func (d *Device) isisExtensive(w *writer, _ int) { rootOnly(w, "isis-adjacency-information") }
func (d *Device) ospf(w *writer, _ int)          { rootOnly(w, "ospf-neighbor-information") }
func (d *Device) ospfExtensive(w *writer, _ int) { rootOnly(w, "ospf-neighbor-information") }
func (d *Device) rsvp(w *writer, _ int)          { rootOnly(w, "rsvp-neighbor-information") }
func (d *Device) ldp(w *writer, _ int)           { rootOnly(w, "ldp-neighbor-information") }
func (d *Device) ldpExtensive(w *writer, _ int)  { rootOnly(w, "ldp-neighbor-information") }
func (d *Device) vrrp(w *writer, _ int)          { rootOnly(w, "vrrp-information") }
func (d *Device) bfd(w *writer, _ int)           { rootOnly(w, "bfd-session-information") }
func (d *Device) bfdExtensive(w *writer, _ int)  { rootOnly(w, "bfd-session-information") }
func (d *Device) routes(w *writer, _ int)        { rootOnly(w, "route-summary-information") }
func (d *Device) ike(w *writer, _ int)           { rootOnly(w, "ike-security-associations-information") }
func (d *Device) ipsec(w *writer, _ int)         { rootOnly(w, "ipsec-security-associations-information") }
func (d *Device) idp(w *writer, _ int)           { rootOnly(w, "idp-security-package-information") }
func (d *Device) processes(w *writer, _ int)     { rootOnly(w, "output") }
func (d *Device) connections(w *writer, _ int)   { rootOnly(w, "output") }
func (d *Device) ntp(w *writer, _ int)           { rootOnly(w, "output") }
