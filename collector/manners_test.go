package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

func versionReply(release string) string {
	return `<software-information xmlns="http://xml.juniper.net/junos/` + release + `/junos"><host-name>r</host-name>` +
		`<product-model>mx204</product-model><junos-version>` + release + `</junos-version></software-information>`
}

const rpcError = `<rpc-error><error-type>protocol</error-type><error-tag>operation-failed</error-tag><error-severity>error</error-severity><error-message>%s</error-message></rpc-error>`

// A command that a device does not know is asked once in a release and a boot,
// and named in each manifest.
func TestUnsupportedIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := "22.4R3"
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-system-uptime-information" {
				return fmt.Sprintf(rpcError, "syntax error"), false
			}
			return versionReply(release), false
		}}
		d := r.desired(1, 2)
		r.apply(d)
		const question = "edge-01 get-system-uptime-information"
		asked := func(want bool, when string, devices ...string) wire.Manifest {
			t.Helper()
			r.site.questions()
			_, m := r.collect(devices...)
			if got := slices.Contains(r.site.questions(), question); got != want {
				t.Errorf("%s: asked %v, want %v", when, got, want)
			}
			return m
		}
		m := asked(true, "first")
		if es := entriesOf(m, "edge-01"); es[1].Outcome != "unsupported" || es[1].Status != wire.EntryStored {
			t.Errorf("first: %+v", es)
		}
		m = asked(false, "second")
		es := entriesOf(m, "edge-01")
		i := slices.IndexFunc(es, func(e wire.ManifestEntry) bool { return e.Item == "show-system-uptime" })
		if e := es[i]; len(es) != 2 || e.Status != wire.EntrySkipped || !strings.Contains(e.Reason, "release 22.4R3") || e.ID != "" {
			t.Errorf("second: %+v", es)
		}
		if !result(t, m, "edge-01").OK {
			t.Errorf("second: %+v", m.Devices)
		}
		asked(true, "the device alone", "edge-01")
		asked(false, "after that")
		release = "23.4R2"
		asked(true, "another release")
		asked(false, "again")
		d.Version, d.Devices[0].Address = 2, "192.0.2.200"
		r.apply(d)
		asked(true, "another address")
	})
}

// A device of which nothing is known to work is asked for its release each time,
// since that decides over the rest.
func TestAllUnsupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for _, id := range []string{"edge-01", "edge-02"} {
			r.site.behave[id] = behaviour{reply: func(string, int) (string, bool) {
				return fmt.Sprintf(rpcError, "syntax error"), false
			}}
		}
		r.apply(r.desired(1, 2))
		r.collect()
		r.site.questions()
		_, m := r.collect()
		if q := r.site.questions(); len(q) != 2 || !strings.HasSuffix(q[0], "get-software-information") || q[0] == q[1] || !result(t, m, "edge-01").OK || len(m.Documents) != 4 {
			t.Errorf("asked %v: %+v", q, m)
		}
	})
}

// What was not ready is asked once more, at the end of the session; the document
// that is kept is the better one.
func TestRetryLater(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			n := 0
			r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
				if rpc == "get-software-information" {
					if n++; n == 1 || !recovers {
						return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), false
					}
				}
				return "<x>1</x>", false
			}}
			r.apply(r.desired(1, 1))
			_, m := r.collect()
			e := entriesOf(m, "edge-01")
			want := map[bool]string{true: "ok", false: "retry-later"}[recovers]
			if n != 2 || len(e) != 2 || e[1].Item != "show-version" || e[1].Outcome != want || e[1].Status != wire.EntryStored {
				t.Errorf("asked %d times: %+v", n, e)
			}
			if (e[1].Reason == "") != recovers {
				t.Errorf("reason %q", e[1].Reason)
			}
			if used := r.c.Status().Counters["memory_bytes"]; used != 0 {
				t.Errorf("%d bytes still in use", used)
			}
		})
	}
}

