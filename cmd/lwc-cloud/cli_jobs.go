package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"time"

	"lwc/cloud/api/apitype"
)

func jobCmds() []clientCmd { return []clientCmd{jobsCmd(), jobShowCmd(), jobCallOffCmd()} }

func jobsCmd() clientCmd {
	c := listing("jobs", "List the jobs that wait or are under way, newest first",
		func(fs *flag.FlagSet) func(context.Context, *call) ([]apitype.Job, error) {
			collector := fs.String("collector", "", "only of this collector `ID`")
			over := fs.Bool("all", false, "also those that are over")
			limit := fs.Int("limit", 100, "how many")
			return func(ctx context.Context, c *call) ([]apitype.Job, error) {
				return c.Jobs(ctx, *collector, *over, *limit)
			}
		},
		"JOB\tCOLLECTOR\tWHAT\tWHERE IT IS\tASKED BY\tASKED\tUNTIL\tWORDS",
		func(j apitype.Job) []any {
			return []any{j.ID, j.Collector, jobKind(j), j.Standing(), cmp.Or(j.By, "-"), ago(j.Created), j.Expires.UTC().Format(time.DateTime), cmp.Or(j.Error, j.Detail, "-")}
		})
	c.details = "A job that waits, or was sent without an answer, can be called off: lwc-cloud job call-off JOB."
	return c
}

// jobKind is what a job does; of an update also the release.
func jobKind(j apitype.Job) string {
	if j.Release != "" {
		return j.Kind + " " + j.Release
	}
	return j.Kind
}

func jobShowCmd() clientCmd {
	return clientCmd{
		name: "job show", args: "JOB", summary: "Show one job: what it is, and how far",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, c *call) error {
				j, err := c.Job(ctx, c.args[0])
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(c, j)
				}
				return showJob(c, j)
			}
		},
	}
}

func showJob(c *call, j apitype.Job) error {
	t := c.table()
	fmt.Fprintf(t, "job\t%s\ncollector\t%s\nwhat\t%s\nwhere it is\t%s\n", j.ID, j.Collector, jobKind(j), j.Standing())
	fmt.Fprintf(t, "asked\t%s by %s\nuntil\t%s\n", j.Created.UTC().Format(time.RFC3339), cmp.Or(j.By, "-"), j.Expires.UTC().Format(time.RFC3339))
	if !j.Sent.IsZero() {
		fmt.Fprintf(t, "sent\t%s\n", j.Sent.UTC().Format(time.RFC3339))
	}
	if j.Total > 0 {
		fmt.Fprintf(t, "devices\t%d of %d finished\n", j.Done, j.Total)
	}
	if j.Run != "" {
		fmt.Fprintf(t, "run\t%s\n", j.Run)
	}
	for _, words := range []string{j.Detail, j.Error} {
		if words != "" {
			fmt.Fprintf(t, "\t%s\n", words)
		}
	}
	return t.Flush()
}

func jobCallOffCmd() clientCmd {
	return clientCmd{
		name: "job call-off", args: "JOB", summary: "Call off a job that no collector has taken",
		details: "It is not sent any more. One that was sent, and not answered, may be carried out all the same: the answer says\n" +
			"so, and what the collector says of it counts. What a collector has taken is not called back.",
		flags: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(ctx context.Context, c *call) error {
				j, err := c.CallOffJob(ctx, c.args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "job %s, %s of %s: %s\n", j.ID, jobKind(j), j.Collector, j.Error)
				return err
			}
		},
	}
}
