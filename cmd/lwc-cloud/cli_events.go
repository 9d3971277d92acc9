package main

import (
	"cmp"
	"context"
	"flag"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
)

func eventsCmd() clientCmd {
	return listing("events", "List what collectors report, newest first",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Event, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			limit := fs.Int("limit", 50, "how many")
			return func(ctx context.Context, c *call) ([]apitype.Event, error) { return c.Events(ctx, *collector, *limit) }
		},
		"TIME\tCOLLECTOR\tKIND\tABOUT\tTEXT",
		func(e apitype.Event) []any {
			return []any{e.Time.UTC().Format(time.DateTime), cmp.Or(e.Collector, "all"), e.Kind, e.About(), eventText(e)}
		})
}

// eventText is what an event says; a port violation also whether it was put
// right, and otherwise what to do.
func eventText(e apitype.Event) string {
	v := e.Violation
	if v == nil {
		return e.Text
	}
	parts := []string{v.Kind + ": " + v.Detail + " (" + e.Outcome() + ")"}
	if !v.Healed {
		parts = append(parts, e.Meaning, e.Advice)
	}
	return strings.Join(parts, ". ")
}
