package junos_test

import (
	"slices"
	"testing"

	"lwc/junos"
	"lwc/junos/junostest"
)

// A simulated account that may do everything is found out, one of a class that
// only looks is not, and every device tells its load.
func TestRightsOfTheFleet(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: len(junostest.Models()), Superusers: []string{"srx-*", "mx-0001"}})
	found := map[bool]int{}
	for _, d := range f.Devices() {
		s, err := junos.Open(t.Context(), dial(t, d), junos.Options{})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		item, _ := junos.Lookup("show-cli-authorization")
		doc, _ := collect(t, s, item)
		p, err := junos.ParsePrivileges(doc)
		if err != nil || p.User != d.User || p.Class == "" || !slices.Contains(p.Permissions, "view") {
			t.Errorf("%s: %+v, %v", d.Name, p, err)
		}
		if excess := p.Excess(); (len(excess) > 0) != d.Superuser {
			t.Errorf("%s: superuser %v, excess %q", d.Name, d.Superuser, excess)
		}
		found[d.Superuser]++
		item, _ = junos.Lookup("show-chassis-routing-engine")
		doc, _ = collect(t, s, item)
		if load, ok := junos.ParseLoad(doc); !ok || load < 0 || load > 100 {
			t.Errorf("%s: load %d, %v", d.Name, load, ok)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: closing: %v", d.Name, err)
		}
	}
	if found[true] == 0 || found[false] == 0 {
		t.Errorf("the fleet has one kind of account only: %v", found)
	}
}
