package control

import (
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func (c *cloud) callOff(t *testing.T, id string) edp.Job {
	t.Helper()
	j, err := c.store.CallOffJob(t.Context(), id, "ada")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// A collector that was away is not told of a job that was called off meanwhile.
func TestACalledOffJobIsNotSent(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	off, stays := c.collect(t, alpha, time.Hour), c.collect(t, alpha, time.Hour)
	if j := c.callOff(t, off.ID); strings.Contains(j.Error, "had been sent") {
		t.Errorf("nobody was there: %q", j.Error)
	}
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	if j := b.job(); j.ID != stays.ID {
		t.Errorf("the collector is told of %s, not of %s", j.ID, stays.ID)
	}
	b.none(wire.KindJob)
}

// One that was sent, without a word of it, is not sent to the next boot; who calls it
// off is told that the collector may have it, and what that says counts.
func TestAJobThatWasSentIsCalledOff(t *testing.T) {
	for name, s := range map[string]setup{"the built-in broker": {}, "mosquitto, which keeps none of it": {foreign: true}} {
		t.Run(name, func(t *testing.T) { sentAndCalledOff(t, s) })
	}
}

func sentAndCalledOff(t *testing.T, s setup) {
	c := startCloud(t, s)
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	c.collect(t, alpha, time.Hour)
	j := b.job()
	if got := c.callOff(t, j.ID); !strings.Contains(got.Error, "had been sent at ") {
		t.Errorf("it was sent: %q", got.Error)
	}
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	b.none(wire.KindJob)
	b.status(j, wire.JobAccepted, nil)
	eventually(t, "what the collector says counts", func() bool {
		got, err := c.store.Job(t.Context(), j.ID)
		return err == nil && got.State == wire.JobAccepted
	})
	if !strings.Contains(c.events(t, alpha)[0].Text, "had it when it was called off") {
		t.Errorf("%+v", c.events(t, alpha)[0])
	}
}