// The first answer of a device that was not ready is not lost when the session
// ends before the second.
func TestRetryLaterThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		n := 0
		r.site.behave["edge-01"] = behaviour{dial: func(attempt int) error {
			if attempt > 0 {
				return &dialError{phase: "connect", kind: "refused", hop: "edge-01"}
			}
			return nil
		}, reply: func(rpc string, _ int) (string, bool) {
			n++
			return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), n == 3
		}}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if e := entriesOf(m, "edge-01"); len(e) != 2 || e[0].Outcome != "partial" && e[0].Outcome != "retry-later" || e[1].Outcome != "retry-later" {
			t.Errorf("%+v", e)
		}
		if d := result(t, m, "edge-01"); d.OK || d.Kind != "refused" {
			t.Errorf("%+v", d)
		}
		if used := r.c.Status().Counters["memory_bytes"]; used != 0 {
			t.Errorf("%d bytes still in use", used)
		}
	})
}

// A device whose every document is an error is not collected.
func TestNothingUsable(t *testing.T) {
	for body, kind := range map[string]string{
		"<a><b></a>": kindMalformed,
		fmt.Sprintf(rpcError, "permission denied"): kindDenied,
		fmt.Sprintf(rpcError, "disk on fire"):      kindRPCError,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = behaviour{reply: func(string, int) (string, bool) { return body, false }}
			r.apply(r.desired(1, 2))
			_, m := r.collect()
			if d := result(t, m, "edge-01"); d.OK || d.Kind != kind || d.Phase != phaseCollect || d.Error == "" || d.Documents != 2 {
				t.Errorf("%s: %+v", kind, d)
			}
			for _, e := range entriesOf(m, "edge-01") {
				if e.Status != wire.EntryStored || e.Reason == "" {
					t.Errorf("%s: %+v", kind, e)
				}
			}
			if !result(t, m, "edge-02").OK {
				t.Errorf("the good one: %+v", m.Devices)
			}
		})
	}
}

func load(idle int) string {
	return fmt.Sprintf(`<route-engine-information xmlns="http://xml.juniper.net/junos/22.4R3/junos-chassis"><route-engine><slot>0</slot>`+
		`<cpu-idle>%d</cpu-idle></route-engine></route-engine-information>`, idle)
}

// Large items are left out on a busy routing engine, whether the profile asks for
// its load or not.
func TestLoadGate(t *testing.T) {
	const large = "show-chassis-hardware-extensive"
	for _, c := range []struct {
		idle, limit int
		profile     []string
		skipped     bool
	}{
		{5, 0, []string{"show-version", large, "show-system-uptime", itemLoad}, true},
		{5, 0, []string{"show-version", large, "show-system-uptime"}, true},
		{5, 96, []string{"show-version", large, "show-system-uptime"}, false},
		{5, 100, []string{"show-version", large, "show-system-uptime"}, false},
		{60, 0, []string{"show-version", large, itemLoad}, false},
		{60, 30, []string{large}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
				if rpc == "get-route-engine-information" {
					return load(c.idle), false
				}
				return "<x>1</x>", false
			}}
			d := r.desired(1, 1)
			d.Profiles["two"], d.Limits.MaxCPU = c.profile, c.limit
			r.apply(d)
			_, m := r.collect()
			es := entriesOf(m, "edge-01")
			i := slices.IndexFunc(es, func(e wire.ManifestEntry) bool { return e.Item == large })
			if len(es) != len(c.profile) || (es[i].Status == wire.EntrySkipped) != c.skipped {
				t.Fatalf("%+v: %+v", c, es)
			}
			if c.skipped && !strings.Contains(es[i].Reason, fmt.Sprintf("at %d %% CPU", 100-c.idle)) {
				t.Errorf("reason %q", es[i].Reason)
			}
			if d := result(t, m, "edge-01"); !d.OK {
				t.Errorf("%+v", d)
			}
		})
	}
}

