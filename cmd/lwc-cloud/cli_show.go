package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/cloud/api/apitype"
	"lwc/cloud/client"
	"lwc/cloud/fleet"
	"lwc/junos"
)

// listing is a command that shows a list, as a table or as a JSON array.
func listing[T any](name, summary string, flags func(*flag.FlagSet) func(context.Context, *call) ([]T, error), head string, row func(T) []any) clientCmd {
	return clientCmd{
		name: name, summary: summary,
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print a JSON array")
			get := flags(fs)
			return func(ctx context.Context, c *call) error {
				list, err := get(ctx, c)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, append([]T{}, list...))
				}
				return printTable(c, head, list, row)
			}
		},
	}
}

func printTable[T any](c *call, head string, list []T, row func(T) []any) error {
	t := c.table()
	fmt.Fprintln(t, head)
	for _, v := range list {
		cells := make([]string, 0, 8)
		for _, cell := range row(v) {
			cells = append(cells, fmt.Sprint(cell))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func printJSON(c *call, v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func devicesCmd() clientCmd {
	return listing("devices", "List the devices with their state and identity",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Device, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			return func(ctx context.Context, c *call) ([]apitype.Device, error) { return c.Devices(ctx, *collector) }
		},
		"DEVICE\tSTATE\tHOST NAME\tMODEL\tVERSION\tSERIAL\tDOCUMENTS\tBYTES\tLAST SUCCESS\tREASON",
		func(d apitype.Device) []any {
			return []any{d.ID, d.State, cmp.Or(d.HostName, "-"), cmp.Or(d.Model, "-"), cmp.Or(d.Version, "-"), cmp.Or(d.Serial, "-"),
				d.Documents, size(d.Bytes), ago(d.LastSuccess), d.Error}
		})
}

// allDocuments is more than any listing has.
const allDocuments = 1000000

func factsListCmd() clientCmd {
	return listing("facts list", "List stored facts: the newest of each device and item",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Document, error) {
			var q client.DocumentQuery
			documentFlags(fs, &q)
			fs.StringVar(&q.Device, "device", "", "only of this device `ID`")
			fs.StringVar(&q.Item, "item", "", "only this `ITEM` of the catalogue")
			all := fs.Bool("all", false, "older ones too")
			return func(ctx context.Context, c *call) ([]apitype.Document, error) {
				q.Latest, q.Limit = !*all && q.Run == "", allDocuments
				return c.Documents(ctx, q)
			}
		},
		"DEVICE\tITEM\tOUTCOME\tBYTES\tCOLLECTED\tSHA-256",
		func(d apitype.Document) []any {
			return []any{d.Device, d.Item, strings.Join(append([]string{d.Outcome}, d.Flags...), ","), d.Size, d.CollectedAt.UTC().Format(time.DateTime), d.SHA256}
		})
}

func documentFlags(fs *flag.FlagSet, q *client.DocumentQuery) {
	fs.StringVar(&q.Collector, "collector", "", "only of this collector `ID`")
	fs.StringVar(&q.Run, "run", "", "only of this run `ID`")
}

func factsGetCmd() clientCmd {
	return clientCmd{
		name: "facts get", args: "DEVICE ITEM", summary: "Write one fact to standard output, as the collector sent it",
		details: "The newest one, or that of a run. --info says what is known of it instead: hashes, also of the bytes as\n" +
			"the device sent them where masking or repair changed them, and how many values were masked.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var q client.DocumentQuery
			documentFlags(fs, &q)
			info := fs.Bool("info", false, "print what is known of it as JSON, and not the fact")
			return func(ctx context.Context, c *call) error {
				q.Device, q.Item, q.Limit, q.Latest = c.args[0], c.args[1], 100, q.Run == ""
				return factsGet(ctx, c, q, *info)
			}
		},
	}
}

func factsGet(ctx context.Context, c *call, q client.DocumentQuery, info bool) error {
	if _, known := junos.Lookup(q.Item); !known {
		return fmt.Errorf("%q is not an item of the catalogue%s", q.Item, fleet.Suggest(q.Item, itemNames()))
	}
	docs, err := c.Documents(ctx, q)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return fmt.Errorf("no %s of device %s is stored: see lwc-cloud facts list", q.Item, q.Device)
	}
	for _, d := range docs {
		if d.Collector != docs[0].Collector {
			return usageErrorf("collectors %s and %s both have a device %s: choose with --collector", docs[0].Collector, d.Collector, q.Device)
		}
	}
	if info {
		return printJSON(c, docs[0])
	}
	return c.Raw(ctx, docs[0].ID, c.stdout)
}

