package junos

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The shape of everything that can be sent: one operation without attributes,
// with at most one empty element in it, and never text.
var operation = regexp.MustCompile(`^<(get-[a-z-]+)(?:/>|><([a-z-]+)/></get-[a-z-]+>)$`)

// arguments are all that may stand in an operation. They say how much to show.
var arguments = []string{"", "descriptions", "detail", "extensive", "media", "no-resolve", "terse"}

// forbidden are words of operations, arguments and commands that change state,
// reach files or other systems, or read configuration.
var forbidden = []string{"abort", "activate", "add", "archive", "attach", "clear", "close", "confirm", "config", "configuration", "configure",
	"connect", "copy", "create", "deactivate", "delete", "disable", "discard", "edit", "enable", "execute", "file", "filename", "halt", "install",
	"invoke", "kill", "load", "lock", "log", "merge", "monitor", "mount", "move", "op", "path", "ping", "put", "reboot", "remove", "rename", "replace",
	"request", "reset", "restart", "rollback", "run", "save", "script", "set", "shell", "ssh", "start", "stop", "support", "switch", "telnet", "test",
	"traceroute", "unlock", "update", "upgrade", "url", "validate", "write", "zeroize"}

// sensitivities are the kinds of what a reply may tell.
var sensitivities = map[string]string{
	"as-numbers":     "numbers of autonomous systems of peers",
	"commands":       "what a user is running",
	"descriptions":   "texts that your engineers wrote on interfaces and peers: customers, circuits",
	"file-names":     "names and times of files on the device",
	"host-names":     "names of the device and of its neighbours",
	"ip-addresses":   "IP addresses of interfaces, neighbours and users",
	"licences":       "licence names, numbers and dates",
	"mac-addresses":  "MAC addresses of interfaces and of what is attached",
	"processes":      "names and sizes of processes on the device",
	"serial-numbers": "serial numbers of the chassis and its parts",
	"user-names":     "account names",
	"vlan-names":     "names of VLANs",
}

// families are what Item.Platforms may name; evo is Junos OS Evolved.
var families = []string{"mx", "ex", "srx", "qfx", "ptx", "acx", "evo"}

func TestCatalogueChangesNothing(t *testing.T) {
	for _, i := range Catalogue() {
		m := operation.FindStringSubmatch(i.RPC())
		if m == nil || i.RPC() != (row{op: m[1], arg: m[2]}).rpc() {
			t.Errorf("%s sends %s", i.Name, i.RPC())
			continue
		}
		if !slices.Contains(arguments, m[2]) {
			t.Errorf("%s has the argument %q", i.Name, m[2])
		}
		command, ok := strings.CutPrefix(i.CLI, "show ")
		if !ok || strings.Trim(command, "abcdefghijklmnopqrstuvwxyz- ") != "" {
			t.Errorf("%s types %q", i.Name, i.CLI)
		}
		words := strings.FieldsFunc(m[1]+" "+m[2]+" "+command, func(r rune) bool { return r == ' ' || r == '-' })
		for _, w := range words {
			if slices.Contains(forbidden, w) {
				t.Errorf("%s has the word %s", i.Name, w)
			}
		}
	}
}

// Of the other names that may be sent, each is that of one operation without an
// argument, of the same length but for a letter or two.
func TestCatalogueOlderNames(t *testing.T) {
	found := 0
	for _, i := range Catalogue() {
		o, ok := i.Older()
		if !ok {
			if o.genuine() {
				t.Errorf("%s: an empty operation is genuine", i.Name)
			}
			continue
		}
		found++
		m := operation.FindStringSubmatch(o.RPC())
		if m == nil || m[2] != "" || max(len(i.RPC())-len(o.RPC()), len(o.RPC())-len(i.RPC())) > 2 || !o.genuine() || o.Name != i.Name {
			t.Errorf("%s may send %s", i.Name, o.RPC())
		}
		for w := range strings.SplitSeq(m[1], "-") {
			if slices.Contains(forbidden, w) {
				t.Errorf("%s has the word %s", o.RPC(), w)
			}
		}
		if _, more := o.Older(); more {
			t.Errorf("%s has a third name", i.Name)
		}
	}
	if buffers, _ := Lookup("show-system-buffers"); found != 1 || buffers.older != "<get-buffer-informaton/>" {
		t.Errorf("%d items have another name", found)
	}
}

func TestCatalogueIsDescribed(t *testing.T) {
	all := Catalogue()
	if len(all) < 40 {
		t.Errorf("%d items", len(all))
	}
	names, operations := map[string]bool{}, map[string]bool{}
	for _, i := range all {
		if i.Name != strings.ReplaceAll(i.CLI, " ", "-") || names[i.Name] || operations[i.RPC()] {
			t.Errorf("%s, %q, %s: not its command, or there twice", i.Name, i.CLI, i.RPC())
		}
		names[i.Name], operations[i.RPC()] = true, true
		if i.Why == "" || !slices.Contains([]SizeClass{Small, Medium, Large}, i.Size) {
			t.Errorf("%s is not described", i.Name)
		}
		for _, s := range i.Sensitivity {
			if sensitivities[s] == "" {
				t.Errorf("%s has the sensitivity %q", i.Name, s)
			}
		}
		for _, p := range i.Platforms {
			if !slices.Contains(families, p) {
				t.Errorf("%s is for %q", i.Name, p)
			}
		}
		if r := scanned([]byte(i.RPC())); slices.Contains(r.Flags, FlagMalformed) {
			t.Errorf("%s sends bad XML", i.Name)
		}
	}
}

