package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/cloud/api/apitype"
	"lwc/cloud/client"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func collectCmd() clientCmd {
	return clientCmd{
		name: "collect", summary: "Collect now",
		details: "With --wait, a line is printed for each device as it finishes, and the exit code is\n" +
			"0 when the run is complete, 3 when it is complete and devices failed, 1 when it is not complete.",
		flags: func(fs *flag.FlagSet) func(context.Context, *call) error {
			collector := fs.String("collector", "", "collector `ID` (may be left out where there is one)")
			var devices several
			fs.Var(&devices, "device", "only this device `ID`; may be given again")
			var groups several
			fs.Var(&groups, "group", "all devices of this group `NAME`; may be given again")
			var wait waiting
			wait.flags(fs, "wait for the end, and show progress")
			return func(ctx context.Context, c *call) error {
				return collect(ctx, c, *collector, apitype.CollectRequest{Devices: devices, Groups: groups}, wait)
			}
		},
	}
}

func collect(ctx context.Context, c *call, collector string, which apitype.CollectRequest, wait waiting) error {
	if err := wait.check(); err != nil {
		return err
	}
	at, err := theCollector(ctx, c, collector)
	if err != nil {
		return err
	}
	job, err := c.Collect(ctx, at.ID, which)
	if err != nil {
		return err
	}
	if !at.Online {
		sayOffline(c.stderr, at, job, wait.on)
	}
	if !wait.on {
		_, err := fmt.Fprintf(c.stdout, "job %s, run %s\n", job.ID, job.Run)
		return err
	}
	p := &progress{call: c, job: job, shown: map[string]bool{}, seen: map[string]int{}, away: !at.Online, width: len("DEVICE")}
	ctx, cancel := wait.context(ctx)
	defer cancel()
	return p.follow(ctx)
}

// sayOffline tells why nothing happens yet.
func sayOffline(w io.Writer, at apitype.Collector, job apitype.Job, wait bool) {
	state, waits := "offline", "the job waits"
	if at.State == string(edp.CollectorPending) {
		state = "not enrolled yet"
	}
	if wait {
		waits = "waiting"
	}
	fmt.Fprintf(w, "collector %s is %s: %s for it until %s\n", at.ID, state, waits, job.Expires.Format(time.RFC3339))
}

// theCollector finds the collector that is named, or the only one.
func theCollector(ctx context.Context, c *call, id string) (apitype.Collector, error) {
	all, err := c.Collectors(ctx)
	if err != nil {
		return apitype.Collector{}, err
	}
	if id == "" && len(all) == 1 {
		return all[0], nil
	}
	for _, x := range all {
		if x.ID == id {
			return x, nil
		}
	}
	switch {
	case len(all) == 0:
		return apitype.Collector{}, errors.New("no collector is enrolled: make a token with lwc-cloud enrol-token")
	case id == "":
		return apitype.Collector{}, usageErrorf("there are %d collectors: name one", len(all))
	}
	return apitype.Collector{}, fmt.Errorf("no collector %q is known: see lwc-cloud collectors", id)
}

const (
	pollEvery = 300 * time.Millisecond
	// patience is how long a cloud may not answer while a command waits: a
	// restart takes seconds.
	patience = 2 * time.Minute
)

// progress follows one job to the end of its run.
type progress struct {
	*call
	job   apitype.Job
	shown map[string]bool // devices that are printed
	seen  map[string]int  // documents of a device, at the last poll
	away  bool            // the collector was offline, and did not take the job yet
	width int             // of the device column
	held  int             // documents that wait for an approval, as was said last
}

