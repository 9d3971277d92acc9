package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"

	"lwc/cloud/api/apitype"
)

func collectorsCmd() clientCmd {
	return clientCmd{
		name: "collectors", summary: "List the collectors",
		details: "Below the table stands what has to be known of the ports of a collector: that they are closed and why, not\n" +
			"separated, or kept apart with less than a newer kernel could.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print a JSON array")
			return func(ctx context.Context, c *call) error {
				list, err := c.Collectors(ctx)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, append([]apitype.Collector{}, list...))
				}
				return showCollectors(c, list)
			}
		},
	}
}

func showCollectors(c *call, list []apitype.Collector) error {
	err := printTable(c, "COLLECTOR\tSTATE\tVERSION\tCONFIG\tPORTS\tVIOLATIONS\tLAST RUN\tLAST SEEN", list, func(c apitype.Collector) []any {
		run := "-"
		if c.LastRun != nil {
			run = c.LastRun.State + " " + ago(c.LastRun.Started)
		}
		return []any{c.ID, onlineWord(c), cmp.Or(c.Firmware, "-"), configWord(c), apitype.PortsWord(c.Ports), violations(c), run, ago(c.LastSeen)}
	})
	for i := 0; i < len(list) && err == nil; i++ {
		for _, need := range list[i].PortsNeed {
			if _, err = fmt.Fprintf(c.stdout, "\n%s: %s (ports %s)\n", list[i].ID, need, apitype.PortsSince(list[i].Ports)); err != nil {
				break
			}
		}
	}
	return err
}

// violations counts what was found at the ports, and how many of it were put right.
func violations(c apitype.Collector) string {
	switch {
	case c.Ports.State == "":
		return "-"
	case c.Ports.Violations == 0:
		return "none"
	}
	return fmt.Sprintf("%d, %d put right", c.Ports.Violations, c.Ports.Healed)
}

func revokeCmd() clientCmd {
	return clientCmd{
		name: "revoke", args: "COLLECTOR", summary: "Shut a collector out, and end its session",
		details: "What it sent stays. To admit it again, make a token with enrol-token --collector ID.",
		flags: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				got, err := c.Revoke(ctx, c.args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "collector %s is %s: its session was ended, and its certificate is not accepted any more\n"+
					"to let it in again, empty the state folder of the box and give it the token of: lwc-cloud enrol-token --collector %s\n", got.ID, got.State, got.ID)
				return err
			}
		},
	}
}

func onlineWord(c apitype.Collector) string {
	switch {
	case c.State != "active":
		return c.State
	case c.Online:
		return "online"
	}
	return "offline"
}

func configWord(c apitype.Collector) string {
	switch {
	case c.ConfigVersion == 0:
		return "none"
	case c.AppliedVersion == c.ConfigVersion:
		return fmt.Sprintf("%d %s", c.ConfigVersion, c.AppliedStatus)
	}
	return fmt.Sprintf("%d pending", c.ConfigVersion)
}