func itemNames() []string {
	var names []string
	for _, it := range junos.Catalogue() {
		names = append(names, it.Name)
	}
	return names
}

func runsCmd() clientCmd {
	return listing("runs", "List the runs, newest first",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Run, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			limit := fs.Int("limit", 20, "how many")
			return func(ctx context.Context, c *call) ([]apitype.Run, error) { return c.Runs(ctx, *collector, *limit) }
		},
		"RUN\tCOLLECTOR\tWHY\tSTATE\tSTARTED\tSTORED\tUNCHANGED\tSKIPPED\tWITHHELD\tNOT COLLECTED\tBYTES\tSECONDS",
		func(r apitype.Run) []any {
			return []any{r.ID, r.Collector, cmp.Or(r.Schedule, r.Kind), r.State, r.Started.UTC().Format(time.DateTime), fmt.Sprintf("%d of %d", r.Stored, r.Expected), r.Unchanged, r.Skipped, r.Withheld, r.Failed, size(r.Bytes), seconds(r)}
		})
}

func seconds(r apitype.Run) string {
	if r.Finished.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.1f", r.Finished.Sub(r.Started).Seconds())
}

func runShowCmd() clientCmd {
	return clientCmd{
		name: "run show", args: "ID", summary: "Show one run: its devices and manifests",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, c *call) error {
				r, err := c.Run(ctx, c.args[0])
				switch {
				case err != nil:
					return err
				case *asJSON:
					return printJSON(c, r)
				}
				return showRun(c, r)
			}
		},
	}
}

func showRun(c *call, r apitype.Run) error {
	t := c.table()
	fmt.Fprintf(t, "run\t%s\ncollector\t%s\nwhy\t%s\nstate\t%s\nstarted\t%s\nseconds\t%s\ndocuments\t%s, %s\n",
		r.ID, r.Collector, r.Kind, r.State, r.Started.UTC().Format(time.RFC3339), seconds(r), strings.Replace(r.Account(), " documents", "", 1), size(r.Bytes))
	if r.Schedule != "" {
		fmt.Fprintf(t, "schedule\t%s, window of %s\n", r.Schedule, r.Window.UTC().Format(time.RFC3339))
	}
	if r.Mode != "" {
		fmt.Fprintf(t, "what may leave\t%s\n", r.Mode)
	}
	if r.Reason != "" {
		fmt.Fprintf(t, "cut off\t%s\n", r.Reason)
	}
	for _, m := range r.Manifests {
		fmt.Fprintf(t, "manifest\tSHA-256 %s\n", m)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	slices.SortStableFunc(r.Devices, func(a, b apitype.DeviceResult) int { return strings.Compare(a.Device, b.Device) })
	t = c.table()
	fmt.Fprintln(t, "\nDEVICE\tSTATE\tDOCUMENTS\tBYTES\tSECONDS\tREASON")
	for _, d := range r.Devices {
		state := "ok"
		if !d.OK {
			state = cmp.Or(d.Phase, "failed")
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%.2f\t%s\n", d.Device, state, d.Documents, size(d.Bytes), d.Seconds, cmp.Or(d.Error, d.Odd()))
	}
	if err := t.Flush(); err != nil || len(r.Left) == 0 {
		return err
	}
	t = c.table()
	fmt.Fprintln(t, "\nNO DOCUMENT\tWHAT\tDEVICES\tREASON")
	for _, l := range r.Left {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", l.Items, l.Status, l.Names(), l.Reason)
	}
	return t.Flush()
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.Time(t)
}
