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
// configuration can add to it. Session.Call refuses the zero Item and every
// Item that was altered.
type Item struct {
	Name      string    // the CLI command with hyphens
	CLI       string    // the command an operator would type
	Why       string    // what the reply is good for
	Platforms []string  // families that know the command, of mx ex srx qfx ptx acx evo; nil: all
	Size      SizeClass // of the reply
	// Sensitivity names what a customer may not want to leave the site.
	Sensitivity []string

	rpc   string
	older string // the operation as other releases spell it; empty: all agree
}

// RPC returns the NETCONF operation that is sent for the item.
func (i Item) RPC() string { return i.rpc }

// Older returns the item with the other name that releases have for its operation,
// to be asked where a device answers Unsupported. There is none for most items.
func (i Item) Older() (Item, bool) {
	o := i.own()
	o.rpc, o.older = i.older, ""
	return o, i.older != ""
}

// genuine tells whether the item is the one of the catalogue by that name: what
// would be sent for it, in either way, is what the catalogue says.
func (i Item) genuine() bool {
	n, ok := index[i.Name]
	return ok && i.rpc != "" && (i.rpc == items[n].rpc || i.rpc == items[n].older) && i.CLI == items[n].CLI
}

// own returns a copy that the caller may change without changing the catalogue.
func (i Item) own() Item {
	i.Platforms, i.Sensitivity = slices.Clone(i.Platforms), slices.Clone(i.Sensitivity)
	return i
}

// rows, items and index are one table: what is written down, what is made of
// it, and where a name stands in it. Nothing writes to them, and items are
// handed out as copies only.
var (
	rows  = slices.Concat(systemRows(), chassisRows(), interfaceRows(), protocolRows(), securityRows())
	items = itemsOf(rows)
	index = indexOf(items)
)

func itemsOf(rows []row) []Item {
	all := make([]Item, 0, len(rows))
	for _, r := range rows {
		all = append(all, r.item())
	}
	return all
}

func indexOf(all []Item) map[string]int {
	found := make(map[string]int, len(all))
	for n, i := range all {
		found[i.Name] = n
	}
	return found
}

// Catalogue returns every item, in the order in which a run asks for them:
// identity first.
func Catalogue() []Item { return pick(func(row) bool { return true }) }

func pick(want func(row) bool) []Item {
	found := make([]Item, 0, len(items))
	for n, r := range rows {
		if want(r) {
			found = append(found, items[n].own())
		}
	}
	return found
}

// Lookup finds an item by its name.
func Lookup(name string) (Item, bool) {
	n, ok := index[name]
	if !ok {
		return Item{}, false
	}
	return items[n].own(), true
}

// Profiles names the built-in profiles, the shortest first.
func Profiles() []string { return []string{"minimal", "optics", "security", "daily", "full"} }

// Profile returns the items of a built-in profile in catalogue order:
//
//   - minimal: the nine that support asks for first;
//   - optics: what it takes to judge transceivers and the links on them;
//   - security: who was on the device, what it talks to, clusters and VPNs;
//   - daily: what the vendor's own collector asks every day, as far as it only shows;
//   - full: the whole catalogue.
func Profile(name string) ([]Item, bool) {
	switch name {
	case "full":
		return Catalogue(), true
	case "minimal", "optics", "security", "daily":
		return pick(func(r row) bool { return slices.Contains(words(r.profiles), name) }), true
	}
	return nil, false
}
