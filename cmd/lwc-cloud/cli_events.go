package main

import (
	"cmp"
	"context"
	"flag"
	"time"

	"lwc/transport/wire"
)

func eventsCmd() clientCmd {
	return listing("events", "List what collectors report, newest first",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]wire.Event, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			limit := fs.Int("limit", 50, "how many")
			return func(ctx context.Context, c *call) ([]wire.Event, error) { return c.Events(ctx, *collector, *limit) }
		},
		"TIME\tCOLLECTOR\tKIND\tDEVICE\tTEXT",
		func(e wire.Event) []any {
			return []any{e.Time.UTC().Format(time.DateTime), e.Collector, e.Kind, cmp.Or(e.Device, "-"), e.Text}
		})
}
