package uplink

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"lwc/transport/wire"
)

// desiredFor is a configuration of n devices with the header it travels under.
func desiredFor(u *Uplink, version uint64, n int) (wire.Desired, wire.Header) {
	d := wire.Desired{V: wire.Version, Collector: collectorID, Boot: u.Boot(), Version: version}
	for i := range n {
		d.Devices = append(d.Devices, wire.Device{ID: fmt.Sprintf("edge-%d", i), Address: "10.0.0.1", HostKeys: []string{fmt.Sprintf("%x", noise(150))}})
	}
	return d, wire.Header{Collector: collectorID, Boot: u.Boot()}
}

func stateOf(t *testing.T, s *site, u *Uplink) wire.State {
	t.Helper()
	var st wire.State
	if err := wire.Verify(wire.KindState, wait(t, s.cloud.states, "a state"), u.cfg.Key.Public(), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestDesiredIsHandedOverOnce(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, s.cloud.hellos, "hello")
	d, h := desiredFor(u, 4, 2000) // several frames, and more than a signed message may have
	s.cloud.desired(d, h, s.config)
	if got := wait(t, rec.desired, "the configuration"); len(got.Devices) != 2000 || got.Version != 4 {
		t.Fatalf("version %d with %d devices", got.Version, len(got.Devices))
	}
	// Until it is applied, something else runs.
	if got := u.health().Config; got.Version != 0 {
		t.Errorf("the heartbeat says that %+v runs", got)
	}
	u.SendState(wire.State{Status: wire.ConfigApplied, Config: wire.ConfigRef{Version: 4, SHA256: wire.Digest([]byte("4"))}})
	stateOf(t, s, u)
	// The same version again is answered with its state, and not handed over.
	s.cloud.desired(d, h, s.config)
	if st := stateOf(t, s, u); st.Status != wire.ConfigApplied || st.Config.Version != 4 {
		t.Fatalf("the state is %+v", st)
	}
	fence(t, s, u)
	none(t, rec.desired, "the same version twice")
	// The next hello says what runs.
	p := wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(), Resync: "hello"}
	s.cloud.send(wire.KindNeed, p, s.config)
	if h := wait(t, s.cloud.hellos, "the second hello"); h.Config.Version != 4 || h.Config.SHA256 == "" {
		t.Fatalf("the hello says %+v", h.Config)
	}
}

// A configuration that could not be taken is not held, so that the cloud sends it
// again, and is handed over again then.
func TestFailedDesiredMayComeAgain(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, s.cloud.hellos, "hello")
	d, h := desiredFor(u, 4, 1)
	s.cloud.desired(d, h, s.config)
	wait(t, rec.desired, "the configuration")
	u.SendState(wire.State{Status: wire.ConfigFailed, Config: wire.ConfigRef{Version: 4}})
	if st := stateOf(t, s, u); st.Status != wire.ConfigFailed {
		t.Fatalf("the state is %+v", st)
	}
	s.cloud.send(wire.KindNeed, wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(), Resync: "hello"}, s.config)
	if h := wait(t, s.cloud.hellos, "the second hello"); h.Config.Version != 0 {
		t.Errorf("the hello says %+v", h.Config)
	}
	s.cloud.desired(d, h, s.config)
	if got := wait(t, rec.desired, "the configuration again"); got.Version != 4 {
		t.Errorf("version %d", got.Version)
	}
}

