package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/image/trial"
)

const (
	// gateLimit is how long a release on trial has for bringing the ports up: several
	// times what a lease and the slowest of the boxes take.
	gateLimit = 5 * time.Minute
	gatePoll  = time.Second
	// siteSettings are what a box has once it was given its settings.
	siteSettings = "/state/settings/lwc.toml"
)

// gate judges a new release in its first start, from what lwcd says of itself.
type gate struct {
	variables, report, settings, state string
	version                            string        // of the image
	limit, poll                        time.Duration // of the wait
	condemn                            []string      // marks the release as bad for the boot loader
}

// runGate is lwcd gate. Its exit code is the verdict: systemd-bless-boot ends the
// counting of the boot loader after a good one, and the machine restarts after a bad
// one (lwc-gate.service).
func runGate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "lwcd: gate takes no argument, %q was given\n", args)
		return exitUsage
	}
	g := gate{variables: trial.Variables, report: report.Path, settings: siteSettings, state: trial.State,
		version: machine{files: os.DirFS("/")}.image(), limit: gateLimit, poll: gatePoll,
		condemn: []string{"/usr/lib/systemd/systemd-bless-boot", "bad"}}
	words, err := g.judge(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "lwcd: %v\n", err)
		return exitFailed
	}
	fmt.Fprintln(stdout, words)
	return exitStopped
}

// judge returns why the release is good. A release that is no trial is good: nothing
// that happens on its site later, as a cable that is pulled, restarts a box.
func (g gate) judge(ctx context.Context) (words string, err error) {
	if !trial.Counted(g.variables) {
		return "this start is no trial", nil
	}
	within, cancel := context.WithTimeout(ctx, g.limit)
	defer cancel()
	words, problem := g.wait(within)
	if problem == "" {
		return fmt.Sprintf("release %s is good: %s", g.version, words), nil
	}
	// An error that comes of a power-off does not turn it into a restart: systemd takes no
	// FailureAction= while it shuts down (emergency-action.c). No error would be a good
	// verdict for whatever else ends the gate.
	if ctx.Err() != nil {
		return "", errors.New("the machine stops before there is a verdict")
	}
	return "", g.bad(ctx, problem)
}

// wait looks at lwcd's reports until two in a row are good, or else says what is wrong
// with the last one. One alone could be that of an lwcd that has just ended.
func (g gate) wait(ctx context.Context) (words, problem string) {
	problem = "lwcd said nothing of itself"
	for seen, good := uint64(0), 0; ; {
		r, err := report.Read(g.report)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem = err.Error()
		}
		if err == nil && r.Beat != seen {
			seen = r.Beat
			if words, problem = g.verdict(r); problem != "" {
				good = 0
			} else if good++; good == 2 {
				return words, ""
			}
		}
		if !sleep(ctx, g.poll) {
			if problem == "" {
				problem = "lwcd said once that all is well, and then nothing more"
			}
			return "", fmt.Sprintf("within %v: %s", g.limit, problem)
		}
	}
}

// keptState tells whether the box still has what it had before. A release that cannot
// mount the state partition, or finds it emptied, has no settings either, and would
// pass as one that waits for them.
func (g gate) keptState() bool {
	var installed struct {
		Version string `json:"version"`
	}
	err := trial.Load(g.state, trial.PendingFile, &installed)
	return err == nil && installed.Version == g.version
}

// verdict judges one report.
func (g gate) verdict(r report.Report) (words, problem string) {
	if !g.keptState() {
		return "", "the state partition is not the one that it was installed beside: identity and settings are gone"
	}
	if r.Ports == report.Open {
		return "the two ports are enforced", ""
	}
	if _, err := os.Stat(g.settings); errors.Is(err, fs.ErrNotExist) && r.Cause == report.NoConfiguration {
		return "lwcd waits for the settings of this box", ""
	}
	return "", fmt.Sprintf("the two ports are %s (%s): %s", r.Ports, r.Cause, r.Detail)
}

// bad keeps the reason for the release before, and has the boot loader not try this one
// again: what was wrong for so long is no matter of luck.
func (g gate) bad(ctx context.Context, problem string) error {
	err := fmt.Errorf("release %s is not good: %s", g.version, problem)
	kept := trial.SaveFault(g.state, trial.Fault{Version: g.version, Text: clean(problem), At: time.Now().UTC()})
	out, told := exec.CommandContext(ctx, g.condemn[0], g.condemn[1:]...).CombinedOutput()
	if told != nil {
		told = fmt.Errorf("running %s: %w: %s", g.condemn[0], told, clean(string(out)))
	}
	return errors.Join(err, kept, told)
}
