package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/api/apitype"
)

// asksForMore tells that a flag is given besides --list and those that go with it.
func asksForMore(fs *flag.FlagSet) (more bool) {
	fs.Visit(func(f *flag.Flag) {
		more = more || !slices.Contains([]string{"list", "json", "api-token-file"}, f.Name)
	})
	return more
}

// listOpenTokens shows which tokens still enrol somebody, newest first.
func listOpenTokens(ctx context.Context, c *call, asJSON bool) error {
	list, err := c.OpenEnrolTokens(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c, append([]apitype.OpenEnrolToken{}, list...))
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.stdout, "no token is open")
		return err
	}
	return printTable(c, "TOKEN\tMADE\tBY\tEXPIRES\tENROLS\tLABEL", list, func(t apitype.OpenEnrolToken) []any {
		enrols := cmp.Or(t.Collector, "any id")
		if t.UsesLeft != 1 {
			enrols += fmt.Sprintf(", %d times", t.UsesLeft)
		}
		return []any{t.ID, t.Created.UTC().Format(time.RFC3339), cmp.Or(t.By, "-"), t.Expires.UTC().Format(time.RFC3339), enrols, cmp.Or(t.Label, "-")}
	})
}
