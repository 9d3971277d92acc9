package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
)

func releaseCmds() []clientCmd {
	return []clientCmd{releaseAddCmd(), releaseListCmd(), releaseShowCmd(), releaseWithdrawCmd(), releaseResumeCmd(), releaseApproveCmd()}
}

func releaseAddCmd() clientCmd {
	return clientCmd{
		name: "release add", args: "FILE", summary: "Publish a release of the appliance",
		details: "FILE is the bundle, lwc_VERSION.release.tar. The cloud checks that a key it trusts has signed it\n" +
			"(lwc-cloud release-keys, on the server) and that each file is what the manifest promises. Boxes get it by\n" +
			"their policy: lwc-cloud updates tells when.",
		flags: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				f, err := os.Open(c.args[0])
				if err != nil {
					return fmt.Errorf("opening the bundle: %w", err)
				}
				defer f.Close()
				info, err := f.Stat()
				if err != nil {
					return fmt.Errorf("opening the bundle: %w", err)
				}
				if !info.Mode().IsRegular() {
					return usageErrorf("release add: %s is not a file", c.args[0])
				}
				r, err := c.AddRelease(ctx, f, info.Size())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "release %s is %s (%s for each box)\n", r.Version, r.State, size(r.Bytes))
				return err
			}
		},
	}
}

func releaseListCmd() clientCmd {
	return clientCmd{
		name: "release list", summary: "List the releases, the newest first",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print a JSON array")
			return func(ctx context.Context, c *call) error {
				list, err := c.Releases(ctx)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, append([]apitype.Release{}, list...))
				}
				return printTable(c, "RELEASE\tSTATE\tSECURITY\tFROM\tSIZE\tBOXES\tUPDATING\tFAILED\tPUBLISHED", list, func(r apitype.Release) []any {
					return []any{r.Version, releaseWord(r), yes(r.Security), cmp.Or(r.Floor, "any"), size(r.Bytes),
						r.Running, r.Updating, r.Failed, ago(r.PublishedAt)}
				})
			}
		},
	}
}

func releaseWord(r apitype.Release) string {
	if r.Halted && r.State == "published" {
		return "held back"
	}
	return r.State
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func releaseShowCmd() clientCmd {
	return clientCmd{
		name: "release show", args: "VERSION", summary: "Show a release: its files, its approvals, how far it has come",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, c *call) error {
				r, err := c.Release(ctx, c.args[0])
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, r)
				}
				return showRelease(c, r)
			}
		},
	}
}

func showRelease(c *call, r apitype.Release) error {
	t := c.table()
	fmt.Fprintf(t, "release\t%s\nstate\t%s\nsecurity\t%s\nfrom\t%s\nmade\t%s\npublished\t%s by %s\n", r.Version, releaseWord(r), yes(r.Security),
		cmp.Or(r.Floor, "any"), r.Created.UTC().Format(time.RFC3339), r.PublishedAt.UTC().Format(time.RFC3339), r.PublishedBy)
	if !r.WithdrawnAt.IsZero() {
		fmt.Fprintf(t, "withdrawn\t%s by %s: %s\n", r.WithdrawnAt.UTC().Format(time.RFC3339), r.WithdrawnBy, r.Reason)
	}
	if r.Halted && r.State == "published" {
		fmt.Fprintf(t, "held back\t%s (hold %s)\n", r.HaltedWhy, r.Hold)
	}
	if !r.ResumedAt.IsZero() {
		fmt.Fprintf(t, "resumed\t%s by %s: %s\n", r.ResumedAt.UTC().Format(time.RFC3339), r.ResumedBy, r.ResumedReason)
	}
	fmt.Fprintf(t, "boxes\t%s\nmanifest\t%s\n", r.Tally(), r.Digest)
	for _, f := range r.Files {
		fmt.Fprintf(t, "%s\t%s, %s, %s\n", f.Role, f.Name, size(f.Size), f.SHA256)
	}
	for _, a := range r.Approvals {
		fmt.Fprintf(t, "approved\tfor %s by %s, %s\n", cmp.Or(a.Collector, "all"), a.By, a.At.UTC().Format(time.RFC3339))
	}
	if err := t.Flush(); err != nil || r.Notes == "" {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "\n%s\n", strings.TrimSpace(r.Notes))
	return err
}

