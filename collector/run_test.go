package collector

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

func TestCollectOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.apply(r.desired(1, 5))
		job, m := r.collect()
		if job.State != wire.JobDone || job.Done != 5 || job.Total != 5 {
			t.Fatalf("job %+v", job)
		}
		if len(m.Devices) != 5 || len(m.Documents) != 10 || m.Job != job.ID || m.Collector != testCollector {
			t.Fatalf("manifest %+v", m)
		}
		for _, e := range m.Documents {
			body := r.up.bodies[e.ID]
			if e.Status != wire.EntryStored || e.SHA256 != wire.Digest(body) || e.Size != int64(len(body)) || e.Sent == 0 {
				t.Errorf("entry %+v of %q", e, body)
			}
			if want := replyOf("1", "<output>"+e.Device+" get-software-information</output>"); e.Item == "show-version" && string(body) != want {
				t.Errorf("document %q, want %q", body, want)
			}
		}
		for _, d := range m.Devices {
			if !d.OK || d.Documents != 2 || d.Bytes == 0 || d.Seconds < 0.4 {
				t.Errorf("result %+v", d)
			}
		}
		states := r.up.states
		if len(states) != 3 || states[0].Status != wire.ConfigReceived || states[1].Status != wire.ConfigApplying || states[2].Items != nil {
			t.Errorf("states %+v", states)
		}
		if got := r.up.jobs[0].State; got != wire.JobAccepted {
			t.Errorf("first job status %v", got)
		}
		if s := r.c.Status(); s.LastRun != m.Run || s.Counters["documents"] != 10 || s.Counters["memory_bytes"] != 0 || s.Running != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestManifestsAreChained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.c.Welcomed(wire.Welcome{LastManifest: "of-the-boot-before"})
		r.apply(r.desired(1, 1))
		_, first := r.collect()
		r.c.Welcomed(wire.Welcome{LastManifest: "not-caught-up"})
		r.up.manifest = wire.Receipt{Status: wire.Rejected, Code: "bad"}
		job, second := r.collect()
		r.up.manifest = wire.Receipt{}
		_, third := r.collect()
		if job.State != wire.JobFailed || !strings.Contains(job.Error, "bad") {
			t.Errorf("job of the refused manifest: %+v", job)
		}
		if first.Run == second.Run || second.Run == third.Run {
			t.Fatal("one run twice")
		}
		var got []string
		for _, m := range r.up.sections() {
			got = append(got, m.Previous)
		}
		// A refused one is sent once more, as the cloud last said that the chain ends.
		if !slices.Equal(got, []string{"of-the-boot-before", "hash-1", "not-caught-up", "hash-1"}) {
			t.Errorf("chain %v", got)
		}
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventManifest}) {
			t.Errorf("events %v", kinds)
		}
	})
}

func TestFailuresAreNamedAndAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{dial: func(int) error { return &dialError{phase: "connect", kind: "connect", hop: "edge-01"} }}
		r.site.behave["edge-02"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			return "<x>1</x>", rpc == "get-system-uptime-information" // dies in the second reply, each time
		}}
		r.up.code = map[string]wire.Receipt{}
		r.apply(r.desired(1, 4))
		_, m := r.collect()
		if d := result(t, m, "edge-01"); d.OK || d.Phase != "connect" || d.Error != "Advice for connect." {
			t.Errorf("edge-01: %+v", d)
		}
		for _, e := range entriesOf(m, "edge-01") {
			if e.Status != wire.EntryFailed || !strings.Contains(e.Reason, "Advice for connect") || e.ID != "" {
				t.Errorf("edge-01: %+v", e)
			}
		}
		d, es := result(t, m, "edge-02"), entriesOf(m, "edge-02")
		if d.OK || d.Kind != "closed" || d.Documents != 2 {
			t.Errorf("edge-02: %+v", d)
		}
		if len(es) != 2 || es[0].Outcome != "ok" || es[1].Outcome != "partial" || es[1].Status != wire.EntryStored {
			t.Errorf("edge-02: %+v", es)
		}
		for _, id := range []string{"edge-03", "edge-04"} {
			if d := result(t, m, id); !d.OK {
				t.Errorf("%s: %+v", id, d)
			}
		}
		if n := r.c.Status().Counters["reconnects"]; n != 1 {
			t.Errorf("%d reconnects", n)
		}
	})
}