// Nothing but the catalogue is genuine, and only this package can make it so.
func TestCatalogueIsClosed(t *testing.T) {
	for _, i := range Catalogue() {
		if found, ok := Lookup(i.Name); !ok || !reflect.DeepEqual(found, i) || !i.genuine() {
			t.Errorf("Lookup(%q) = %+v, %v", i.Name, found, ok)
		}
		for _, forged := range []Item{{Name: i.Name}, {Name: i.Name, CLI: i.CLI}, {Name: i.Name, CLI: i.CLI, rpc: i.rpc + " "},
			{Name: i.Name, CLI: i.CLI + " | save x", rpc: i.rpc}, {Name: "x", CLI: i.CLI, rpc: i.rpc}} {
			if forged.genuine() {
				t.Errorf("%+v is taken for genuine", forged)
			}
		}
	}
	if _, ok := Lookup("request-system-reboot"); ok {
		t.Error("found what is not in the catalogue")
	}
	// No encoding and no reflection sets what is sent from outside.
	sent, _ := reflect.TypeFor[Item]().FieldByName("rpc")
	forged := Item{}
	if sent.IsExported() || reflect.ValueOf(&forged).Elem().FieldByName("rpc").CanSet() {
		t.Error("the operation of an item can be set from outside")
	}
	for _, text := range []string{`{"Name":"show-version","CLI":"show version","rpc":"<get-software-information/>"}`, `{"RPC":"<request-reboot/>"}`} {
		if err := json.Unmarshal([]byte(text), &forged); err != nil || forged.genuine() || forged.RPC() != "" {
			t.Errorf("%s makes %+v, %v", text, forged, err)
		}
	}
}

// Callers get copies.
func TestCatalogueIsConstant(t *testing.T) {
	spoil := func(i *Item) {
		i.Name, i.rpc = "changed", "<changed/>"
		for n := range i.Platforms {
			i.Platforms[n] = "changed"
		}
		for n := range i.Sensitivity {
			i.Sensitivity[n] = "changed"
		}
	}
	before := fmt.Sprintf("%+v", Catalogue())
	for _, profile := range Profiles() {
		items, _ := Profile(profile)
		for n := range items {
			spoil(&items[n])
		}
	}
	for _, r := range rows {
		found, _ := Lookup(r.name())
		spoil(&found)
	}
	if fmt.Sprintf("%+v", Catalogue()) != before {
		t.Error("the catalogue can be changed")
	}
}

func TestProfiles(t *testing.T) {
	for name, want := range map[string]int{"minimal": 9, "optics": 13, "security": 13, "daily": 27, "full": len(Catalogue())} {
		if items, ok := Profile(name); !ok || len(items) != want {
			t.Errorf("%s: %d items, want %d", name, len(items), want)
		}
	}
	if _, ok := Profile("weekly"); ok {
		t.Error("found an unknown profile")
	}
	for _, r := range rows {
		for _, p := range words(r.profiles) {
			if p == "full" || !slices.Contains(Profiles(), p) {
				t.Errorf("%s is in the profile %q", r.cli, p)
			}
		}
	}
	// Identity comes first in each: without it a run names no device.
	for _, p := range Profiles() {
		if items, _ := Profile(p); items[0].Name != "show-version" {
			t.Errorf("%s begins with %s", p, items[0].Name)
		}
	}
}

// minimal is what the vendor's support asks for first, daily what its collector
// asks for.
func TestProfilesOfTheVendor(t *testing.T) {
	for profile, want := range map[string]string{
		"minimal": "system uptime,chassis alarms,interfaces descriptions,system commit,chassis routing-engine,chassis hardware extensive," +
			"interfaces terse,version,system core-dumps",
		"daily": "version,system uptime,system commit,system license,system core-dumps,system buffers,system storage,system alarms," +
			"chassis hardware detail,chassis hardware extensive,chassis alarms,chassis fpc,chassis fpc pic-status,chassis routing-engine," +
			"chassis environment,chassis firmware,interfaces terse,interfaces descriptions,interfaces diagnostics optics,virtual-chassis," +
			"chassis cluster status,lldp neighbors,bgp summary,isis adjacency,ospf neighbor,rsvp neighbor,vrrp detail",
	} {
		var got []string
		items, _ := Profile(profile)
		for _, i := range items {
			got = append(got, strings.TrimPrefix(i.CLI, "show "))
		}
		wanted := strings.Split(want, ",")
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s is\n%v, want\n%v", profile, got, wanted)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for b.Loop() {
		if _, ok := Lookup("show-lldp-neighbors"); !ok {
			b.Fatal("not found")
		}
	}
}