func TestDesiredIsRefused(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, s.cloud.hellos, "hello")
	good, h := desiredFor(u, 7, 1)
	s.cloud.desired(good, h, s.config)
	wait(t, rec.desired, "version 7")
	forger, _ := configSigner(t)
	elsewhere := h
	elsewhere.Boot = wire.NewID()
	other := h
	other.Collector = "another-collector"
	with := func(edit func(*wire.Desired)) wire.Desired {
		d := good
		d.Version = 8
		edit(&d)
		return d
	}
	for _, c := range []struct {
		name string
		d    wire.Desired
		h    wire.Header
		key  ed25519.PrivateKey
		want string
		do   string
	}{
		{"unsigned", with(func(*wire.Desired) {}), h, nil, "not signed", "enrol with a new token"},
		{"forged", with(func(*wire.Desired) {}), h, forger, "signature does not match", "enrol with a new token"},
		{"frame of another boot", with(func(*wire.Desired) {}), elsewhere, s.config, "another boot", "if it happens again"},
		{"frame of another collector", with(func(*wire.Desired) {}), other, s.config, "another collector", "if it happens again"},
		{"body of another boot", with(func(d *wire.Desired) { d.Boot = wire.NewID() }), h, s.config, "another boot", "if it happens again"},
		{"body of another collector", with(func(d *wire.Desired) { d.Collector = "another-collector" }), h, s.config, "another collector", "if it happens again"},
		{"older version", with(func(d *wire.Desired) { d.Version = 6 }), h, s.config, "not newer", "if it happens again"},
		{"version 0", with(func(d *wire.Desired) { d.Version = 0 }), h, s.config, "not newer", "if it happens again"},
		{"another protocol", with(func(d *wire.Desired) { d.V = 2 }), h, s.config, "protocol version 2", "update the older side"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fence(t, s, u)
			u.forgetReports()
			s.cloud.desired(c.d, c.h, c.key)
			if st := stateOf(t, s, u); st.Status != wire.ConfigRejected || !strings.Contains(st.Error, c.want) {
				t.Errorf("the state is %+v", st)
			}
			if e := wait(t, s.cloud.events, "the event"); e.Kind != wire.EventConfigRejected || !strings.Contains(e.Text, c.want) {
				t.Errorf("the event is %+v", e)
			} else if c.do != "" && !strings.Contains(e.Text, c.do) {
				t.Errorf("the event does not say what to do: %q", e.Text)
			}
			// A flood of them is not reported again.
			s.cloud.desired(c.d, c.h, c.key)
			fence(t, s, u)
			none(t, s.cloud.events, "a second event within a minute")
			none(t, rec.desired, "it was handed over")
		})
	}
	next, _ := desiredFor(u, 8, 1)
	s.cloud.desired(next, h, s.config)
	wait(t, rec.desired, "version 8, after all that")
}

// forgetReports lets the next refusal be reported.
func (u *Uplink) forgetReports() {
	u.inbox.reports.mu.Lock()
	defer u.inbox.reports.mu.Unlock()
	clear(u.inbox.reports.last)
}

func TestJobsAreHandedOverOnce(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, rec.welcomed, "welcome")
	job := wire.Job{V: wire.Version, ID: wire.NewID(), Collector: collectorID, Boot: u.Boot(), Kind: wire.JobCollect,
		Expires: time.Now().Add(time.Minute), Run: wire.NewID()}
	s.cloud.send(wire.KindJob, job, s.config)
	if got := wait(t, rec.jobs, "the job"); got.ID != job.ID || got.Run != job.Run {
		t.Fatalf("the job is %+v", got)
	}
	u.SendJobStatus(wire.JobStatus{ID: job.ID, State: wire.JobRunning, Done: 3, Total: 9})
	wait(t, s.cloud.jobs, "its status")
	s.cloud.send(wire.KindJob, job, s.config)
	var st wire.JobStatus
	if err := wire.Verify(wire.KindJob, wait(t, s.cloud.jobs, "its status again"), u.cfg.Key.Public(), &st); err != nil || st.Done != 3 {
		t.Fatalf("the status is %+v: %v", st, err)
	}
	fence(t, s, u)
	none(t, rec.jobs, "a job twice")
}

