package junostest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lwc/junos"
)

// values returns the texts of an element in a document, each once.
func values(doc, element string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<`+element+`[^>]*>\s*([^<]*?)\s*</`+element+`>`).FindAllStringSubmatch(doc, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func item(t testing.TB, d *Device, name string) string {
	t.Helper()
	i, ok := junos.Lookup(name)
	if !ok {
		t.Fatalf("no item %s", name)
	}
	return ask(t, d, i.RPC())
}

// TestRepliesAgree holds that what one reply names the others know: ports,
// addresses, hardware addresses, neighbours, power supplies.
func TestRepliesAgree(t *testing.T) {
	for _, d := range newFleet(t, Config{Devices: 24, Seed: 6}).Devices() {
		terse := item(t, d, "show-interfaces-terse")
		within := func(name, element, of string, known []string) {
			for _, v := range values(item(t, d, name), element) {
				if v = strings.TrimSuffix(v, "*"); !slices.Contains(known, v) {
					t.Errorf("%s: %s has %s %q, which %s does not", d.Name, name, element, v, of)
				}
			}
		}
		ports := values(terse, "name")
		for _, name := range []string{"show-interfaces-media", "show-interfaces-extensive", "show-interfaces-diagnostics-optics",
			"show-interfaces-descriptions", "show-lacp-interfaces"} {
			within(name, "name", "show-interfaces-terse", ports)
		}
		within("show-lldp-neighbors", "lldp-local-port-id", "show-interfaces-terse", ports)
		within("show-vlans", "l2ng-l2rtb-vlan-member-interface", "show-interfaces-terse", ports)
		within("show-poe-interface", "interface-name", "show-interfaces-terse", ports)
		for _, name := range []string{"show-isis-adjacency", "show-ospf-neighbor", "show-ldp-neighbor", "show-arp-no-resolve"} {
			within(name, "interface-name", "show-interfaces-terse", ports)
		}
		within("show-bfd-session", "session-interface", "show-interfaces-terse", ports)
		within("show-vrrp-detail", "interface", "show-interfaces-terse", ports)
		within("show-isis-adjacency", "system-name", "show-lldp-neighbors", values(item(t, d, "show-lldp-neighbors"), "lldp-remote-system-name"))
		within("show-rsvp-neighbor", "rsvp-neighbor-address", "show-arp-no-resolve", values(item(t, d, "show-arp-no-resolve"), "ip-address"))
		within("show-chassis-power", "name", "show-chassis-environment", values(item(t, d, "show-chassis-environment"), "name"))
		within("show-bgp-summary", "peer-address", "show-bgp-neighbor", values(strings.ReplaceAll(item(t, d, "show-bgp-neighbor"), "+179<", "<"), "peer-address"))
	}
}

// TestProtocolsHaveNeighbours holds that what runs is not an empty reply, over
// a fleet, and that each refusal occurs.
func TestProtocolsHaveNeighbours(t *testing.T) {
	seen := map[string]int{}
	for _, d := range newFleet(t, Config{Devices: 48, Seed: 6}).Devices() {
		for name, entry := range map[string]string{"show-bgp-summary": "bgp-peer", "show-isis-adjacency": "isis-adjacency", "show-ospf-neighbor": "ospf-neighbor",
			"show-ldp-neighbor": "ldp-neighbor", "show-rsvp-neighbor": "rsvp-neighbor", "show-vrrp-detail": "vrrp-interface", "show-lacp-interfaces": "lag-lacp-state",
			"show-poe-interface": "interface-information", "show-security-ike-security-associations": "ike-security-associations",
			"show-security-ipsec-security-associations": "ipsec-security-associations", "show-vlans": "l2ng-l2rtb-vlan-name", "show-bfd-session": "bfd-session",
			"show-spanning-tree-bridge": "root-bridge", "show-interfaces-diagnostics-optics": "module-voltage"} {
			doc := item(t, d, name)
			seen[name+" with entries"] += b2i(strings.Contains(doc, "<"+entry+">") || strings.Contains(doc, "<"+entry+" "))
			seen[name+" refused"] += b2i(strings.Contains(doc, "not running") || strings.Contains(doc, "not enabled") || strings.Contains(doc, "syntax error"))
		}
	}
	for what, n := range seen {
		everywhere := []string{"show-bfd-session refused", "show-interfaces-diagnostics-optics refused", "show-lacp-interfaces refused"}
		if n == 0 && !slices.Contains(everywhere, what) {
			t.Errorf("%s: never", what)
		}
	}
}

// TestSizes holds that a device of the daily profile says about as much as one
// of its size does, and that the largest item is the one that is on real devices.
func TestSizes(t *testing.T) {
	daily, _ := junos.Profile("daily")
	total := 0
	devices := newFleet(t, Config{Devices: 30}).Devices()
	for _, d := range devices {
		size, largest, name := 0, 0, ""
		for _, i := range daily {
			size += len(ask(t, d, i.RPC()))
		}
		for _, i := range junos.Catalogue() {
			if n := len(ask(t, d, i.RPC())); n > largest {
				largest, name = n, i.Name
			}
		}
		if total += size; size < 90<<10 || size > 800<<10 || name != "show-interfaces-extensive" {
			t.Errorf("%s: %d bytes a day; the largest is %s with %d", d.Name, size, name, largest)
		}
	}
	if mean := total / len(devices); mean < 200<<10 || mean > 600<<10 {
		t.Errorf("%d bytes a device on average", mean)
	}
}

// TestAuthorization reads the rights of the account with the reader that the
// product uses: view and nothing else, or everything.
func TestAuthorization(t *testing.T) {
	f := newFleet(t, Config{Devices: 6, Superusers: []string{"mx-0001"}})
	for _, d := range f.Devices() {
		p, err := junos.ParsePrivileges([]byte(item(t, d, "show-cli-authorization")))
		if err != nil || p.User != d.User {
			t.Fatalf("%s: %+v, %v", d.Name, p, err)
		}
		if super := d.Name == "mx-0001"; super {
			if p.Class != "super-user" || len(p.Excess()) < 5 {
				t.Errorf("%s: class %q, excess %q", d.Name, p.Class, p.Excess())
			}
			continue
		}
		want := junos.LoginClass("lwc-view", junos.Catalogue())
		if p.Class != "lwc-view" || fmt.Sprint(p.Permissions) != "[view]" || len(p.Excess()) > 0 || !strings.Contains(want, `"`+p.AllowCommands+`"`) || p.AllowCommands == "" {
			t.Errorf("%s: %+v, excess %q", d.Name, p, p.Excess())
		}
	}
}

// TestLoad reads the load of the processors with the reader that the product uses.
func TestLoad(t *testing.T) {
	for _, d := range newFleet(t, Config{Devices: 12}).Devices() {
		if percent, ok := junos.ParseLoad([]byte(item(t, d, "show-chassis-routing-engine"))); !ok || percent > 100 {
			t.Errorf("%s: %d, %v", d.Name, percent, ok)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		match         bool
	}{
		{"[efgx][et]-*", "ge-0/0/1", true}, {"[efgx][et]-*", "et-0/0/1", true}, {"[efgx][et]-*", "ae0", false},
		{"ge-0/0/1", "ge-0/0/1", true}, {"ge-0/0/1", "ge-0/0/11", false}, {"*0", "lo0", true}, {"", "", true}, {"[", "[", false}, {"*", "", true}, {"*-*/1", "ge-0/0/1", true}, {"*-*/2", "ge-0/0/1", false},
		{strings.Repeat("*a", 1000) + "b", strings.Repeat("a", 2000), false},
	} {
		if glob(tt.pattern, tt.name) != tt.match {
			t.Errorf("%q on %q: %v", tt.pattern, tt.name, !tt.match)
		}
	}
}

// TestPortsAreKept holds that a device answers the same after the ports of many
// others have been asked for.
func TestPortsAreKept(t *testing.T) {
	f := newFleet(t, Config{Devices: 300})
	first := f.Devices()[0]
	before := item(t, first, "show-interfaces-terse")
	kept := 0
	for range 2 {
		for _, d := range f.Devices() {
			d.ports()
		}
	}
	for _, d := range f.Devices() {
		kept += b2i(d.kept.Load() != nil)
	}
	if after := item(t, first, "show-interfaces-terse"); after != before || kept > len(f.recent.ring) {
		t.Errorf("the reply changed: %v; the ports of %d devices are kept", after != before, kept)
	}
}
