package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/client"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// machineCmd is a command that has a collector do something to itself.
func machineCmd(kind wire.JobKind, summary, details string) clientCmd {
	return clientCmd{
		name: string(kind), args: whichBox(kind), many: true, summary: summary,
		details: details + "\nWith --wait its progress is printed, and the exit code is 0 when it is done, 1 when it failed or was refused.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			r := apitype.MachineJob{Kind: string(kind)}
			at, sure := "", kind != wire.JobFactoryReset
			if kind == wire.JobUpdate {
				fs.StringVar(&r.Release, "release", "", "the `VERSION` wanted (default: the newest that is not held back)")
				fs.StringVar(&r.Source, "source", "", "https `URL` of the release (default: the cloud's own)")
				fs.StringVar(&at, "at", "", "`TIME` to start what was installed, as 2026-01-31T02:00:00Z (default: at once)")
			}
			if kind == wire.JobFactoryReset {
				fs.BoolVar(&sure, "yes", false, "yes, this box is to forget its identity and its settings")
			}
			var wait waiting
			wait.flags(fs, "wait for the end, and show progress")
			return func(ctx context.Context, c *call) error {
				if len(c.args) > 1 || kind == wire.JobFactoryReset && len(c.args) == 0 {
					return usageErrorf("usage: lwc-cloud %s [flags] %s", kind, whichBox(kind))
				}
				if !sure {
					return usageErrorf("%s: the box %s is a stranger afterwards, and somebody has to bring it its file again; say --yes", kind, c.args[0])
				}
				if err := rebootAt(&r, at); err != nil {
					return err
				}
				return machine(ctx, c, cmp.Or(append(c.args, "")[0], ""), r, wait)
			}
		},
	}
}

// whichBox is the argument: a box that is to forget all has to be named, even the only one.
func whichBox(kind wire.JobKind) string {
	if kind == wire.JobFactoryReset {
		return "COLLECTOR"
	}
	return "[COLLECTOR]"
}

func machine(ctx context.Context, c *call, collector string, r apitype.MachineJob, wait waiting) error {
	if err := wait.check(); err != nil {
		return err
	}
	at, err := theCollector(ctx, c, collector)
	if err != nil {
		return err
	}
	job, err := c.MachineJob(ctx, at.ID, r)
	if err != nil {
		return err
	}
	if !at.Online {
		sayOffline(c.stderr, at, job, wait.on)
	}
	if _, err := fmt.Fprintln(c.stdout, jobWords(job)); err != nil || !wait.on {
		return err
	}
	ctx, cancel := wait.context(ctx)
	defer cancel()
	return followMachine(ctx, c, job)
}

// jobWords names a job; of an update also the release, and why it is not a newer one.
func jobWords(j apitype.Job) string {
	text := "job " + j.ID
	if j.Release != "" {
		text += ": release " + j.Release
	}
	if j.Detail != "" {
		text += "\n" + j.Detail
	}
	return text
}

// followMachine prints each word of progress once, until the job is over.
func followMachine(ctx context.Context, c *call, job apitype.Job) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	said, answered := job.State+": "+job.Detail, time.Now()
	for {
		now, err := c.Job(ctx, job.ID)
		var refused *client.Problem
		switch {
		case err == nil:
			answered = time.Now()
			if err := machineFailure(now); err != nil { // the last words before it no longer hold
				return err
			}
			if line := now.State + ": " + now.Detail; now.Detail != "" && line != said {
				said = line
				fmt.Fprintln(c.stdout, line)
			}
			if now.State == string(wire.JobDone) {
				_, err := fmt.Fprintf(c.stdout, "collector %s: %s is done\n", now.Collector, now.Kind)
				return err
			}
		case errors.As(err, &refused) && refused.Status < 500, time.Since(answered) > patience, ctx.Err() != nil:
			return stopped(ctx, job, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stopped(ctx, job, ctx.Err())
		}
	}
}

// machineFailure is how a job ended that is over and not done.
func machineFailure(j apitype.Job) error {
	switch wire.JobState(j.State) {
	case edp.JobCalledOff: // one that was sent may go on; lwc-cloud job show tells
		return &exitError{exitFailed, fmt.Sprintf("%s: %s", j.Kind, j.Error)}
	case wire.JobFailed:
		return &exitError{exitFailed, fmt.Sprintf("%s failed: %s", j.Kind, cmp.Or(j.Error, "no reason was given"))}
	case wire.JobRefused:
		return &exitError{exitFailed, fmt.Sprintf("the collector refuses to %s: %s", j.Kind, cmp.Or(j.Error, "no reason was given"))}
	}
	return nil
}

// rebootAt reads --at.
func rebootAt(r *apitype.MachineJob, text string) error {
	if text == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return usageErrorf("--at %q must be a time as 2026-01-31T02:00:00Z, or 2026-01-31T03:00:00+01:00", text)
	}
	r.RebootAt = at
	return nil
}

func machineCmds() []clientCmd {
	return []clientCmd{
		machineCmd(wire.JobRenewCert, "Have a collector renew its certificate now", "It keeps its key and its session."),
		machineCmd(wire.JobRestart, "Restart the daemon of a collector", "What has no receipt is collected again in the window."),
		machineCmd(wire.JobUpdate, "Update a collector's box now, or with --at", "An appliance loads the release from here, checks it, installs it beside the one that runs, and goes back by\n"+
			"itself when it does not start well. On another system the update is handed to the updater that is configured."),
		machineCmd(wire.JobFactoryReset, "Have a collector's box forget its identity and its settings", "What it sent stays. Afterwards: revoke it, or bring the box a file with a token that is bound to its id."),
	}
}
