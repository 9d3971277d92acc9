package junos

import (
	"slices"
	"strings"
	"testing"
)

func TestCatalogue(t *testing.T) {
	all := Catalogue()
	if len(all) < 40 {
		t.Errorf("%d items", len(all))
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
		if i.Name != strings.ReplaceAll(i.CLI, " ", "-") {
			t.Errorf("%s is not the command %q", i.Name, i.CLI)
		}
		if i.Why == "" || i.Size == "" {
			t.Errorf("%s is not described", i.Name)
		}
		// Nothing but a get- RPC: the catalogue changes no state.
		if !strings.HasPrefix(i.RPC(), "<get-") || strings.Contains(i.RPC(), "configuration") {
			t.Errorf("%s sends %s", i.Name, i.RPC())
		}
		if r := scanned([]byte(i.RPC())); slices.Contains(r.Flags, FlagMalformed) {
			t.Errorf("%s sends bad XML", i.Name)
		}
		if found, ok := Lookup(i.Name); !ok || found.RPC() != i.RPC() {
			t.Errorf("Lookup(%q) = %+v, %v", i.Name, found, ok)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(all) {
		t.Error("two items have one name")
	}
	if _, ok := Lookup("request-system-reboot"); ok {
		t.Error("found what is not in the catalogue")
	}
}

func TestProfiles(t *testing.T) {
	for name, want := range map[string]int{"daily": 27, "minimal": 9, "full": len(Catalogue()), "optics": 13, "security": 13} {
		if items, ok := Profile(name); !ok || len(items) != want {
			t.Errorf("%s: %d items", name, len(items))
		}
	}
	if _, ok := Profile("weekly"); ok {
		t.Error("found an unknown profile")
	}
	// Callers get their own copy.
	Catalogue()[0].Name = "changed"
	if Catalogue()[0].Name != "show-version" {
		t.Error("the catalogue can be changed")
	}
}
