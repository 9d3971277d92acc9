package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/api/apitype"
)

// waitsForDecision is the state of a held document that nobody decided on.
const waitsForDecision = "waiting"

// maxDecisions is how many documents the API takes at once.
const maxDecisions = 10000

func heldListCmd() clientCmd {
	return listing("held list", "List the documents that wait at a site for an approval",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Held, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			return func(ctx context.Context, c *call) ([]apitype.Held, error) { return c.Held(ctx, *collector) }
		},
		heldHead, heldRow)
}

const heldHead = "ID\tCOLLECTOR\tDEVICE\tITEM\tBYTES\tCOLLECTED\tSTATE\tSHA-256"

func heldRow(h apitype.Held) []any {
	return []any{h.ID, h.Collector, h.Device, h.Item, h.Size, h.CollectedAt.UTC().Format(time.DateTime), h.State, h.SHA256}
}

func heldDecideCmd(approve bool) clientCmd {
	verb, summary, what := "decline", "Leave documents at the site: their bytes are dropped there", "declined"
	if approve {
		verb, summary, what = "approve", "Let documents that wait at a site leave it", "approved"
	}
	return clientCmd{
		name: "held " + verb, args: "[ID…]", many: true, summary: summary,
		details: "Either ids, as held list shows them, or all that wait and are chosen by the flags; those are\n" +
			"printed, and nothing else is decided on.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			var f heldFilter
			fs.StringVar(&f.collector, "collector", "", "all that wait of this collector `ID`")
			fs.StringVar(&f.run, "run", "", "all that wait of this run `ID`")
			fs.StringVar(&f.device, "device", "", "all that wait of this device `ID`")
			fs.StringVar(&f.item, "item", "", "all that wait of this `ITEM` of the catalogue")
			fs.BoolVar(&f.all, "all", false, "all that wait")
			return func(ctx context.Context, c *call) error {
				chosen, ids, err := f.choose(ctx, c)
				if err != nil {
					return err
				}
				if len(ids) == 0 {
					_, err := fmt.Fprintln(c.stdout, "no document waits")
					return err
				}
				if len(chosen) > 0 {
					if err := printTable(c, heldHead, chosen, heldRow); err != nil {
						return err
					}
				}
				for some := range slices.Chunk(ids, maxDecisions) {
					if err := c.Decide(ctx, some, approve); err != nil {
						return err
					}
				}
				are := fmt.Sprintf("%d documents are", len(ids))
				if len(ids) == 1 {
					are = "1 document is"
				}
				_, err = fmt.Fprintf(c.stdout, "%s %s\n", are, what)
				return err
			}
		},
	}
}

// heldFilter chooses held documents.
type heldFilter struct {
	collector, run, device, item string
	all                          bool
}

// choose returns the ids to decide on, and the documents where flags chose them.
func (f heldFilter) choose(ctx context.Context, c *call) (list []apitype.Held, ids []string, err error) {
	chosen := f.all || f.collector != "" || f.run != "" || f.device != "" || f.item != ""
	switch {
	case chosen && len(c.args) > 0:
		return nil, nil, usageErrorf("give ids, or choose by flags, and not both")
	case !chosen && len(c.args) == 0:
		return nil, nil, usageErrorf("which? give ids (see lwc-cloud held list), or choose with --collector, --run, --device, --item or --all")
	case !chosen:
		return nil, c.args, nil
	}
	list, err = c.Held(ctx, f.collector)
	list = slices.DeleteFunc(list, func(h apitype.Held) bool {
		return h.State != waitsForDecision || (f.run != "" && h.Run != f.run) || (f.device != "" && h.Device != f.device) || (f.item != "" && h.Item != f.item)
	})
	for _, h := range list {
		ids = append(ids, h.ID)
	}
	return list, ids, err
}
