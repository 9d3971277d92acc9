package junos

import (
	"slices"
	"strings"
	"testing"
)

func TestPrivilegesMissing(t *testing.T) {
	var items []Item
	for _, name := range []string{"show-version", "show-system-uptime", "show-chassis-alarms"} {
		i, ok := Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		items = append(items, i)
	}
	const all = "show-version show-system-uptime show-chassis-alarms"
	for name, c := range map[string]struct{ flags, allow, deny, want string }{
		"view":                           {flags: "view"},
		"all":                            {flags: "all"},
		"another flag":                   {flags: "clear network", want: all},
		"nothing but what is allowed":    {allow: "(^show version$)|(^show system)", want: "show-chassis-alarms"},
		"nothing but a list":             {allow: `"show version" "show chassis .*"`, want: "show-system-uptime"},
		"allowed without regard to case": {allow: "SHOW"},
		"denied":                         {flags: "view", deny: "(chassis)|(^clear)", want: "show-chassis-alarms"},
		"denied in spite of all":         {flags: "all", deny: "^show system", want: "show-system-uptime"},
		"denied without regard to case":  {flags: "view", deny: "Show Version", want: "show-version"},
		"denied by a bound one":          {flags: "view", deny: "^version|^show$"},
		"denied, the same allowed":       {flags: "view", allow: "^show version", deny: "^show version"},
		"all denied, one allowed":        {flags: "view", allow: "(^show version$)", deny: ".*", want: "show-system-uptime show-chassis-alarms"},
		"denied at greater length":       {flags: "view", allow: "^show", deny: "^show version", want: "show-version"},
		"allowed at greater length":      {flags: "clear", allow: "^show .*", deny: "show"},
		"greater length, not the first":  {allow: "(show)|(show chassis alarms)", deny: "show chassis"},
		"a list denies first":            {flags: "view", allow: `"show version"`, deny: `"show"`, want: all},
		"allowing what is unknown":       {allow: "(show"},
		"denying what is unknown":        {flags: "view", deny: "(show"},
		"unknown and not allowed":        {allow: "^show version", deny: "[", want: "show-system-uptime show-chassis-alarms"},
		"an unknown part of a list":      {flags: "view", deny: `"show version" "(show"`},
	} {
		p := Privileges{Permissions: strings.Fields(c.flags), AllowCommands: c.allow, DenyCommands: c.deny}
		var got []string
		for _, i := range p.Missing(items) {
			got = append(got, i.Name)
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The class that is generated for a profile is enough for it, with the flag and
// without, and not for more than it.
func TestPrivilegesOfALoginClassMissNothing(t *testing.T) {
	for _, profile := range Profiles() {
		items, _ := Profile(profile)
		class := LoginClass("lwc", items)
		p := Privileges{AllowCommands: statement(t, class, "lwc", "allow-commands"), DenyCommands: statement(t, class, "lwc", "deny-commands")}
		more := p.Missing(Catalogue())
		for _, i := range more {
			if slices.ContainsFunc(items, func(o Item) bool { return o.Name == i.Name }) {
				t.Errorf("%s: %s is missing", profile, i.Name)
			}
		}
		if own := len(twins(items)); len(more) != len(Catalogue())-own {
			t.Errorf("%s: %d of %d missing with %d allowed", profile, len(more), len(Catalogue()), own)
		}
		p.Permissions = []string{"view"}
		if more := p.Missing(Catalogue()); more != nil {
			t.Errorf("%s: %d missing with view", profile, len(more))
		}
	}
}
