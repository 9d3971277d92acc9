package control

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/rollout/conductor"
	"lwc/transport/wire"
)

func TestJobOutlivesTheBoot(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1", "edge-2")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	c.collect(t, alpha, time.Hour)
	j := b.job()
	b.status(j, wire.JobAccepted, nil)
	eventually(t, "the job is accepted", func() bool {
		got, err := c.store.Job(t.Context(), j.ID)
		return err == nil && got.State == wire.JobAccepted
	})
	var ids []string
	for _, item := range []string{"show-version", "show-system-uptime"} {
		h := b.fact(j.Run, "edge-1", item)
		b.send(h, reply("edge-1"), wire.Packing{})
		ids = append(ids, h.ID)
	}
	b.receipts(ids)
	m := b.manifest(wire.Manifest{Run: j.Run, Job: j.ID, Section: 1, Started: time.Now().UTC(), Finished: time.Now().UTC(),
		Devices: []wire.DeviceResult{{Device: "edge-1", OK: true}}}, b.key)
	if r := b.receipt(m.ID); r.Status != wire.Complete {
		t.Fatalf("the first section: %+v", r)
	}
	h := b.fact(j.Run, "edge-2", "show-version") // no section tells of it
	b.send(h, reply("edge-2"), wire.Packing{})
	b.receipt(h.ID)
	b.cut()
	b.connect() // the same boot: it has the job
	b.hello()
	b.hello()
	b.none(wire.KindJob)
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	again := b.job()
	if again.ID != j.ID || again.Run != j.Run || again.Boot != b.boot || !slices.Equal(again.Devices, []string{"edge-2"}) {
		t.Errorf("the job came again as %+v", again)
	}
}

func TestJobOfAnotherCollectorIsOutOfReach(t *testing.T) {
	c := startCloud(t, setup{})
	a, b := c.enrol(t, alpha), c.enrol(t, beta)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	job := c.collect(t, alpha, time.Hour)
	b.status(wire.Job{ID: job.ID}, wire.JobDone, nil)
	eventually(t, "an event tells", func() bool { return c.hasEvent(t, beta, EventRefused) })
	got, err := c.store.Job(t.Context(), job.ID)
	if err != nil || got.State != edp.JobQueued {
		t.Errorf("job %+v, %v", got, err)
	}
	_ = a
}

// A collector that cannot use a configuration is not sent it again and again,
// and still gets jobs.
func TestFailedConfigurationIsNotRepeated(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	d := b.desired()
	b.signed(wire.KindState, wire.State{V: wire.Version, Collector: alpha, Boot: b.boot,
		Config: wire.ConfigRef{Version: d.Version}, Status: wire.ConfigFailed, Error: "no"}, b.key)
	eventually(t, "the state is recorded", func() bool { return c.registered(t, alpha).AppliedStatus == wire.ConfigFailed })
	b.held = wire.ConfigRef{}
	b.hello()
	c.collect(t, alpha, time.Hour)
	b.job()
	b.none(wire.KindDesired)
}

// A job that names more devices than a message holds comes in parts, each of which
// a public broker takes.
func TestJobOfManyDevices(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	var all []string
	for i := range 4000 {
		all = append(all, fmt.Sprintf("branch-office-router-%05d", i))
	}
	c.fleet(t, alpha, all...)
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	job := c.collect(t, alpha, time.Hour)
	var got []string
	for n, of := 0, 1; n < of; n++ {
		payload := b.next(wire.KindJob)
		if len(payload) > wire.MaxFrame {
			t.Errorf("part %d has %d bytes", n, len(payload))
		}
		var j wire.Job
		b.verify(wire.KindJob, payload, &j)
		if of = j.Parts; j.ID != job.ID || j.Run != job.Run || j.Part != n || of < 2 {
			t.Fatalf("part %d of %d of job %s of run %s", j.Part, of, j.ID, j.Run)
		}
		got = append(got, j.Devices...)
	}
	if !slices.Equal(got, all) {
		t.Errorf("%d devices are named, want %d", len(got), len(all))
	}
}

// The result of an update comes from the boot after it, long after the job could be
// begun: it is sent again as one that still counts.
func TestAnUpdateOutlivesItsExpiry(t *testing.T) {
	now := time.Date(2026, 1, 14, 12, 0, 0, 0, time.UTC)
	old := edp.Job{Kind: wire.JobUpdate, State: wire.JobRunning, Expires: now.Add(-time.Hour)}
	if got := expiryOf(old, now); !got.Equal(now.Add(resultLife)) {
		t.Errorf("one under way: %v", got)
	}
	fresh := edp.Job{Kind: wire.JobUpdate, State: edp.JobQueued, Expires: now.Add(time.Hour), RebootAt: now.Add(9 * time.Hour)}
	if got := expiryOf(fresh, now); !got.Equal(now.Add(9*time.Hour + resultLife)) {
		t.Errorf("one that starts later: %v", got)
	}
	for _, j := range []edp.Job{{Kind: wire.JobUpdate, State: edp.JobQueued, Expires: now.Add(time.Hour)},
		{Kind: wire.JobRestart, State: wire.JobRunning, Expires: now.Add(-time.Hour)}} {
		if got := expiryOf(j, now); !got.Equal(j.Expires) {
			t.Errorf("%+v: %v", j, got)
		}
	}
}

// A box says hello with its machine; an update goes to it with all of its words, and
// to its next boot.
func TestAnUpdateOverABoot(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	j, err := c.store.CreateJob(t.Context(), edp.NewJob{Collector: alpha, Kind: wire.JobUpdate, Release: "1.1.0", RebootAt: at, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c.hub.JobCreated(alpha)
	got := b.job()
	if got.ID != j.ID || got.Release != "1.1.0" || !got.RebootAt.Equal(at) || got.Expires.Before(at.Add(resultLife)) {
		t.Errorf("%+v", got)
	}
	b.status(got, wire.JobRunning, nil)
	eventually(t, "the job is under way", func() bool {
		j, err := c.store.Job(t.Context(), j.ID)
		return err == nil && j.State == wire.JobRunning
	})
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	if again := b.job(); again.ID != j.ID || again.Boot != b.boot {
		t.Errorf("it came again as %+v", again)
	}
}

// What the policy asks for is installed within its window; what somebody asks for is
// installed whenever it comes.
func TestAnUpdateHasItsWindow(t *testing.T) {
	closes := time.Date(2026, 1, 2, 5, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		job  edp.Job
		want time.Time
	}{
		{edp.Job{Kind: wire.JobUpdate, By: conductor.By, Expires: closes}, closes},
		{edp.Job{Kind: wire.JobUpdate, By: "ada", Expires: closes}, time.Time{}},
		{edp.Job{Kind: wire.JobRestart, By: conductor.By, Expires: closes}, time.Time{}},
	} {
		if got := closeOf(c.job); !got.Equal(c.want) {
			t.Errorf("%+v: %v", c.job, got)
		}
	}
}
