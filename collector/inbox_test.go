package collector

import (
	"context"
	"log/slog"
	"testing"

	"lwc/transport/wire"
)

// behind makes a collector whose main loop does not come to what is put in.
func behind(t *testing.T) (*Collector, *recorder) {
	t.Helper()
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	up := &recorder{}
	c := New(Config{Collector: testCollector, Boot: testBoot, BootKey: key, Uplink: up, Logger: slog.New(slog.DiscardHandler)})
	for c.inbox.put(func(context.Context) {}) {
	}
	return c, up
}

// A configuration that cannot be taken now has failed, and is not silently gone.
func TestConfigurationForAFullInboxFails(t *testing.T) {
	c, up := behind(t)
	c.Desired(wire.Desired{Version: 3}, wire.ConfigRef{Version: 3})
	if n := len(up.states); n != 2 || up.states[0].Status != wire.ConfigReceived {
		t.Fatalf("%+v", up.states)
	}
	if s := up.lastState(); s.Status != wire.ConfigFailed || s.Config.Version != 3 || s.Error == "" {
		t.Errorf("%+v", s)
	}
}

// A job that finds no room is refused; one that is under way is not, when it is
// delivered again.
func TestJobForAFullInbox(t *testing.T) {
	c, up := behind(t)
	running := wire.JobStatus{ID: wire.NewID(), State: wire.JobRunning}
	c.jobStatus(running)
	c.Job(wire.Job{ID: running.ID, Kind: wire.JobRestart})
	if s := up.lastJob(running.ID); s.State != wire.JobRunning || len(up.jobs) != 2 {
		t.Errorf("%+v", up.jobs)
	}
	other := wire.NewID()
	c.Job(wire.Job{ID: other, Kind: wire.JobRestart})
	if s := up.lastJob(other); s.State != wire.JobRefused {
		t.Errorf("%+v", s)
	}
}
