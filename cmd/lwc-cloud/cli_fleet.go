package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"lwc/cloud/api/apitype"
	"lwc/cloud/fleet"
)

func applyCmd() clientCmd {
	return clientCmd{
		name: "apply", summary: "Make a fleet file the desired configuration of its collector",
		details: "Entries that the file does not name are removed. Applying a file twice changes nothing.\n" +
			"Secrets come from the file, or by password_env, password_file, private_key_file and so on.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			file := fs.String("f", "", "fleet `FILE` (YAML)")
			collector := fs.String("collector", "", "collector `ID`, where the file names none")
			dryRun := fs.Bool("dry-run", false, "only tell what would change")
			return func(ctx context.Context, c *call) error { return apply(ctx, c, *file, *collector, *dryRun) }
		},
	}
}

func apply(ctx context.Context, c *call, file, collector string, dryRun bool) error {
	if file == "" {
		return usageErrorf("apply needs a fleet file: -f FILE")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the fleet file: %w", err)
	}
	f, err := fleet.ParseYAML(file, text, fleet.HostSource(filepath.Dir(file)))
	if err != nil {
		return fmt.Errorf("nothing was changed; the fleet file is wrong:\n%w", err)
	}
	defer f.Spec.Wipe()
	switch {
	case f.Collector == "" && collector == "":
		return usageErrorf("no collector: add collector: ID to %s, or give --collector", file)
	case f.Collector != "" && collector != "" && f.Collector != collector:
		return usageErrorf("%s is for collector %s, and --collector says %s", file, f.Collector, collector)
	case f.Collector != "":
		collector = f.Collector
	}
	ch, err := c.Apply(ctx, collector, f.Spec, dryRun)
	if err != nil {
		return err
	}
	return showChanges(c, ch)
}

func showChanges(c *call, ch apitype.Changes) error {
	sign := map[string]string{"added": "+", "changed": "~", "removed": "-"}
	t := c.table()
	for _, x := range ch.Changes {
		fmt.Fprintf(t, "%s %s\t%s\t%s\n", sign[x.Action], x.Kind, x.ID, x.Detail)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	what := fmt.Sprintf("%d changes", len(ch.Changes))
	switch {
	case len(ch.Changes) == 0:
		what = "no changes"
	case len(ch.Changes) == 1:
		what = "1 change"
	}
	note := fmt.Sprintf("configuration version %d", ch.Version)
	if ch.DryRun {
		note = "dry run, nothing was done"
	}
	if ch.State == "pending" {
		note += "; this collector is not enrolled yet, its configuration waits for it"
	}
	_, err := fmt.Fprintf(c.stdout, "collector %s: %s (%s)\n", ch.Collector, what, note)
	return err
}