func (p *progress) follow(ctx context.Context) error {
	if err := p.header(ctx); err != nil {
		return stopped(ctx, p.job, err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	answered := time.Now()
	for {
		run, err := p.poll(ctx)
		var refused *client.Problem
		switch {
		case err == nil:
			answered = time.Now()
			p.came(ctx)
			p.approvals(ctx, run)
			if run.State != "running" {
				return p.end(run)
			}
		case errors.As(err, &refused) && refused.Status < 500, time.Since(answered) > patience, ctx.Err() != nil:
			return stopped(ctx, p.job, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stopped(ctx, p.job, ctx.Err())
		}
	}
}

// came says once that a collector that was offline took the job.
func (p *progress) came(ctx context.Context) {
	if !p.away {
		return
	}
	j, err := p.Job(ctx, p.job.ID)
	if taken := j.State == string(wire.JobAccepted) || j.State == string(wire.JobRunning) || j.State == string(wire.JobDone); err != nil || !taken {
		return // an answer that is late comes with the next poll
	}
	p.away = false
	fmt.Fprintf(p.stderr, "collector %s came and took the job\n", p.job.Collector)
}

// approvals says that a run whose devices are done waits for people.
func (p *progress) approvals(ctx context.Context, run apitype.Run) {
	if run.State != "running" || len(run.Devices) == 0 || len(p.shown) < len(run.Devices) {
		return
	}
	list, err := p.Held(ctx, run.Collector)
	if err != nil {
		return // it may be there at the next poll
	}
	n := 0
	for _, h := range list {
		if h.Run == run.ID && h.State == waitsForDecision {
			n++
		}
	}
	if n != p.held && n > 0 {
		fmt.Fprintf(p.stderr, "documents that wait for an approval: %d; see lwc-cloud held list, and decide with held approve or held decline --run %s\n", n, run.ID)
	}
	p.held = n
}

// header prints the column titles. Lines come one by one, so the width of the
// first column is that of the longest device id of the fleet.
func (p *progress) header(ctx context.Context) error {
	devices, err := p.Devices(ctx, p.job.Collector)
	if err != nil {
		return err
	}
	for _, d := range devices {
		p.width = max(p.width, len(d.ID))
	}
	_, err = fmt.Fprintf(p.stdout, "%-*s  %-9s  %9s  %9s  %7s  %s\n", p.width, "DEVICE", "STATE", "DOCUMENTS", "BYTES", "SECONDS", "REASON")
	return err
}

// poll prints what is new, and returns the run as it is. The documents of a
// device that is finished may still be on their way: its line waits until their
// number stands still.
func (p *progress) poll(ctx context.Context) (apitype.Run, error) {
	run, err := p.Run(ctx, p.job.Run)
	if err != nil {
		return run, err
	}
	for _, d := range run.Devices {
		before, known := p.seen[d.Device]
		p.seen[d.Device] = d.Documents
		settled := known && before == d.Documents || run.State != "running"
		if p.shown[d.Device] || !settled {
			continue
		}
		p.shown[d.Device] = true
		if err := p.line(d); err != nil {
			return run, err
		}
	}
	return run, nil
}

func (p *progress) line(r apitype.DeviceResult) error {
	state := "ok"
	if !r.OK {
		state = cmp.Or(r.Phase, "failed")
	} else if r.Error == "" {
		r.Error = r.Odd()
	}
	_, err := fmt.Fprintf(p.stdout, "%-*s  %-9s  %9d  %9s  %7.2f  %s\n", p.width, r.Device, state, r.Documents, size(r.Bytes), r.Seconds, r.Error)
	return err
}

// end prints the last line and decides on the exit code.
func (p *progress) end(run apitype.Run) error {
	took := run.Finished.Sub(run.Started).Seconds()
	_, err := fmt.Fprintf(p.stdout, "run %s: %s, %s, %s in %.1f s\n",
		run.ID, run.State, run.Account(), size(run.Bytes), took)
	if err != nil {
		return err
	}
	if run.State != "complete" {
		return p.why(run)
	}
	failed := 0
	for _, d := range run.Devices {
		if !d.OK {
			failed++
		}
	}
	if failed > 0 {
		return &exitError{exitDevices, fmt.Sprintf("%d of %d devices failed", failed, len(run.Devices))}
	}
	return nil
}

// why tells what ended a run that is not complete.
func (p *progress) why(run apitype.Run) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if j, err := p.Job(ctx, p.job.ID); err == nil && j.Error != "" {
		return &exitError{exitFailed, "the run is not complete: " + j.Error}
	}
	return &exitError{exitFailed, "the run is " + run.State + " and not complete"}
}

// size is a number of bytes for people.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
