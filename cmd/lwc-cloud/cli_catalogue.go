package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"lwc/cloud/fleet"
	"lwc/junos"
	"lwc/transport/wire"
)

func catalogueCmd() clientCmd {
	return clientCmd{
		name: "catalogue", summary: "List the items that can be collected, and the profiles", offline: true,
		details: "Needs no cloud. Nothing but these commands can reach a device; docs/catalogue.md says more of each.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			profile := fs.String("profile", "", "only the items of this `PROFILE`")
			asJSON := fs.Bool("json", false, "print a JSON array")
			return func(_ context.Context, c *call) error { return catalogue(c, *profile, *asJSON) }
		},
	}
}

// catalogueItem is an item as catalogue --json prints it.
type catalogueItem struct {
	Item      string   `json:"item"`
	Command   string   `json:"command"`
	Why       string   `json:"why"`
	Profiles  []string `json:"profiles"`
	Size      string   `json:"size"`
	Platforms []string `json:"platforms,omitempty"` // none: all
	Holds     []string `json:"holds,omitempty"`
}

func catalogue(c *call, profile string, asJSON bool) error {
	items := junos.Catalogue()
	if profile != "" {
		var err error
		if items, err = itemsOf(profile); err != nil {
			return err
		}
	}
	if asJSON {
		out := make([]catalogueItem, 0, len(items))
		for _, it := range items {
			out = append(out, catalogueItem{it.Name, it.CLI, it.Why, profilesWith(it), fmt.Sprint(it.Size), it.Platforms, it.Sensitivity})
		}
		return printJSON(c, out)
	}
	t := c.table()
	fmt.Fprintln(t, "ITEM\tPROFILES\tSIZE\tPLATFORMS\tHOLDS")
	for _, it := range items {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", it.Name, strings.Join(profilesWith(it), " "), it.Size,
			cmp.Or(strings.Join(it.Platforms, " "), "all"), strings.Join(it.Sensitivity, " "))
	}
	if err := t.Flush(); err != nil || profile != "" {
		return err
	}
	for _, name := range fleet.BuiltinProfiles() {
		of, _ := junos.Profile(name)
		fmt.Fprintf(c.stdout, "profile %s: %d items\n", name, len(of))
	}
	return nil
}

func profilesWith(it junos.Item) (names []string) {
	for _, name := range fleet.BuiltinProfiles() {
		of, _ := junos.Profile(name)
		if slices.ContainsFunc(of, func(o junos.Item) bool { return o.Name == it.Name }) {
			names = append(names, name)
		}
	}
	return names
}

func itemsOf(profile string) ([]junos.Item, error) {
	items, ok := junos.Profile(profile)
	if !ok {
		return nil, usageErrorf("no profile %q is built in%s (known: %s)", profile,
			fleet.Suggest(profile, fleet.BuiltinProfiles()), strings.Join(fleet.BuiltinProfiles(), ", "))
	}
	return items, nil
}

func loginClassCmd() clientCmd {
	return clientCmd{
		name: "login-class", summary: "Print the Junos login class that is enough for a profile", offline: true,
		details: "Needs no cloud. The class may show what the profile collects, and nothing else: enter the lines on the\n" +
			"device in configuration mode. For a profile of your own, name its items with --item.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			profile := fs.String("profile", wire.DefaultProfile, "built-in `PROFILE`")
			name := fs.String("name", fleet.LoginClassName, "what to call the `CLASS`")
			var items several
			fs.Var(&items, "item", "`ITEM` of the catalogue, in place of a profile; may be given again")
			return func(_ context.Context, c *call) error { return loginClass(c, *profile, *name, items) }
		},
	}
}

func loginClass(c *call, profile, name string, names []string) error {
	items, err := itemsOf(profile)
	if len(names) > 0 {
		items, err = itemsNamed(names)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, strings.TrimRight(junos.LoginClass(name, items), "\n"))
	return err
}

func itemsNamed(names []string) (items []junos.Item, err error) {
	for _, name := range names {
		it, ok := junos.Lookup(name)
		if !ok {
			return nil, usageErrorf("%q is not an item of the catalogue%s", name, fleet.Suggest(name, itemNames()))
		}
		items = append(items, it)
	}
	return items, nil
}

func maskingRotateCmd() clientCmd {
	return clientCmd{
		name: "masking rotate", args: "COLLECTOR", summary: "Give a collector a new key for pseudonyms",
		details: "From then on the same value has another pseudonym than in documents from before. The key is the cloud's\n" +
			"own: it is made there, kept encrypted, sealed to the collector and never shown.",
		flags: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				ch, err := c.RotateMasking(ctx, c.args[0])
				if err != nil {
					return err
				}
				return showChanges(c, ch)
			}
		},
	}
}
