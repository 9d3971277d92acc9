package collector

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

func TestJobsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		job := func(j wire.Job) wire.JobStatus {
			j.ID = wire.NewID()
			r.c.Job(j)
			synctest.Wait()
			return r.up.lastJob(j.ID)
		}
		check := func(name string, s wire.JobStatus, words string) {
			t.Helper()
			if s.State != wire.JobRefused || !strings.Contains(s.Error, words) || s.Boot != testBoot {
				t.Errorf("%s: %+v, want words %q", name, s, words)
			}
		}
		check("before a configuration", job(wire.Job{Kind: wire.JobCollect, Run: wire.NewID()}), "no configuration yet")
		r.apply(r.desired(1, 1))
		for _, k := range []wire.JobKind{wire.JobRenewCert, wire.JobUpdate, wire.JobRestart} {
			check(string(k), job(wire.Job{Kind: k}), string(k)+" is not available here")
		}
		check("unknown", job(wire.Job{Kind: "shell"}), `does not know the command "shell"`)
		check("expired", job(wire.Job{Kind: wire.JobCollect, Run: wire.NewID(), Expires: time.Now().Add(-time.Second)}), "after its time")
		check("no run", job(wire.Job{Kind: wire.JobCollect, Run: "../x"}), "no run")
		check("devices", job(wire.Job{Kind: wire.JobCollect, Run: wire.NewID(), Devices: []string{"a", "b", "c", "d", "e", "f", "g"}}), "a, b, c, d, e and 2 more")
		for _, k := range r.up.eventKinds() {
			if k != wire.EventJobRefused {
				t.Errorf("event %s", k)
			}
		}
	})
}

func TestUnknownDevicesBesideKnownOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.apply(r.desired(1, 3))
		job, m := r.collect("edge-02", "gone", "edge-02")
		if job.State != wire.JobDone || job.Total != 2 || len(m.Documents) != 2 {
			t.Errorf("%+v", job)
		}
		if d := result(t, m, "gone"); d.OK || d.Kind != kindUnknownDevice || !result(t, m, "edge-02").OK {
			t.Errorf("%+v", m.Devices)
		}
	})
}

// The cloud delivers a job again: it is answered, not carried out again.
func TestJobIsCarriedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.apply(r.desired(1, 1))
		j := wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()}
		for range 3 {
			r.c.Job(j)
			time.Sleep(time.Minute)
			synctest.Wait()
			if s := r.up.lastJob(j.ID); s.State != wire.JobDone || s.Device != nil {
				t.Errorf("status %+v", s)
			}
		}
		if len(r.up.runs()) != 1 || len(r.up.docs) != 2 {
			t.Errorf("%d manifests, %d documents", len(r.up.runs()), len(r.up.docs))
		}
	})
}

// After a restart the job may overtake the configuration.
func TestJobWaitsForItsConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.c.Welcomed(wire.Welcome{Config: wire.ConfigRef{Version: 3}})
		j := wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()}
		r.c.Job(j)
		r.sleep(30 * time.Second)
		if s := r.up.lastJob(j.ID); s.State != "" {
			t.Fatalf("status %+v", s)
		}
		r.apply(r.desired(3, 1))
		r.sleep(time.Minute)
		if s := r.up.lastJob(j.ID); s.State != wire.JobDone {
			t.Fatalf("status %+v", s)
		}
		r.c.Welcomed(wire.Welcome{Config: wire.ConfigRef{Version: 4}})
		j.ID, j.Run = wire.NewID(), wire.NewID()
		r.c.Job(j)
		r.sleep(holdJob + time.Second)
		if s := r.up.lastJob(j.ID); s.State != wire.JobRefused || !strings.Contains(s.Error, "has not arrived") {
			t.Fatalf("status %+v", s)
		}
	})
}

func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.c.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.stop()
		ended, cancel := timeout(t, time.Second)
		defer cancel()
		if err := r.c.Alive(ended); err == nil {
			t.Error("alive after its end")
		}
	})
}
