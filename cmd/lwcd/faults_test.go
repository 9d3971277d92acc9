package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/collector"
	"lwc/junos"
	"lwc/junos/junostest"
	"lwc/transport/device"
	"lwc/transport/wire"
)

// collecting is a collector at work on a simulated fleet, by the real path.
type collecting struct {
	fleet *junostest.Fleet
	cloud *cloud
	c     *collector.Collector
	want  wire.Desired
}

// startCollecting starts a fleet in which the devices have these faults in turn,
// and a collector with short time-outs.
func startCollecting(t *testing.T, conf junostest.Config, faults []junostest.Fault, change func(*wire.Desired)) *collecting {
	t.Helper()
	broken := map[string]junostest.Fault{}
	for i, f := range faults {
		broken[fmt.Sprintf("%02d", i+1)] = f
	}
	conf.Devices = max(conf.Devices, len(faults))
	out := &collecting{fleet: startFleet(t, conf, broken), cloud: newCloud()}
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	d := dial.New(&device.Dialer{Net: new(net.Dialer).DialContext, Timeouts: device.Timeouts{Connect: 5 * time.Second, KeyExchange: 3 * time.Second,
		Auth: 3 * time.Second, Channel: 3 * time.Second, Retry: 10 * time.Millisecond}})
	out.c = collector.New(collector.Config{Collector: theCollector, Boot: theBoot, BootKey: key, Uplink: out.cloud, Dialer: d,
		Logger: slog.New(slog.DiscardHandler), Session: junos.Options{HelloTimeout: 3 * time.Second, StallTimeout: 2 * time.Second}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- out.c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	out.want = desiredOf(t, out.fleet, key)
	out.want.Limits.LoginsPerSecond = 1000
	if change != nil {
		change(&out.want)
	}
	out.c.Desired(out.want, wire.ConfigRef{Version: out.want.Version})
	return out
}

// collect collects all, and returns the accounts.
func (c *collecting) collect(t *testing.T) wire.Manifest {
	t.Helper()
	c.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
	select {
	case m := <-c.cloud.manifest:
		return m
	case <-time.After(2 * time.Minute):
		t.Fatal("the run did not end")
		return wire.Manifest{}
	}
}

// probe probes all, and returns the diagnoses by device.
func (c *collecting) probe(t *testing.T) map[string]wire.Probe {
	t.Helper()
	id := wire.NewID()
	c.c.Job(wire.Job{ID: id, Kind: wire.JobProbe})
	until(t, "the probes to end", 2*time.Minute, func() bool {
		c.cloud.mu.Lock()
		defer c.cloud.mu.Unlock()
		return c.cloud.job.ID == id && c.cloud.job.State == wire.JobDone
	})
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	return c.cloud.probes
}

// lastStage is the stage that failed with its kind, or the last one. Ways that
// were tried before another one do not count.
func lastStage(p wire.Probe) string {
	for _, s := range p.Steps {
		if !s.OK && s.Kind != collector.KindPassedOver {
			return s.Stage + " " + s.Kind
		}
	}
	if len(p.Steps) == 0 {
		return ""
	}
	return p.Steps[len(p.Steps)-1].Stage
}

// Each way in which a log-in goes wrong is named with its stage, in words.
func TestProbeNamesEachFault(t *testing.T) {
	want := []struct {
		fault junostest.Fault
		stage string
	}{
		{junostest.NoFault, "parse"},
		{junostest.Unreachable, "connect refused"},
		{junostest.Silent, "version timeout"},
		{junostest.Throttle, "version throttled"},
		{junostest.StallBanner, "version timeout"},
		{junostest.StallKex, "key-exchange timeout"},
		{junostest.OldAlgorithms, "key-exchange algorithms"},
		{junostest.NewHostKey, "host-key host-key-changed"},
		{junostest.RefuseAuth, "auth auth"},
		{junostest.StallAuth, "auth timeout"},
		{junostest.EndlessPrompts, "auth auth"},
		{junostest.Lockout, "auth auth-locked-out"},
		{junostest.SlowAuth + ":1s", "parse"},
		{junostest.NoNETCONF, "subsystem subsystem"},
		{junostest.NoSubsystem, "parse"},
		{junostest.CLIOnly, "subsystem subsystem"},
		{junostest.Garbage, "hello hello"},
		{junostest.StallHello, "hello hello"},
		{junostest.ErrorHello, "parse"},
		{junostest.BannerFlood, "auth protocol"},
		{junostest.Stall, "permission rpc-timeout"},
		{junostest.Splits, "parse"},
		{junostest.BOM, "parse"},
	}
	var faults []junostest.Fault
	for _, w := range want {
		faults = append(faults, w.fault)
	}
	c := startCollecting(t, junostest.Config{Seed: 3, Superusers: []string{"*-0001"}}, faults, nil)
	got := c.probe(t)
	for i, w := range want {
		p := got[c.want.Devices[i].ID]
		stage := lastStage(p)
		if i == 0 {
			if stage != "privilege over-privileged" || len(p.Excess) == 0 || !p.OK {
				t.Errorf("the superuser: %+v", p)
			}
			continue
		}
		if stage != w.stage || p.OK != (w.stage == "parse") {
			t.Errorf("%s: %q, want %q\n%+v", w.fault, stage, w.stage, p)
		}
		for _, s := range p.Steps {
			if !s.OK && len(s.Detail) < 40 {
				t.Errorf("%s: no words for %s: %q", w.fault, s.Stage, s.Detail)
			}
		}
	}
}

// Each way in which an answer goes wrong leaves the device's other documents
// whole and has its reason.
func TestEachFaultOfAReplyHasItsReason(t *testing.T) {
	want := []struct {
		fault junostest.Fault
		ok    bool
		kind  string
	}{
		{junostest.NoFault, true, ""},
		{junostest.Stall, false, "rpc-timeout"},
		{junostest.StallMid, false, "stalled"},
		{junostest.Drip + ":16", false, "stalled"},
		{junostest.Disconnect, false, "closed"},
		{junostest.Truncate, false, "closed"},
		{junostest.GarbageReply, false, "malformed"},
		{junostest.WrongFraming, false, "stalled"}, // a delimiter is waited for that never comes
		{junostest.WrongID, false, "message-id"},
		{junostest.Splits, true, ""},
		{junostest.BadUTF8, true, ""},
		{junostest.BOM, true, ""},
		{junostest.Huge + ":3000000", true, ""},
		{junostest.NoPipeline, true, ""},
		{junostest.CLIOnly, true, ""},
	}
	var faults []junostest.Fault
	for _, w := range want {
		faults = append(faults, w.fault)
	}
	c := startCollecting(t, junostest.Config{Seed: 4, Models: []junostest.Model{junostest.QFX}}, faults,
		func(d *wire.Desired) { d.AllowCLI = true })
	m := c.collect(t)
	sent := map[string][]string{}
	for _, s := range c.fleet.Sent() {
		sent[s.Device+"/"+s.Item] = append(sent[s.Device+"/"+s.Item], s.SHA256)
	}
	for i, w := range want {
		id := c.want.Devices[i].ID
		at := slices.IndexFunc(m.Devices, func(d wire.DeviceResult) bool { return d.Device == id })
		d := m.Devices[at]
		if d.OK != w.ok || d.Kind != w.kind || d.OK == (d.Error != "") {
			t.Errorf("%s: %+v", w.fault, d)
		}
		n := 0
		for _, e := range m.Documents {
			if e.Device != id {
				continue
			}
			n++
			if e.Status != wire.EntryStored && e.Reason == "" {
				t.Errorf("%s: %+v", w.fault, e)
			}
			// The banner of a CLI is part of a document, and the log is without it.
			same := w.fault != junostest.CLIOnly
			if same && w.ok && e.Status == wire.EntryStored && !slices.Contains(sent[id+"/"+e.Item], asSent(e)) {
				t.Errorf("%s: %s is not what the device sent", w.fault, e.Item)
			}
		}
		if n != daily(t) {
			t.Errorf("%s: %d entries", w.fault, n)
		}
	}
}

// A device that does not bear several requests is asked one at a time, and keeps
// its documents; one that does goes deeper with each run.
func TestPipelineRecordOverSSH(t *testing.T) {
	c := startCollecting(t, junostest.Config{Seed: 5}, []junostest.Fault{junostest.NoPipeline, junostest.NoFault}, nil)
	for range 4 {
		m := c.collect(t)
		for _, d := range m.Devices {
			if !d.OK {
				t.Errorf("%+v", d)
			}
		}
	}
	if n := c.c.Status().Counters["pipeline_fallbacks"]; n != 1 {
		t.Errorf("%d fallbacks", n)
	}
}

// What a device does not support is asked once; what it does not run just now is
// asked each time.
func TestUnsupportedOverSSH(t *testing.T) {
	c := startCollecting(t, junostest.Config{Seed: 6, Devices: 6}, nil, nil)
	first, second := c.collect(t), c.collect(t)
	unsupported, idle := map[string]bool{}, regexp.MustCompile("not (running|enabled|configured)")
	for _, e := range first.Documents {
		if e.Outcome == string(junos.Unsupported) && !idle.Match(c.cloud.bodies[e.ID]) {
			unsupported[e.Device+" "+e.Item] = true
		}
	}
	skipped := 0
	for _, e := range second.Documents {
		if (e.Status == wire.EntrySkipped) != unsupported[e.Device+" "+e.Item] {
			t.Errorf("%+v", e)
		}
		if e.Status == wire.EntrySkipped {
			skipped++
		}
	}
	if skipped == 0 || skipped != len(unsupported) {
		t.Errorf("%d skipped of %d", skipped, len(unsupported))
	}
}

// What goes wrong at a bastion is told as the bastion's.
func TestFaultsOfABastionAreItsOwn(t *testing.T) {
	for fault, kind := range map[junostest.Fault]string{junostest.RefuseAuth: "bastion-auth", junostest.NoForward: "forward-refused",
		junostest.NewHostKey: "bastion-host-key-changed", junostest.Throttle: "bastion-throttled"} {
		t.Run(string(fault), func(t *testing.T) {
			c := startCollecting(t, junostest.Config{Seed: 7, Devices: 2, Bastions: 1, Behind: 1}, nil, nil)
			c.fleet.Bastions()[0].SetFault(fault)
			got := c.probe(t)
			behind, direct := got[c.want.Devices[1].ID], got[c.want.Devices[0].ID]
			if s := lastStage(behind); !strings.HasSuffix(s, " "+kind) || behind.OK || !direct.OK {
				t.Errorf("behind the bastion %q: %+v", s, behind)
			}
		})
	}
}
