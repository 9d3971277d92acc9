package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"

	"lwc/cloud/api/apitype"
	"lwc/cloud/rollout"
)

func updatesCmd() clientCmd {
	return clientCmd{
		name: "updates", summary: "List the boxes: which release each runs, and what comes next",
		details: "Says for each box when it may change its release, and what it waits for.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, c *call) error {
				a, err := c.Boxes(ctx)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, a)
				}
				fmt.Fprintf(c.stdout, "default: %s\n\n", a.When)
				return printTable(c, "COLLECTOR\tRUNS\tWANTED\tWHEN\tWHAT COMES NEXT\tLAST UPDATE", a.Boxes, boxCells)
			}
		},
	}
}

func boxCells(b apitype.Appliance) []any {
	when := "default"
	if b.OwnPolicy {
		when = b.When
	}
	last := "-"
	if u := b.Update; u != nil {
		last = cmp.Or(u.Release, "newest") + " " + u.State + " " + ago(u.Created)
	}
	return []any{b.Collector, b.Runs(), cmp.Or(b.Wanted, "-"), when, b.Why, last}
}

func updatePolicyCmd() clientCmd {
	return clientCmd{
		name: "update-policy", args: "[COLLECTOR]", many: true, summary: "Show or change when boxes may change their release",
		details: "Without COLLECTOR, of all whose fleet does not say. Without flags it shows, and changes nothing. What is not given is not part of the policy: a policy is\n" +
			"replaced as a whole.\n" +
			"  automatic  as soon as there is a release\n" +
			"  window     in the window\n" +
			"  approval   after lwc-cloud release approve; in the window, if one is given\n" +
			"A release that closes a hole waits for no deferral, unless --security deferred is given.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var p rollout.Policy
			var days several
			fs.StringVar(&p.Mode, "mode", "", "automatic, window or approval")
			fs.StringVar(&p.Window.Start, "start", "", "`TIME` of day at which the window opens, as 02:00")
			fs.StringVar(&p.Window.Length, "length", "", "how long it is open, as 2h (3h unless given)")
			fs.StringVar(&p.Window.Timezone, "timezone", "", "`ZONE` of the window, as Europe/Berlin (UTC unless given)")
			fs.Var(&days, "day", "`DAY` on which it opens, mon to sun; may be given again (every day unless given)")
			fs.IntVar(&p.DeferDays, "defer-days", 0, "how many `DAYS` a release must have been published")
			fs.StringVar(&p.Security, "security", "", "at-once or deferred: what becomes of a release that closes a hole")
			reset := fs.Bool("default", false, "bring back the default instead")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, c *call) error {
				p.Window.Days = days
				given := false
				fs.Visit(func(f *flag.Flag) { given = given || f.Name != "api-token-file" && f.Name != "json" })
				if len(c.args) > 1 {
					return usageErrorf("usage: lwc-cloud update-policy [flags] [COLLECTOR]")
				}
				if !given {
					return showPolicy(ctx, c, *asJSON)
				}
				return setPolicy(ctx, c, p, *reset, *asJSON)
			}
		},
	}
}

func showPolicy(ctx context.Context, c *call, asJSON bool) error {
	got, err := c.UpdatePolicy(ctx, append(c.args, "")[0])
	if err != nil {
		return err
	}
	return printPolicy(c, got, asJSON)
}

func printPolicy(c *call, p apitype.UpdatePolicy, asJSON bool) error {
	if asJSON {
		return printJSON(c, p)
	}
	note := ""
	if p.Inherited {
		note = " (the default: it has none of its own)"
	}
	_, err := fmt.Fprintf(c.stdout, "%s: %s%s\n", cmp.Or(p.Collector, "default"), p.When, note)
	return err
}

func setPolicy(ctx context.Context, c *call, p rollout.Policy, reset, asJSON bool) error {
	if p.IsZero() != reset {
		return usageErrorf("update-policy: give --mode and what belongs to it, or --default alone, or nothing to see what it is")
	}
	for _, wrong := range p.Check() {
		return usageErrorf("update-policy: %s", wrong.Text)
	}
	got, err := c.SetUpdatePolicy(ctx, append(c.args, "")[0], p)
	if err != nil {
		return err
	}
	return printPolicy(c, got, asJSON)
}
