package fleet

import (
	"maps"
	"slices"

	"lwc/junos"
)

// LoginClassName is what a generated login class is called unless somebody
// chooses another name.
const LoginClassName = "lwc"

// BuiltinProfiles names the profiles that need no definition.
func BuiltinProfiles() []string { return junos.Profiles() }

// ProfileNames lists the profiles that are built in, from the smallest to the
// largest, and then those of one's own.
func ProfileNames(own map[string][]string) []string {
	names := BuiltinProfiles()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ProfileItems returns what a profile collects, in the order of the catalogue:
// one of one's own, or else one that is built in.
func ProfileItems(name string, own map[string][]string) []junos.Item {
	mine, ok := own[name]
	if !ok {
		items, _ := junos.Profile(name)
		return items
	}
	return slices.DeleteFunc(junos.Catalogue(), func(it junos.Item) bool { return !slices.Contains(mine, it.Name) })
}