func TestJobsAreRefused(t *testing.T) {
	s := newSite(t)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, rec.welcomed, "welcome")
	forger, _ := configSigner(t)
	for _, c := range []struct {
		name   string
		edit   func(*wire.Job)
		key    ed25519.PrivateKey
		want   string
		status bool
	}{
		{"forged", func(*wire.Job) {}, forger, "signature", false},
		{"another boot", func(j *wire.Job) { j.Boot = wire.NewID() }, s.config, "another boot", false},
		{"another collector", func(j *wire.Job) { j.Collector = "another-collector" }, s.config, "another collector", false},
		{"no id", func(j *wire.Job) { j.ID = "x" }, s.config, "not a ULID", false},
		{"expired", func(j *wire.Job) { j.Expires = time.Now().Add(-time.Minute) }, s.config, "expired", true},
		{"unknown command", func(j *wire.Job) { j.Kind = "shell" }, s.config, "not known", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fence(t, s, u)
			u.forgetReports()
			job := wire.Job{V: wire.Version, ID: wire.NewID(), Collector: collectorID, Boot: u.Boot(), Kind: wire.JobCollect, Expires: time.Now().Add(time.Minute)}
			c.edit(&job)
			s.cloud.send(wire.KindJob, job, c.key)
			if e := wait(t, s.cloud.events, "the event"); e.Kind != wire.EventJobRefused || !strings.Contains(e.Text, c.want) {
				t.Errorf("the event is %+v", e)
			}
			fence(t, s, u)
			none(t, rec.jobs, "it was handed over")
			if !c.status {
				none(t, s.cloud.jobs, "it was answered with a status")
				return
			}
			var st wire.JobStatus
			if err := wire.Verify(wire.KindJob, wait(t, s.cloud.jobs, "the status"), u.cfg.Key.Public(), &st); err != nil || st.State != wire.JobRefused || st.ID != job.ID {
				t.Errorf("the status is %+v: %v", st, err)
			}
		})
	}
}

func TestServerTimeJudgesExpiry(t *testing.T) {
	u := newUplink(t, identityOf(newAuthority(t, "ca"), nil), newRecorder())
	u.offset.Store(int64(-48 * time.Hour)) // this box's clock is two days ahead
	job := wire.Job{Kind: wire.JobProbe, Expires: time.Now().Add(-47 * time.Hour)}
	if err := u.inbox.usable(job); err != nil {
		t.Fatalf("a job that has not expired for the cloud: %v", err)
	}
}

// FuzzDispatch feeds messages of the broker to the receiver. Nothing that is not
// signed by the pinned key may reach the handler.
func FuzzDispatch(f *testing.F) {
	_, pub := configSigner(f)
	id := identityOf(newAuthority(f, "ca"), pub, "127.0.0.1:1")
	forger, _ := configSigner(f)
	boot := wire.NewID()
	for _, k := range []wire.Kind{wire.KindWelcome, wire.KindJob, wire.KindReceipt, wire.KindNeed} {
		b, err := wire.Sign(k, wire.Job{V: 1, ID: wire.NewID(), Collector: collectorID, Boot: boot}, forger)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(k), b)
	}
	frames, err := wire.Split(wire.Header{ID: wire.NewID(), Type: wire.KindDesired, Collector: collectorID, Boot: boot},
		[]byte(`{"v":1}`), wire.Packing{Key: forger})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("desired", frames[0])
	f.Add("desired", bytes.Replace(frames[0], []byte(boot), []byte(wire.NewID()), 1))
	f.Add("no/such/kind", []byte("{}"))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		rec := newRecorder()
		u := New(Config{Identity: id, Boot: boot, Handler: rec})
		s := &session{u: u}
		u.inbox.dispatch(s, message{u.topics.Name(collectorID, wire.Down, wire.Kind(kind)), payload})
		if len(rec.welcomed)+len(rec.desired)+len(rec.jobs) > 0 || u.lastWelcome() != nil || u.accepted.Version > 0 {
			t.Fatal("a message that nobody signed was acted on")
		}
	})
}