func releaseWithdrawCmd() clientCmd {
	return clientCmd{
		name: "release withdraw", args: "VERSION", summary: "Keep a release from the boxes that do not run it",
		details: "Boxes that run it go on. Its files are deleted here, and its approvals forgotten; release add publishes it\n" +
			"again, and it needs new approvals then.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			why := fs.String("why", "", "`REASON`, as others read it")
			return func(ctx context.Context, c *call) error {
				if *why == "" {
					return usageErrorf("release withdraw: say why with --why REASON")
				}
				before, err := c.Release(ctx, c.args[0])
				if err != nil {
					return err
				}
				r, err := c.WithdrawRelease(ctx, c.args[0], *why)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "release %s is %s; %d boxes run it\n%s", r.Version, r.State, r.Running, forgotten(before.Approvals))
				return err
			}
		},
	}
}

// forgotten tells of the approvals that a withdrawal takes along, on a line.
func forgotten(list []apitype.ReleaseApproval) string {
	if len(list) == 0 {
		return ""
	}
	return "its approvals are forgotten (" + approvedFor(list) + "): approve it anew where it is published again\n"
}

func approvedFor(list []apitype.ReleaseApproval) string {
	var of []string
	for _, a := range list {
		of = append(of, cmp.Or(a.Collector, "all"))
	}
	return strings.Join(of, ", ")
}

// tellHold asks whoever resumes a release to look first at what it is held back for.
func tellHold(ctx context.Context, c *call) error {
	r, err := c.Release(ctx, c.args[0])
	switch {
	case err != nil:
		return err
	case r.Hold == "" || r.State != "published":
		return fmt.Errorf("release %s is not held back: it is %s", r.Version, r.State)
	}
	return usageErrorf("release %s is held back: %s\nsee to those boxes (lwc-cloud updates), then: lwc-cloud release resume %s --hold %s --why REASON",
		r.Version, r.HaltedWhy, r.Version, r.Hold)
}

func releaseResumeCmd() clientCmd {
	return clientCmd{
		name: "release resume", args: "VERSION", summary: "Let a release go on that is held back",
		details: "Without --hold it tells what the release is held back for, and changes nothing. Look at those boxes first: where\n" +
			"another one has come to them meanwhile, the hold is another, and nothing is changed either.\n" +
			"What failed with it so far does not count against it any more; it goes on in waves, and is held back again when it\n" +
			"fails again. A box that it failed on is not sent it again for that: lwc-cloud update COLLECTOR --release VERSION.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			why := fs.String("why", "", "`REASON`, as others read it")
			hold := fs.String("hold", "", "`ID` of what it is held back for, as you have seen it")
			return func(ctx context.Context, c *call) error {
				if *hold == "" {
					return tellHold(ctx, c)
				}
				if *why == "" {
					return usageErrorf("release resume: say why with --why REASON")
				}
				r, err := c.ResumeRelease(ctx, c.args[0], *hold, *why)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "release %s goes on: %s\n", r.Version, r.Tally())
				return err
			}
		},
	}
}

func releaseApproveCmd() clientCmd {
	return clientCmd{
		name: "release approve", args: "VERSION [COLLECTOR…]", many: true, summary: "Let boxes take a release whose policy asks for an approval",
		details: "Without COLLECTOR, all of them. --undo takes back what was approved under the same name.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			undo := fs.Bool("undo", false, "take that approval back; an update that was sent stays")
			return func(ctx context.Context, c *call) error {
				if len(c.args) == 0 {
					return usageErrorf("usage: lwc-cloud release approve VERSION [COLLECTOR…]")
				}
				r, err := c.ApproveRelease(ctx, c.args[0], apitype.ReleaseDecision{Collectors: c.args[1:], Undo: *undo})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "release %s is approved for: %s\n", r.Version, cmp.Or(approvedFor(r.Approvals), "none"))
				return err
			}
		},
	}
}
