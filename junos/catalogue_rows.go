package junos

import "strings"

// row is an item as it is written down. An operation is one word and its only
// argument, where it has one, is an empty element, so that no row can hold text
// that a device would act upon. Lists are words with blanks between them.
type row struct {
	cli, op, arg string
	why          string
	size         SizeClass
	platforms    string // empty: all
	sensitivity  string
	profiles     string // other than full, which has every item
}

func (r row) name() string { return strings.ReplaceAll(r.cli, " ", "-") }

func (r row) rpc() string {
	if r.arg == "" {
		return "<" + r.op + "/>"
	}
	return "<" + r.op + "><" + r.arg + "/></" + r.op + ">"
}

func (r row) item() Item {
	return Item{Name: r.name(), CLI: r.cli, Why: r.why, Size: r.size, rpc: r.rpc(), older: r.older(),
		Platforms: words(r.platforms), Sensitivity: words(r.sensitivity)}
}

// older is the operation where releases misspell its name.
func (r row) older() string {
	if r.op == "get-buffer-informations" {
		return "<get-buffer-informaton/>"
	}
	return ""
}

// words is nil for none.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

func systemRows() []row {
	return []row{
		{"show version", "get-software-information", "",
			"release and packages: end of support, known defects",
			Medium, "", "host-names", "minimal daily security optics"},
		{"show system uptime", "get-system-uptime-information", "",
			"unplanned restarts, last configuration change",
			Small, "", "user-names", "minimal daily security optics"},
		{"show system commit", "get-commit-information", "",
			"who changed the configuration and when",
			Small, "", "user-names", "minimal daily security"},
		{"show system license", "get-license-summary-information", "",
			"licences used, installed and about to expire",
			Medium, "", "licences serial-numbers", "daily security"},
		{"show system core-dumps", "get-system-core-dumps", "",
			"processes that crashed",
			Small, "", "file-names user-names", "minimal daily security"},
		{"show system buffers", "get-buffer-informations", "",
			"network buffers of the routing engine that run out",
			Small, "", "", "daily"},
		{"show system storage", "get-system-storage", "",
			"file systems that run full",
			Small, "", "", "daily"},
		{"show system alarms", "get-system-alarm-information", "",
			"alarms of the system",
			Small, "", "", "daily security"},
		{"show system users", "get-system-users-information", "",
			"who is logged in and from where",
			Small, "", "user-names ip-addresses commands", "security"},
		{"show system processes extensive", "get-system-process-information", "extensive",
			"processes that take the processor or the memory of the routing engine",
			Medium, "", "user-names processes", ""},
		{"show system memory", "get-system-memory-information", "",
			"memory that runs out or leaks, by process",
			Medium, "", "processes", ""},
		{"show task replication", "get-routing-task-replication-state", "",
			"whether a switch of routing engines would be seamless",
			Small, "", "", ""},
		{"show cli authorization", "get-authorization-information", "",
			"rights of the account that collects: shows that it may only look",
			Small, "", "user-names", "security"},
	}
}

func chassisRows() []row {
	return []row{
		{"show chassis alarms", "get-alarm-information", "",
			"alarms of the hardware",
			Small, "", "", "minimal daily optics"},
		{"show chassis hardware detail", "get-chassis-inventory", "detail",
			"parts with serials, disks and memory modules",
			Large, "", "serial-numbers", "daily optics"},
		{"show chassis hardware extensive", "get-chassis-inventory", "extensive",
			"parts with numbers, versions and serials: inventory, contracts, recalls",
			Large, "", "serial-numbers", "minimal daily"},
		{"show chassis fpc", "get-fpc-information", "",
			"state, load and memory of the line cards",
			Small, "", "", "daily"},
		{"show chassis fpc pic-status", "get-pic-information", "",
			"interface cards that are offline or of the wrong kind",
			Small, "", "", "daily optics"},
		{"show chassis routing-engine", "get-route-engine-information", "",
			"load, memory and temperature of the routing engines",
			Small, "", "serial-numbers", "minimal daily"},
		{"show chassis environment", "get-environment-information", "",
			"temperatures, fans and power supplies",
			Medium, "", "", "daily optics"},
		{"show chassis firmware", "get-firmware-information", "",
			"boot loaders and firmware of the cards: known defects",
			Medium, "", "", "daily"},
		{"show chassis power", "get-power-usage-information", "",
			"power drawn, power left and supplies that failed",
			Small, "", "", ""},
		{"show chassis fan", "get-fan-information", "",
			"speed of each fan",
			Small, "", "", ""},
		{"show chassis temperature-thresholds", "get-temperature-threshold-information", "",
			"how far the temperatures are from an alarm",
			Medium, "", "", "optics"},
		{"show virtual-chassis", "get-virtual-chassis-information", "",
			"members, roles and health of a virtual chassis",
			Small, "ex mx qfx", "serial-numbers", "daily"},
		{"show chassis cluster status", "get-chassis-cluster-status", "",
			"redundancy groups and fail-overs of a cluster",
			Small, "srx", "", "daily security"},
		{"show chassis cluster interfaces", "get-chassis-cluster-interfaces", "",
			"control, fabric and redundant links of a cluster",
			Small, "srx", "", "security"},
		{"show pfe statistics traffic", "get-pfe-statistics", "",
			"packets dropped in hardware, by reason",
			Medium, "", "", ""},
		{"show poe interface", "get-poe-interface-information", "",
			"power given to each port",
			Medium, "ex srx", "", ""},
	}
}

