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

// A wrong password of a whole fleet is tried once, not thirty-two times at once.
func TestWrongCredentialIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 30)
		d.Credentials["lab"] = r.seal("lab", "1", "wrong")
		d.Credentials["own"] = r.seal("own", "1", "right")
		d.Devices[29].Credential = "own"
		r.apply(d)
		_, m := r.collect()
		if n := len(r.site.tried()); n != 2 {
			t.Errorf("%d log-ins", n)
		}
		refused, stopped := 0, 0
		for _, dev := range m.Devices[:29] {
			switch dev.Kind {
			case "auth":
				refused++
			case kindNotTried:
				stopped++
				if !strings.Contains(dev.Error, `the credential "lab"`) {
					t.Errorf("%+v", dev)
				}
			}
		}
		if refused != 1 || stopped != 28 {
			t.Errorf("%d refused, %d stopped", refused, stopped)
		}
		if d := result(t, m, "edge-30"); !d.OK {
			t.Errorf("the device with its own credential: %+v", d)
		}
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventCredential}) {
			t.Errorf("events %v", kinds)
		}
	})
}

// A connection that is cut during the log-in may be a refusal: no second try.
func TestCutDuringLoginIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{dial: func(int) error { return &dialError{phase: "auth", kind: "closed", hop: "edge-01"} }}
		r.apply(r.desired(1, 1))
		r.collect()
		if n := len(r.site.log()); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

// The same credential behind a bastion is another realm.
func TestRefusalHoldsForItsRealm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 4)
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
		for i := range 2 {
			d.Devices[i].Bastions = []string{"jump"}
			r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error {
				return &dialError{phase: "auth", kind: "auth", hop: d.Devices[i].ID}
			}}
		}
		r.apply(d)
		_, m := r.collect()
		kinds := []string{result(t, m, "edge-01").Kind, result(t, m, "edge-02").Kind}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"auth", kindNotTried}) {
			t.Errorf("behind the bastion: %v", kinds)
		}
		if !result(t, m, "edge-03").OK || !result(t, m, "edge-04").OK {
			t.Errorf("direct: %+v", m.Devices)
		}
	})
}

func TestBastionRefusalStopsAllBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 3)
		d.Credentials["jump"] = r.seal("jump", "1", "x")
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "jump", HostKeys: []string{testKey}}}
		for i := range 2 {
			d.Devices[i].Bastions = []string{"jump"}
			r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error { return &dialError{phase: "auth", kind: "auth", hop: "jump"} }}
		}
		r.apply(d)
		_, m := r.collect()
		if n := len(r.site.log()); n != 2 {
			t.Errorf("%d dials: %v", n, r.site.dialledDevices())
		}
		if !result(t, m, "edge-03").OK {
			t.Errorf("%+v", m.Devices)
		}
		if !strings.Contains(r.up.events[0].Text, `"jump" refused the credential "jump"`) {
			t.Errorf("event %+v", r.up.events[0])
		}
	})
}

// Devices that are off must not hold up the others, though they come first.
func TestUnreachableDevicesDoNotDelayTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for i := range 10 {
			id := fmt.Sprintf("edge-%02d", i+1)
			r.site.behave[id] = behaviour{slow: 10 * time.Second, dial: func(int) error { return &dialError{phase: "connect", kind: "connect", hop: id} }}
		}
		d := r.desired(1, 40)
		d.Limits.Concurrency = 4
		r.apply(d)
		began := time.Now()
		_, m := r.collect()
		ok := 0
		for _, dev := range m.Devices {
			if dev.OK {
				ok++
			}
		}
		if ok != 30 {
			t.Errorf("%d devices collected", ok)
		}
		if took := time.Since(began); took > 50*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A refused device is left alone by the schedule until its credential changes,
// and by nobody else.
func TestRefusalIsRememberedBySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 1)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		d.Credentials["lab"] = r.seal("lab", "1", "wrong")
		r.apply(d)
		r.sleep(3 * 24 * time.Hour)
		if n := len(r.site.tried()); n != 1 {
			t.Errorf("%d log-ins in three days", n)
		}
		if m := r.up.runs(); len(m) != 3 || m[2].Devices[0].Kind != kindNotTried || !strings.Contains(m[2].Devices[0].Error, "before") {
			t.Errorf("manifests %+v", m)
		}
		r.collect("edge-01")
		if n := len(r.site.tried()); n != 2 {
			t.Errorf("%d log-ins after a job", n)
		}
		d = r.desired(2, 1)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		d.Credentials["lab"] = r.seal("lab", "2", "right")
		r.apply(d)
		r.sleep(24 * time.Hour)
		if m := r.up.runs(); !m[len(m)-1].Devices[0].OK {
			t.Errorf("after the change: %+v", m[len(m)-1])
		}
	})
}

