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
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func probeCmd() clientCmd {
	return clientCmd{
		name: "probe", args: "[DEVICE…]", many: true, summary: "Test the connection to devices, stage by stage",
		details: "Says for each device how far the collector gets, from its name to its first reply: what is wrong, and\n" +
			"what to do. It also asks the device what the account may do, and tells of rights that collecting does\n" +
			"not need; nothing is tried or changed. Without DEVICE it tests all. With --wait the exit code is 0 when\n" +
			"every device can be collected, 3 when one cannot, 4 when all can and an account can do too much, 1 when\n" +
			"the test did not come to its end.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			collector := fs.String("collector", "", "collector `ID` (may be left out where there is one)")
			var groups several
			fs.Var(&groups, "group", "all devices of this group `NAME`; may be given again")
			var wait waiting
			wait.flags(fs, "wait for the end, and show the stages")
			asJSON := fs.Bool("json", false, "with --wait: print a JSON array when all is there")
			return func(ctx context.Context, c *call) error { return probe(ctx, c, *collector, groups, wait, *asJSON) }
		},
	}
}

func probe(ctx context.Context, c *call, collector string, groups []string, wait waiting, asJSON bool) error {
	if asJSON && !wait.on {
		return usageErrorf("probe --json shows results: it needs --wait")
	}
	if err := wait.check(); err != nil {
		return err
	}
	at, err := theCollector(ctx, c, collector)
	if err != nil {
		return err
	}
	job, err := c.Probe(ctx, at.ID, apitype.ProbeRequest{Devices: c.args, Groups: groups})
	if err != nil {
		return err
	}
	if !at.Online {
		sayOffline(c.stderr, at, job, wait.on)
	}
	if !wait.on {
		_, err := fmt.Fprintf(c.stdout, "job %s\n", job.ID)
		return err
	}
	ctx, cancel := wait.context(ctx)
	defer cancel()
	job, err = followProbe(ctx, c, job, func(p apitype.Probe) error {
		if asJSON {
			return nil
		}
		return showProbe(c, p)
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(c, append([]apitype.Probe{}, job.Probes...)); err != nil {
			return err
		}
	}
	return probeCode(job)
}

// followProbe hands on each diagnosis as it comes, until the job is over.
func followProbe(ctx context.Context, c *call, job apitype.Job, each func(apitype.Probe) error) (apitype.Job, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	shown, answered := map[string]bool{}, time.Now()
	for {
		now, err := c.Job(ctx, job.ID)
		var refused *client.Problem
		switch {
		case err == nil:
			answered = time.Now()
			for _, p := range now.Probes {
				if !shown[p.Device] {
					shown[p.Device] = true
					if err := each(p); err != nil {
						return now, err
					}
				}
			}
			if ends := []wire.JobState{wire.JobDone, wire.JobFailed, wire.JobRefused, edp.JobCalledOff}; slices.Contains(ends, wire.JobState(now.State)) {
				return now, nil
			}
		case errors.As(err, &refused) && refused.Status < 500, time.Since(answered) > patience, ctx.Err() != nil:
			return now, stopped(ctx, job, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return job, stopped(ctx, job, ctx.Err())
		}
	}
}

func showProbe(c *call, p apitype.Probe) error {
	fmt.Fprintf(c.stdout, "%s: %s\n", p.Device, p.Headline())
	t := c.table()
	for _, s := range p.Steps {
		result := "ok"
		if !s.OK {
			result = cmp.Or(s.Kind, "failed")
		}
		of := ""
		if s.Hop != "" {
			of = "at " + s.Hop
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%7.1f ms\t%s\n", s.Stage, of, result, s.Seconds*1000, s.Detail)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(p.Excess) > 0 {
		fmt.Fprintf(c.stdout, "  the class that is enough: lwc-cloud login-class --profile PROFILE\n")
	}
	return nil
}

// probeCode turns the diagnoses into an exit code.
func probeCode(job apitype.Job) error {
	failed, excess := 0, 0
	for _, p := range job.Probes {
		switch {
		case !p.OK:
			failed++
		case len(p.Excess) > 0:
			excess++
		}
	}
	switch {
	case job.State != string(wire.JobDone):
		return &exitError{exitFailed, "the test did not come to its end: " + cmp.Or(job.Error, "the job is "+job.State)}
	case len(job.Probes) < job.Total:
		return &exitError{exitFailed, fmt.Sprintf("only %d of %d devices were tested", len(job.Probes), job.Total)}
	case failed > 0:
		return &exitError{exitDevices, fmt.Sprintf("%d of %d devices cannot be collected", failed, job.Total)}
	case excess > 0:
		return &exitError{exitExcess, fmt.Sprintf("all of %d devices can be collected; on %d the account can do more than is needed", job.Total, excess)}
	}
	return nil
}
