package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/cloud/api/apitype"
	"lwc/transport/wire"
)

func healthCmd() clientCmd {
	return clientCmd{
		name: "health", args: "[COLLECTOR]", many: true, summary: "Show the health of a collector: heartbeat, checks, counters, last errors",
		details: "Ends with 3 when something has to be done: the heartbeat is lost, a check fails, the ports are closed,\n" +
			"the memory for documents is nearly full, or the certificate was not renewed.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				id := ""
				switch len(c.args) {
				case 0:
				case 1:
					id = c.args[0]
				default:
					return usageErrorf("usage: lwc-cloud health [COLLECTOR]")
				}
				at, err := theCollector(ctx, c, id)
				if err != nil {
					return err
				}
				return showHealth(c, at)
			}
		},
	}
}

func showHealth(c *call, at apitype.Collector) error {
	t := c.table()
	fmt.Fprintf(t, "collector\t%s\nstate\t%s\n", at.ID, onlineWord(at))
	switch at.Heartbeat() {
	case "lost":
		fmt.Fprintf(t, "heartbeat\tlost since %s\n", at.LostAt.UTC().Format(time.RFC3339))
	case "awaited":
		fmt.Fprintf(t, "heartbeat\tawaited since %s\n", at.AwaitedSince.UTC().Format(time.RFC3339))
	default:
		fmt.Fprintf(t, "heartbeat\t%s\n", ago(at.LastSeen))
	}
	fmt.Fprintf(t, "ports\t%s\nconfiguration\t%s\n", apitype.PortsWord(at.Ports), configWord(at))
	showBox(t, at.Box)
	if h := at.Health; h != nil {
		next := "when it is asked for"
		if !h.NextRun.IsZero() {
			next = h.NextRun.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "up for\t%s\nmemory\t%s\nwaiting for receipts\t%s\nnext run\t%s\n",
			(time.Duration(h.Uptime) * time.Second).String(), humanize.IBytes(uint64(max(h.RSS, 0))), at.BudgetText(), next)
	}
	if !at.CertificateExpires.IsZero() {
		fmt.Fprintf(t, "certificate until\t%s\n", at.CertificateExpires.UTC().Format(time.RFC3339))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := showChecks(c, at); err != nil {
		return err
	}
	need := append(append([]string(nil), at.HealthNeed...), at.PortsNeed...)
	if len(need) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	for _, n := range need {
		fmt.Fprintln(c.stdout, n)
	}
	return &exitError{code: exitDevices}
}

// showBox tells what the collector says of its machine, as far as it does.
func showBox(w io.Writer, b wire.Box) {
	release := b.Image
	if b.Trial {
		release += " (on trial)"
	}
	for _, l := range [][2]string{{"release", release}, {"key", apitype.IdentityText(b.Identity)}, {"secure boot", apitype.SecureBootText(b.SecureBoot)},
		{"kernel started", apitype.CommandLineText(b.CommandLine)}, {"hardware", b.Hardware}} {
		if l[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", l[0], l[1])
		}
	}
}

// showChecks lists what the collector checks of itself, what it counted, and its last
// errors.
func showChecks(c *call, at apitype.Collector) error {
	if at.Health == nil {
		return nil
	}
	t := c.table()
	if len(at.Health.Checks) > 0 {
		fmt.Fprintln(t, "\nCHECK\tRESULT\tDETAIL")
	}
	for _, x := range at.Health.Checks {
		result := "ok"
		if !x.OK {
			result = "FAILS"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", x.Name, result, x.Detail)
	}
	if counts := at.Counts(); len(counts) > 0 {
		fmt.Fprintln(t, "\nSINCE ITS START")
		for _, n := range counts {
			fmt.Fprintf(t, "%d\t%s\n", n.N, n.Words)
		}
	}
	if len(at.Health.Errors) > 0 {
		fmt.Fprintln(t, "\nLAST ERRORS")
	}
	for _, x := range at.Health.Errors {
		fmt.Fprintf(t, "%s\t%s\n", x.At.UTC().Format(time.DateTime), x.Text)
	}
	return t.Flush()
}