// A log-in that works again is no refusal any more, also where the device then
// offers no NETCONF.
func TestLoginBeforeAFailureCountsAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 1)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		r.site.behave["edge-01"] = behaviour{dial: func(attempt int) error {
			return []error{&dialError{phase: "auth", kind: "auth", hop: "edge-01"},
				&dialError{phase: "subsystem", kind: "subsystem", hop: "edge-01"}, nil}[attempt]
		}}
		r.apply(d)
		r.sleep(24 * time.Hour)
		if _, m := r.collect("edge-01"); m.Devices[0].Kind != "subsystem" {
			t.Fatalf("%+v", m.Devices)
		}
		r.sleep(24 * time.Hour)
		if m := r.up.runs(); len(m) != 3 || !m[2].Devices[0].OK {
			t.Errorf("%+v", m)
		}
	})
}

func TestFirstUseIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const fp = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
		r.site.behave["edge-01"] = behaviour{firstUse: map[string]string{"edge-01": fp, "jump": fp + "2"}}
		d := r.desired(1, 1)
		d.Devices[0].HostKeys, d.Devices[0].TrustFirst = nil, true
		d.Devices[0].Bastions = []string{"jump"}
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", TrustFirst: true}}
		r.apply(d)
		_, m := r.collect()
		if got := result(t, m, "edge-01").HostKey; got != fp {
			t.Errorf("host key %q", got)
		}
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventHostKeyFirst, wire.EventHostKeyFirst}) {
			t.Errorf("events %v", kinds)
		}
		r.collect()
		second := r.site.log()[1].target
		if !slices.Equal(second.Device.HostKeys, []string{fp}) || second.Device.TrustFirst ||
			!slices.Equal(second.Via[0].HostKeys, []string{fp + "2"}) || second.Via[0].TrustFirst {
			t.Errorf("second dial: %+v", second)
		}
		d.Devices[0].Address, d.Version = "192.0.2.77", 2
		r.apply(d)
		r.collect()
		if third := r.site.log()[2].target; !third.Device.TrustFirst || len(third.Device.HostKeys) != 0 {
			t.Errorf("another address is another host: %+v", third.Device)
		}
	})
}

// A bastion was trusted and got its password before the device behind it failed:
// the next log-in must find the same bastion.
func TestFirstUseOfAFailedDialIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const fp = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
		r.site.behave["edge-01"] = behaviour{dial: func(int) error {
			return &dialError{phase: "forward", kind: "connect", hop: "edge-01", first: map[string]string{"jump": fp}}
		}}
		d := r.desired(1, 1)
		d.Devices[0].Bastions = []string{"jump"}
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", TrustFirst: true}}
		r.apply(d)
		r.collect()
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventHostKeyFirst}) {
			t.Errorf("events %v", kinds)
		}
		r.collect()
		if via := r.site.log()[1].target.Via[0]; !slices.Equal(via.HostKeys, []string{fp}) || via.TrustFirst {
			t.Errorf("second dial: %+v", via)
		}
	})
}

// Two first connections to one bastion at once: each trusts what it sees. The
// first key stays, and another one is told.
func TestFirstUseWithTwoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		keys := []string{"SHA256:first", "SHA256:first", "SHA256:other"}
		d := r.desired(1, len(keys))
		for i, key := range keys {
			d.Devices[i].Bastions = []string{"jump"}
			// Longer than a proof is waited for, so that all dial before one is through.
			r.site.behave[d.Devices[i].ID] = behaviour{slow: 30*time.Second + time.Duration(i)*10*time.Second, firstUse: map[string]string{"jump": key}}
		}
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", TrustFirst: true}}
		r.apply(d)
		r.collect()
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventHostKeyFirst, wire.EventHostKeyChanged}) {
			t.Errorf("events %v", kinds)
		}
		r.collect()
		if via := r.site.log()[3].target.Via[0]; !slices.Equal(via.HostKeys, keys[:1]) {
			t.Errorf("pinned: %v", via.HostKeys)
		}
	})
}