// The session dies in the second reply, once: it is resumed there, and nothing
// is collected twice.
func TestReconnectResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, attempt int) (string, bool) {
			return "<x/>", attempt == 0 && rpc == "get-system-uptime-information"
		}}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if d := result(t, m, "edge-01"); !d.OK || d.Documents != 2 {
			t.Errorf("%+v", d)
		}
		if len(r.up.docs) != 2 || len(r.site.log()) != 2 {
			t.Errorf("%d documents, %d dials", len(r.up.docs), len(r.site.log()))
		}
	})
}

func TestThrottledDeviceIsTriedOnceMoreAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{dial: func(int) error { return &dialError{phase: "connect", kind: "throttled", hop: "edge-01"} }}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if d := result(t, m, "edge-01"); d.OK || d.Kind != "throttled" {
			t.Errorf("%+v", d)
		}
		if len(r.site.log()) != 2 || r.site.log()[1].at.Sub(r.site.log()[0].at) < time.Minute {
			t.Errorf("dials %+v", r.site.log())
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 40)
		d.Limits.Concurrency = 7
		r.apply(d)
		_, m := r.collect()
		if len(m.Documents) != 80 || r.site.peak != 7 {
			t.Errorf("%d documents, at most %d sessions", len(m.Documents), r.site.peak)
		}
	})
}

// A bastion bounds its sessions, by itself or by the limits of all; the devices
// that wait for it keep no slot from the others.
func TestBastionSessionsAreBounded(t *testing.T) {
	for _, c := range []struct{ own, all, most int }{{2, 0, 2}, {0, 5, 5}, {3, 5, 3}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			d := r.desired(1, 24)
			d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}, MaxSessions: c.own}}
			for i := range 12 {
				d.Devices[i].Bastions = []string{"jump"}
			}
			d.Limits.PerBastion = c.all
			r.apply(d)
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			peak := 0
			for range 120 {
				r.sleep(10 * time.Millisecond)
				peak = max(peak, r.site.open("edge-0", "edge-10", "edge-11", "edge-12"))
			}
			r.sleep(time.Minute)
			if m := r.up.runs(); len(m) != 1 || len(m[0].Documents) != 48 || peak == 0 || peak > c.most {
				t.Errorf("%d runs, %d sessions through the bastion, want at most %d", len(m), peak, c.most)
			}
			if r.site.peak <= c.most {
				t.Errorf("only %d sessions in all: the bastion held up the others", r.site.peak)
			}
			if got := r.site.log()[0].target.Via; len(got) == 1 && got[0].MaxSessions != c.most {
				t.Errorf("the dialer is told of %d", got[0].MaxSessions)
			}
		})
	}
}

// Two runs want the same device: the peer panics if they overlap.
func TestRunsDoNotOverlapOnADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.apply(r.desired(1, 2))
		for range 3 {
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		}
		_, m := r.collect()
		r.sleep(time.Minute)
		if len(r.up.runs()) != 4 || len(m.Documents) != 4 {
			t.Errorf("%d manifests, %d documents", len(r.up.runs()), len(m.Documents))
		}
	})
}

func TestDeviceTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.DeviceTimeout = 30 * time.Second })
		r.site.latency = 20 * time.Second
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if d := result(t, m, "edge-01"); d.OK || d.Kind != kindDeadline || d.Documents != 1 || d.Seconds > 31 {
			t.Errorf("%+v", d)
		}
	})
}

