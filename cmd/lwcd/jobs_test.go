package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/testdata/script"
	"lwc/transport/wire"
)

// ask makes a job for the machine.
func (c *cloudEnd) ask(kind wire.JobKind) edp.Job {
	c.t.Helper()
	j := must[edp.Job](c.t)(c.store.CreateJob(c.t.Context(), edp.NewJob{Collector: theCollector, Kind: kind, By: "test", TTL: time.Hour}))
	c.hub.JobCreated(theCollector)
	return j
}

// ended waits until a job is in a state.
func (c *cloudEnd) ended(j edp.Job, want wire.JobState) edp.Job {
	c.t.Helper()
	until(c.t, string(j.Kind)+" to be "+string(want), 30*time.Second, func() bool {
		var err error
		j, err = c.store.Job(c.t.Context(), j.ID)
		return err == nil && j.State == want
	})
	return j
}

// The jobs for the machine, through all of lwcd: the certificate is another one, the
// half that carries on after a restart is a new boot, and the result is told once;
// an update is handed to the program, and one without a program is refused.
func TestJobsForTheMachine(t *testing.T) {
	cl := startCloudEnd(t)
	s := listenAsSystemd(t, "2000000")
	p := newProcess(t)
	mark := filepath.Join(p.dir, "orders")
	updater := script.Write(t, p.dir, "updater", "#!/bin/sh\ncat >> "+mark+"\necho '{\"state\":\"running\",\"text\":\"loading\"}'\necho '{\"state\":\"done\",\"text\":\"installed\"}'\n")
	p.start()
	p.giveToken(cl.token(nil))
	s.await("enrolled as "+theCollector, "no configuration yet")
	if j := cl.ended(cl.ask(wire.JobUpdate), wire.JobRefused); !strings.Contains(j.Error, "update.program") {
		t.Errorf("without an updater: %+v", j)
	}
	p.stop(15)
	conf, err := os.ReadFile(p.conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.conf, append(conf, "[update]\nprogram = \""+updater+"\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	s.await("welcomed by the cloud")

	before, err := os.ReadFile(filepath.Join(p.state(), certFile))
	if err != nil {
		t.Fatal(err)
	}
	cl.ended(cl.ask(wire.JobRenewCert), wire.JobDone)
	if after, err := os.ReadFile(filepath.Join(p.state(), certFile)); err != nil || string(after) == string(before) {
		t.Errorf("the certificate is the old one, %v", err)
	}
	update := cl.ended(cl.ask(wire.JobUpdate), wire.JobDone)
	if b, err := os.ReadFile(mark); err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), `"job":"`+update.ID+`"`) {
		t.Errorf("the updater was told %s, %v", b, err)
	}

	boot := cl.boot()
	cl.ended(cl.ask(wire.JobRestart), wire.JobDone)
	if cl.boot() == boot {
		t.Error("the boot is the same: nothing was restarted")
	}
	if n := strings.Count(p.log.String(), "the collector half is restarted"); n != 1 {
		t.Errorf("restarted %d times", n)
	}
	if strings.Contains(p.log.String(), "ended unexpectedly") {
		t.Error("the restart counts as a crash")
	}
}

func (c *cloudEnd) boot() string {
	c.t.Helper()
	return must[edp.Collector](c.t)(c.store.Collector(c.t.Context(), theCollector)).Boot
}
