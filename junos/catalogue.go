package junos

import "slices"

// SizeClass says how large the reply to an item gets on a large device.
type SizeClass string

// Size classes, by the largest replies to expect.
const (
	Small  SizeClass = "small"  // under 16 KiB
	Medium SizeClass = "medium" // under 1 MiB
	Large  SizeClass = "large"  // more than 1 MiB on a big chassis
)

// Item is one thing that may be asked of a device. Items come from the
// catalogue only: what is sent is unexported, so that no other package and no
// configuration can add to it. The zero Item is refused by Session.Call.
type Item struct {
	Name      string    // the CLI command with hyphens
	CLI       string    // the command an operator would type
	Why       string    // what the reply is good for
	Platforms []string  // families that know the command; nil: all
	Size      SizeClass // of the reply
	// Sensitivity names what a customer may not want to leave the site.
	Sensitivity []string

	rpc string
}

// RPC returns the NETCONF operation that is sent for the item.
func (i Item) RPC() string { return i.rpc }

// Catalogue returns every item, in the order in which a run asks for them:
// identity first.
func Catalogue() []Item {
	return append(systemItems(), append(chassisItems(), networkItems()...)...)
}

// Lookup finds an item by its name.
func Lookup(name string) (Item, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(i Item) bool { return i.Name == name })
	if i < 0 {
		return Item{}, false
	}
	return all[i], true
}

// Profile returns the items of a named profile in catalogue order: "daily" is
// the whole catalogue, "minimal" the nine that support asks for first.
func Profile(name string) ([]Item, bool) {
	switch name {
	case "daily":
		return Catalogue(), true
	case "minimal":
		return slices.DeleteFunc(Catalogue(), func(i Item) bool { return !minimal(i.Name) }), true
	}
	return nil, false
}

func minimal(name string) bool {
	switch name {
	case "show-version", "show-system-uptime", "show-system-commit", "show-system-core-dumps",
		"show-chassis-alarms", "show-chassis-hardware-extensive", "show-chassis-routing-engine",
		"show-interfaces-terse", "show-interfaces-descriptions":
		return true
	}
	return false
}

func systemItems() []Item {
	return []Item{
		{Name: "show-version", CLI: "show version", Why: "release and packages: end of support, known defects",
			Size: Medium, Sensitivity: []string{"host-names"}, rpc: "<get-software-information/>"},
		{Name: "show-system-uptime", CLI: "show system uptime", Why: "unplanned restarts, last configuration change",
			Size: Small, Sensitivity: []string{"user-names"}, rpc: "<get-system-uptime-information/>"},
		{Name: "show-system-commit", CLI: "show system commit", Why: "who changed the configuration and when",
			Size: Small, Sensitivity: []string{"user-names"}, rpc: "<get-commit-information/>"},
		{Name: "show-system-license", CLI: "show system license", Why: "licences used, installed and about to expire",
			Size: Medium, Sensitivity: []string{"licences", "serial-numbers"}, rpc: "<get-license-summary-information/>"},
		{Name: "show-system-core-dumps", CLI: "show system core-dumps", Why: "processes that crashed",
			Size: Small, Sensitivity: []string{"file-names"}, rpc: "<get-system-core-dumps/>"},
		{Name: "show-system-storage", CLI: "show system storage", Why: "file systems that run full",
			Size: Small, rpc: "<get-system-storage/>"},
		{Name: "show-system-alarms", CLI: "show system alarms", Why: "alarms of the system",
			Size: Small, rpc: "<get-system-alarm-information/>"},
	}
}

func chassisItems() []Item {
	return []Item{
		{Name: "show-chassis-alarms", CLI: "show chassis alarms", Why: "alarms of the hardware",
			Size: Small, rpc: "<get-alarm-information/>"},
		{Name: "show-chassis-hardware-extensive", CLI: "show chassis hardware extensive",
			Why:  "parts with numbers, versions and serials: inventory, contracts, recalls",
			Size: Large, Sensitivity: []string{"serial-numbers"},
			rpc: "<get-chassis-inventory><extensive/></get-chassis-inventory>"},
		{Name: "show-chassis-routing-engine", CLI: "show chassis routing-engine", Why: "load, memory and temperature of the routing engines",
			Size: Small, Sensitivity: []string{"serial-numbers"}, rpc: "<get-route-engine-information/>"},
		{Name: "show-chassis-environment", CLI: "show chassis environment", Why: "temperatures, fans and power supplies",
			Size: Medium, rpc: "<get-environment-information/>"},
	}
}

func networkItems() []Item {
	return []Item{
		{Name: "show-interfaces-terse", CLI: "show interfaces terse", Why: "ports in use, free and down",
			Size: Large, Sensitivity: []string{"addresses"},
			rpc: "<get-interface-information><terse/></get-interface-information>"},
		{Name: "show-interfaces-descriptions", CLI: "show interfaces descriptions", Why: "what each port is for",
			Size: Medium, Sensitivity: []string{"descriptions"},
			rpc: "<get-interface-information><descriptions/></get-interface-information>"},
		{Name: "show-lldp-neighbors", CLI: "show lldp neighbors", Why: "how devices are cabled",
			Size: Medium, Sensitivity: []string{"host-names", "addresses"}, rpc: "<get-lldp-neighbors-information/>"},
		{Name: "show-virtual-chassis", CLI: "show virtual-chassis", Why: "members, roles and health of a virtual chassis",
			Platforms: []string{"ex", "mx", "qfx"}, Size: Small, Sensitivity: []string{"serial-numbers"},
			rpc: "<get-virtual-chassis-information/>"},
		{Name: "show-chassis-cluster-status", CLI: "show chassis cluster status", Why: "redundancy groups and fail-overs of a cluster",
			Platforms: []string{"srx"}, Size: Small, rpc: "<get-chassis-cluster-status/>"},
	}
}