func interfaceRows() []row {
	return []row{
		{"show interfaces terse", "get-interface-information", "terse",
			"ports in use, free and down",
			Large, "", "ip-addresses", "minimal daily optics"},
		{"show interfaces descriptions", "get-interface-information", "descriptions",
			"what each port is for",
			Medium, "", "descriptions", "minimal daily optics"},
		{"show interfaces media", "get-interface-information", "media",
			"speed, duplex and flaps of each port",
			Large, "", "ip-addresses mac-addresses descriptions", "optics"},
		{"show interfaces extensive", "get-interface-information", "extensive",
			"errors, drops and queues of each port",
			Large, "", "ip-addresses mac-addresses descriptions", ""},
		{"show interfaces diagnostics optics", "get-interface-optics-diagnostics-information", "",
			"light sent and received, temperature and alarms of each transceiver",
			Large, "", "", "daily optics"},
		{"show lldp neighbors", "get-lldp-neighbors-information", "",
			"how devices are cabled",
			Medium, "", "host-names ip-addresses mac-addresses descriptions", "daily optics"},
		{"show lacp interfaces", "get-lacp-interface-information", "",
			"members that do not take part in their bundle",
			Medium, "", "", "optics"},
		{"show vlans", "get-vlan-information", "",
			"VLANs and the ports in them",
			Large, "ex qfx srx acx evo", "vlan-names", ""},
		{"show spanning-tree bridge", "get-stp-bridge-information", "",
			"root bridge and topology changes",
			Medium, "mx ex srx qfx acx evo", "mac-addresses", ""},
		{"show arp no-resolve", "get-arp-table-information", "no-resolve",
			"what is attached to each network",
			Large, "", "ip-addresses mac-addresses", ""},
	}
}

func protocolRows() []row {
	return []row{
		{"show bgp summary", "get-bgp-summary-information", "",
			"peers that are down, routes received and accepted",
			Large, "", "ip-addresses as-numbers", "daily"},
		{"show bgp neighbor", "get-bgp-neighbor-information", "",
			"why a peer went down, its options and counters",
			Large, "", "ip-addresses as-numbers descriptions", ""},
		{"show isis adjacency", "get-isis-adjacency-information", "",
			"IS-IS neighbours and their state",
			Medium, "", "host-names", "daily"},
		{"show ospf neighbor", "get-ospf-neighbor-information", "",
			"OSPF neighbours and their state",
			Medium, "", "ip-addresses", "daily"},
		{"show rsvp neighbor", "get-rsvp-neighbor-information", "",
			"RSVP neighbours and lost hellos",
			Medium, "", "ip-addresses", "daily"},
		{"show ldp neighbor", "get-ldp-neighbor-information", "",
			"LDP neighbours and how long they hold",
			Medium, "", "ip-addresses", ""},
		{"show vrrp detail", "get-vrrp-information", "detail",
			"gateways that back each other up: who is master, why it changed",
			Large, "", "ip-addresses mac-addresses", "daily"},
		{"show bfd session", "get-bfd-session-information", "",
			"fast failure detection: sessions that are down or flap",
			Large, "", "ip-addresses", ""},
		{"show route summary", "get-route-summary-information", "",
			"number of routes by table and protocol: scale limits",
			Small, "", "ip-addresses as-numbers", ""},
	}
}

func securityRows() []row {
	return []row{
		{"show security ike security-associations", "get-ike-security-associations-information", "",
			"VPN peers that are up, and with which phase 1",
			Large, "srx mx", "ip-addresses", "security"},
		{"show security ipsec security-associations", "get-security-associations-information", "",
			"VPN tunnels that are up and about to expire",
			Large, "srx mx", "ip-addresses", "security"},
		{"show security idp security-package-version", "get-idp-security-package-information", "",
			"age of the attack signatures",
			Small, "srx", "", "security"},
	}
}
