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