// The log-ins of one credential keep their distance, and those of another do not
// wait for them.
func TestLoginsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 40)
		d.Limits = wire.CollectLimits{LoginsPerSecond: 2, Concurrency: 4}
		d.Credentials["own"] = r.seal("own", "1", "right")
		d.Devices[39].Credential = "own"
		r.apply(d)
		began := time.Now()
		r.collect()
		var at []time.Duration
		for _, dial := range r.site.log() {
			if dial.device != "edge-40" {
				at = append(at, dial.at.Sub(began))
			} else if dial.at.Sub(began) > time.Second {
				t.Errorf("the other credential waited %v", dial.at.Sub(began))
			}
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 499*time.Millisecond || gap > time.Second {
				t.Errorf("log-in %d came %v after the one before", i, gap)
			}
		}
		if len(at) != 39 {
			t.Errorf("%d log-ins", len(at))
		}
	})
}

func TestPaceIsATokenBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.setRate(50)
		began := time.Now()
		time.Sleep(time.Minute) // a line that stood still
		n := 0
		for time.Since(began) < time.Minute+10*time.Second {
			ticket, err := p.enter(t.Context(), "lab")
			if err != nil {
				t.Fatal(err)
			}
			ticket.use()
			ticket.leave()
			n++
		}
		if n < 499 || n > 506 {
			t.Errorf("%d log-ins in ten seconds at 50 a second", n)
		}
	})
}

// A bastion at its limit is left alone for a minute, by all devices behind it.
func TestThrottledBastionIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 12)
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}, MaxSessions: 2}}
		began := time.Now()
		for i := range 10 {
			d.Devices[i].Bastions = []string{"jump"}
			r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error {
				if time.Since(began) < 30*time.Second {
					return &dialError{phase: "key-exchange", kind: "bastion-throttled", hop: "jump"}
				}
				return nil
			}}
		}
		r.apply(d)
		_, m := r.collect()
		early := 0
		for _, dial := range r.site.log() {
			if at := dial.at.Sub(began); len(dial.target.Via) > 0 && at < time.Minute {
				early++
			}
		}
		if early > 2 {
			t.Errorf("%d dials through a bastion that said no", early)
		}
		for _, d := range m.Devices {
			if !d.OK {
				t.Errorf("%+v", d)
			}
		}
	})
}

// After a throttle half as many go through a bastion, and all again when it has
// borne that for as long as it takes.
func TestBastionRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBastions()
		f := &fleet{devices: map[string]*device{"edge-01": {via: []hop{{id: "jump", Bastion: wire.Bastion{MaxSessions: 8}}}}}}
		limit := func() int64 { return b.on(f, "edge-01")[0].use.limit }
		if got := limit(); got != 8 {
			t.Fatalf("at first %d", got)
		}
		b.throttled("jump")
		b.throttled("jump") // of the same moment
		if got := limit(); got != 4 {
			t.Errorf("after a throttle %d", got)
		}
		b.passed("jump")
		time.Sleep(2 * time.Minute)
		b.throttled("jump")
		if got := limit(); got != 2 {
			t.Errorf("after the second %d", got)
		}
		for _, want := range []int64{4, 8, 8} {
			time.Sleep(3 * time.Minute)
			b.passed("jump")
			b.passed("jump")
			if got := limit(); got != want {
				t.Errorf("recovering: %d, want %d", got, want)
			}
		}
	})
}

// What refuses at a bastion is a refusal like any other.
func TestRefusalsOfBastions(t *testing.T) {
	for _, kind := range []string{"bastion-auth", "auth-locked-out", "bastion-auth-locked-out"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			hop := "edge-01"
			if strings.HasPrefix(kind, "bastion-") {
				hop = "jump"
			}
			d := r.desired(1, 2)
			d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
			for i := range 2 {
				d.Devices[i].Bastions = []string{"jump"}
				r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error { return &dialError{phase: "auth", kind: kind, hop: hop} }}
			}
			r.apply(d)
			_, m := r.collect()
			kinds := []string{m.Devices[0].Kind, m.Devices[1].Kind}
			slices.Sort(kinds)
			if len(r.site.log()) != 1 || !slices.Equal(kinds, slices.Sorted(slices.Values([]string{kind, kindNotTried}))) {
				t.Errorf("%d dials, %v", len(r.site.log()), kinds)
			}
		})
	}
}