// A device that answers nothing is named by that, and not by the end of the
// session that follows from it; so is each item.
func TestNoAnswerToAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Session.StallTimeout = 10 * time.Second })
		r.site.behave["edge-01"] = behaviour{reply: func(string, int) (string, bool) {
			time.Sleep(time.Hour)
			return "<x/>", false
		}}
		want := r.desired(1, 1)
		want.Devices[0].Profile = "full"
		r.apply(want)
		_, m := r.collect()
		if d := result(t, m, "edge-01"); d.OK || d.Kind != "rpc-timeout" || !strings.HasPrefix(d.Error, "show-") {
			t.Errorf("%+v", d)
		}
		all, _ := junos.Profile("full")
		es := entriesOf(m, "edge-01")
		if len(es) != len(all) {
			t.Errorf("%d entries", len(es))
		}
		for _, e := range es {
			if e.Status != wire.EntryFailed || !strings.HasPrefix(e.Reason, "rpc-timeout: ") {
				t.Errorf("%+v", e)
			}
		}
	})
}

// An item that does not answer is given up; the others are collected.
func TestItemTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Session.StallTimeout = 10 * time.Second })
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-software-information" {
				time.Sleep(15 * time.Second)
			}
			return "<x/>", false
		}}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		d, es := result(t, m, "edge-01"), entriesOf(m, "edge-01")
		if d.OK || d.Kind != "rpc-timeout" || !strings.HasPrefix(d.Error, "show-version: ") {
			t.Errorf("%+v", d)
		}
		if len(es) != 2 || es[0].Status != wire.EntryFailed || es[1].Status != wire.EntryStored {
			t.Errorf("%+v", es)
		}
		if used := r.c.Status().Counters["memory_bytes"]; used != 0 {
			t.Errorf("%d bytes still in use", used)
		}
	})
}

func TestDocumentTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-software-information" {
				return "<x>" + strings.Repeat("y", 300<<10) + "</x>", false
			}
			return "<x/>", false
		}}
		d := r.desired(1, 1)
		d.Limits.MaxDocumentBytes = 100 << 10
		r.apply(d)
		_, m := r.collect()
		es := entriesOf(m, "edge-01")
		if len(es) != 2 || es[0].Status != wire.EntryFailed || !strings.Contains(es[0].Reason, "too-large") || es[1].Status != wire.EntryStored {
			t.Errorf("%+v", es)
		}
		if used := r.c.Status().Counters["memory_bytes"]; used != 0 {
			t.Errorf("%d bytes still in use", used)
		}
	})
}

func TestRejectedDocumentFailsItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.code = map[string]wire.Receipt{"show-version": {Status: wire.Rejected, Code: "too-large"},
			"show-system-uptime": {Status: wire.Duplicate}}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		es := entriesOf(m, "edge-01")
		if es[0].Status != wire.EntryRejected || !strings.Contains(es[0].Reason, "too-large") || es[1].Status != wire.EntryDuplicate {
			t.Errorf("%+v", es)
		}
		if d := result(t, m, "edge-01"); d.OK || d.Phase != phaseStore || !strings.Contains(d.Error, "show-version: the cloud refused it") {
			t.Errorf("%+v", d)
		}
	})
}

// Stopping in mid-run ends everything at once; the test's cleanup and the
// bubble check that no goroutine is left.
func TestStopInMidRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.latency = time.Minute
		r.apply(r.desired(1, 50))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(30 * time.Second)
		f := r.c.current()
		began := time.Now()
		r.stop()
		if slices.ContainsFunc(r.c.maskKey, func(b byte) bool { return b != 0 }) {
			t.Error("the key of the pseudonyms is not wiped")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if len(r.up.runs()) != 0 {
			t.Errorf("a run that was cut off has a manifest")
		}
		if !wiped(f) {
			t.Error("the credential is not wiped")
		}
	})
}
