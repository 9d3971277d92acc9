package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/client"
)

// asksForMore tells that a flag is given besides --list and those that go with it.
func asksForMore(fs *flag.FlagSet) (more bool) {
	fs.Visit(func(f *flag.Flag) {
		more = more || !slices.Contains([]string{"list", "json", "api-token-file"}, f.Name)
	})
	return more
}

// cloudOfTokens is the address that a token will name, by which boxes reach the cloud: not
// always the one by which this command does, which may run on the cloud's own computer.
func cloudOfTokens(ctx context.Context, c *call) (string, error) {
	open, err := c.OpenEnrolTokens(ctx)
	var refused *client.Problem
	switch {
	case errors.As(err, &refused): // who may make no token is told what is wrong all the same
		return c.URL(), nil
	case err != nil:
		return "", err
	}
	return cmp.Or(open.URL, c.URL()), nil
}

// listOpenTokens shows which tokens still enrol somebody, newest first.
func listOpenTokens(ctx context.Context, c *call, asJSON bool) error {
	open, err := c.OpenEnrolTokens(ctx)
	if err != nil {
		return err
	}
	list := open.Tokens
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