// A device that stands still, or drips, lends its slot: the others are done in
// the time that they take without it.
func TestStalledDevicesLendTheirSlots(t *testing.T) {
	took := func(stalled int) time.Duration {
		var last time.Duration
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Session.StallTimeout = time.Minute })
			d := r.desired(1, 200+stalled)
			d.Limits.Concurrency = 8
			for i := range stalled { // not the first: they wait for the proof of the credential
				r.site.behave[d.Devices[50+i].ID] = behaviour{reply: func(string, int) (string, bool) {
					time.Sleep(50 * time.Second)
					return "<x>1</x>", false
				}}
			}
			r.apply(d)
			began := time.Now()
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			for last == 0 && time.Since(began) < time.Hour {
				r.sleep(100 * time.Millisecond)
				if r.c.Status().Counters["devices_ok"] >= 200 {
					last = time.Since(began)
				}
			}
			if n := r.c.Status().Counters["sessions"]; n > 16 {
				t.Errorf("%d sessions at once", n)
			}
			r.sleep(10 * time.Minute)
			if m := r.up.runs(); len(m) != 1 || len(m[0].Documents) != 400+2*stalled {
				t.Errorf("%d runs", len(m))
			}
			if c := r.c.Status().Counters; c["sessions"] != 0 || c["sessions_parked"] != 0 {
				t.Errorf("counters %v", c)
			}
		})
		return last
	}
	without, with := took(0), took(7)
	if with > without+parkAfter+time.Second {
		t.Errorf("took %v with stalled devices, %v without", with, without)
	}
}

func TestParkingIsBounded(t *testing.T) {
	b := newBudget(2)
	var all []*lease
	for range 2 {
		l, err := b.acquire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
		for range 2 { // the second time changes nothing
			if !l.park() {
				t.Fatal("not parked")
			}
		}
	}
	third, err := b.acquire(t.Context(), 1)
	if err != nil || third.park() {
		t.Fatalf("a third is parked: %v", err)
	}
	all[0].resume()
	all[1].resume()
	if used, _ := b.inUse(); used != 3 || b.lent() != 0 {
		t.Errorf("%d in use, %d lent", used, b.lent())
	}
	for _, l := range append(all, third) {
		l.release()
	}
	if used, _ := b.inUse(); used != 0 {
		t.Errorf("%d in use", used)
	}
}

// Weak algorithms are told of once.
func TestWeakAlgorithmsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		access := &wire.Access{Mode: "netconf", Port: 830, Hops: []wire.Hop{{Name: "edge-01", KeyExchange: "diffie-hellman-group1-sha1",
			HostKey: "ssh-rsa", Cipher: "aes128-cbc", MAC: "hmac-sha2-256"}}}
		r.site.behave["edge-01"] = behaviour{access: access}
		r.apply(r.desired(1, 1))
		r.collect()
		_, m := r.collect()
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventLegacy}) {
			t.Errorf("events %v", kinds)
		}
		if text := r.up.events[0].Text; !strings.Contains(text, "diffie-hellman-group1-sha1, ssh-rsa, aes128-cbc)") {
			t.Errorf("event %q", text)
		}
		if d := result(t, m, "edge-01"); d.Access == nil || d.Access.Port != 830 || d.Access.Mode != "netconf" {
			t.Errorf("%+v", d)
		}
	})
}

// Where there is no NETCONF, and the operator allows it, the commands are asked.
func TestCommandLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{access: &wire.Access{Mode: ModeCLI, Port: 22}, commands: func(command string) string {
			return "<rpc-reply xmlns:junos=\"http://xml.juniper.net/junos/18.1R1/junos\"><output>" + strings.Fields(command)[1] + "</output><x>1</x></rpc-reply>"
		}}
		d := r.desired(1, 1)
		d.AllowCLI = true
		r.apply(d)
		_, m := r.collect()
		if d := result(t, m, "edge-01"); !d.OK || d.Documents != 2 || d.Access.Mode != ModeCLI {
			t.Errorf("%+v", d)
		}
		if !r.site.log()[0].target.AllowCLI {
			t.Error("the dialer was not told")
		}
	})
}
