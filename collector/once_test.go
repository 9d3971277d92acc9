package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

func count(all []string, one string) int {
	return len(slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s != one }))
}

// An account with too many rights is told of once a boot, by whoever sees it
// first, and again when it is another account.
func TestOverPrivilegedIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: answering(authorization("super-user", "all"))}
		d := r.desired(1, 1)
		r.apply(d)
		told := func(want int, when string) {
			t.Helper()
			if n := count(r.up.eventKinds(), wire.EventOverPrivileged); n != want {
				t.Errorf("%s: told %d times", when, n)
			}
		}
		for range 2 {
			if p, _ := r.probe(); p["edge-01"].Class != "super-user" {
				t.Errorf("%+v", p)
			}
		}
		told(1, "after two probes")
		r.collect()
		told(1, "after a collection")
		d.Version, d.Credentials = 2, map[string]wire.Credential{"lab": r.seal("lab", "2", "right")}
		r.apply(d)
		r.collect()
		r.probe()
		told(2, "with another credential")
	})
}

// Who does not tell its permissions costs the time-out once.
func TestSilentOnPermissionsIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Session.StallTimeout = 10 * time.Second })
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-authorization-information" {
				time.Sleep(time.Minute)
			}
			return versionReply("22.4R3"), false
		}}
		r.apply(r.desired(1, 1))
		for range 3 {
			if _, m := r.collect(); !m.Devices[0].OK {
				t.Errorf("%+v", m.Devices)
			}
			r.sleep(time.Minute)
		}
		if n := count(r.site.questions(), "edge-01 get-authorization-information"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// What is wrong with a bastion is told once, not once for each device behind it.
func TestBastionIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 10)
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
		weak := wire.Hop{KeyExchange: "diffie-hellman-group1-sha1"}
		for i, dev := range d.Devices {
			d.Devices[i].Bastions = []string{"jump"}
			jump, own := weak, wire.Hop{Name: dev.ID}
			jump.Name = "jump"
			if i == 0 {
				own.Cipher = "aes128-cbc"
			}
			r.site.behave[dev.ID] = behaviour{access: &wire.Access{Mode: "netconf", Hops: []wire.Hop{jump, own}}}
			if i >= 5 {
				r.site.behave[dev.ID] = behaviour{dial: func(int) error {
					return &dialError{phase: "key-exchange", kind: "bastion-host-key-changed", hop: "jump"}
				}}
			}
		}
		r.apply(d)
		for range 2 {
			r.collect()
		}
		kinds := r.up.eventKinds()
		if count(kinds, wire.EventLegacy) != 2 || count(kinds, wire.EventHostKeyChanged) != 2 { // the latter once a run
			t.Errorf("events %v", kinds)
		}
	})
}

// While the second bastion of a chain is left alone, the first serves others.
func TestShutBastionHoldsNoPlaceOnTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 8)
		hop := wire.Bastion{Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}, MaxSessions: 2}
		d.Bastions = map[string]wire.Bastion{"a-first": hop, "b-second": hop}
		for i := range d.Devices {
			d.Devices[i].Bastions = []string{"a-first"}
			if i < 4 {
				d.Devices[i].Bastions = []string{"a-first", "b-second"}
				r.site.behave[d.Devices[i].ID] = behaviour{dial: func(attempt int) error {
					if attempt == 0 {
						return &dialError{phase: "key-exchange", kind: "bastion-throttled", hop: "b-second"}
					}
					return nil
				}}
			}
		}
		r.apply(d)
		began := time.Now()
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(20 * time.Second)
		if n := r.c.Status().Counters["devices_ok"]; n != 4 {
			t.Errorf("%d of the 4 devices behind the first bastion alone are done after %v", n, time.Since(began))
		}
		r.sleep(10 * time.Minute)
		if m := r.up.runs(); len(m) != 1 || slices.ContainsFunc(m[0].Devices, func(d wire.DeviceResult) bool { return !d.OK }) {
			t.Errorf("%+v", m)
		}
	})
}

// Limits that would stop or burst a collector are not taken.
func TestLimitsAreChecked(t *testing.T) {
	for path, l := range map[string]wire.CollectLimits{
		"limits/concurrency":        {Concurrency: maxConcurrency + 1},
		"limits/max_document_bytes": {MaxDocumentBytes: maxDocument + 1},
		"limits/logins_per_second":  {LoginsPerSecond: 1e-300},
		"limits/per_bastion":        {PerBastion: -1},
		"limits/max_cpu":            {MaxCPU: 101},
	} {
		f, a := accept(wire.Desired{Limits: l}, wire.ConfigRef{}, wire.BootKey{}, newMaskKey())
		if len(a.faults.items) != 1 || a.faults.items[0].Path != path || f.limits != (wire.CollectLimits{}) {
			t.Errorf("%s: %+v, %+v", path, a.faults.items, f.limits)
		}
	}
}

// Masking holds on every way that a document can go.
func TestMaskingOnEveryWay(t *testing.T) {
	later := fmt.Sprintf(rpcError, "the chassis-control subsystem is not running") + "<output>jdoe</output>"
	for name, b := range map[string]behaviour{
		"whole":     {reply: func(string, int) (string, bool) { return secretReply, false }},
		"cut":       {reply: func(string, int) (string, bool) { return secretReply + strings.Repeat("<y/>", 2000), true }},
		"malformed": {reply: func(string, int) (string, bool) { return secretReply + "<a><b></a>", false }},
		"later": {reply: func(string, int) (string, bool) {
			return strings.Replace(later, "jdoe", "$9$abcdefghijklmnopABCD", 1), false
		}},
		"command line": {access: &wire.Access{Mode: ModeCLI}, commands: func(string) string {
			return "<rpc-reply>" + secretReply + "</rpc-reply>"
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = b
			d := r.desired(1, 1)
			d.AllowCLI, d.Profiles["two"] = true, []string{"show-system-users", "show-version"}
			r.apply(d)
			r.collect()
			r.up.mu.Lock()
			defer r.up.mu.Unlock()
			if len(r.up.docs) == 0 {
				t.Errorf("%s: no document", name)
			}
			for _, h := range r.up.docs {
				if body := string(r.up.bodies[h.ID]); strings.Contains(body, "jdoe") || strings.Contains(body, "$6$") || strings.Contains(body, "$9$") ||
					!slices.Contains(h.Flags, junos.FlagMasked) {
					t.Errorf("%s: %v %s", name, h.Flags, body[:min(len(body), 600)])
				}
			}
		})
	}
}

// An item that was answered with "later" keeps its answer when the load is too high
// by the time that it would be asked again.
func TestLaterThenBusy(t *testing.T) {
	const large = "show-chassis-hardware-extensive"
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		n := map[string]int{}
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, attempt int) (string, bool) {
			n[rpc]++
			switch {
			case rpc == "get-software-information":
				return versionReply("22.4R3"), false
			case n[rpc] == 1:
				return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), false
			case rpc == "get-route-engine-information":
				return load(1), false
			}
			return "<x>1</x>", attempt == 0
		}}
		d := r.desired(1, 1)
		d.Profiles["two"] = []string{"show-version", large, itemLoad}
		r.apply(d)
		_, m := r.collect()
		if e := entryOf(t, m, "edge-01", large); e.Status != wire.EntryStored {
			t.Errorf("%+v", e)
		}
		if used := r.c.Status().Counters["memory_bytes"]; used != 0 || len(m.Documents) != 3 {
			t.Errorf("%d bytes still in use, %+v", used, m.Documents)
		}
	})
}
