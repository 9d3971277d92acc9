package collector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// dice is a source of mischief for several devices at once.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) one(in int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(in) == 0
}

// mischief is a device that does anything now and then.
func (d *dice) mischief(id string) behaviour {
	release := "22.4R3"
	return behaviour{slow: time.Duration(len(id)) * time.Millisecond, single: d.one(4),
		dial: func(int) error {
			switch {
			case d.one(8):
				return &dialError{phase: "connect", kind: "throttled", hop: id}
			case d.one(8):
				return &dialError{phase: "key-exchange", kind: "bastion-throttled", hop: "jump"}
			case d.one(8):
				return &dialError{phase: "forward", kind: "closed", hop: id}
			case d.one(30):
				return &dialError{phase: "auth", kind: "auth", hop: id}
			}
			return nil
		},
		reply: func(rpc string, _ int) (string, bool) {
			switch {
			case d.one(15):
				return "<x>half", true
			case d.one(10):
				return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), d.one(5)
			case d.one(10):
				return fmt.Sprintf(rpcError, "syntax error"), false
			case d.one(20):
				return "<x>" + strings.Repeat("y", 300<<10) + "</x>", false // too large
			case d.one(40):
				time.Sleep(15 * time.Second) // longer than the stall time-out
			case d.one(30):
				release = map[string]string{"22.4R3": "23.2R1", "23.2R1": "22.4R3"}[release]
			case rpc == "get-route-engine-information":
				return load(map[bool]int{true: 2, false: 80}[d.one(3)]), false
			case rpc == "get-software-information":
				return versionReply(release), false
			}
			return "<x>" + strings.Repeat("z", 3000) + "</x>", false
		}}
}

// Whatever the devices do, in whatever order: every item of every device stands in
// the manifest of its run once, as stored or with a reason, and nothing is left
// in hand.
func TestEveryItemIsAccountedForOnce(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Session.StallTimeout = 10 * time.Second })
			d := r.desired(1, 12)
			dice := &dice{r: rand.New(rand.NewPCG(seed, 0))}
			items, _ := junos.Profile("full")
			var names []string
			for _, it := range items {
				names = append(names, it.Name)
			}
			d.Profiles["two"] = append(names, "show-moon-phase")
			d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
			d.Limits = wire.CollectLimits{Concurrency: 3, PerBastion: 2, LoginsPerSecond: 100, MaxDocumentBytes: 100 << 10}
			for i := range d.Devices {
				if i%2 == 0 {
					d.Devices[i].Bastions = []string{"jump"}
				}
				if i%3 == 0 {
					d.Devices[i].Pipeline = 4
				}
				r.site.behave[d.Devices[i].ID] = dice.mischief(d.Devices[i].ID)
			}
			d.Devices[11].Address = "no address"
			r.apply2(d)
			for range 4 {
				_, m := r.collect()
				checkAccounts(t, r, m, d)
			}
			c := r.c.Status().Counters
			if c["sessions"]+c["sessions_parked"]+c["memory_bytes"]+c["runs_open"] != 0 || r.site.open("edge") != 0 {
				t.Errorf("seed %d: left: %v", seed, c)
			}
		})
	}
}

func checkAccounts(t *testing.T, r *rig, m wire.Manifest, d wire.Desired) {
	t.Helper()
	if len(m.Devices) != len(d.Devices) {
		t.Errorf("%d devices", len(m.Devices))
	}
	for _, dev := range d.Devices {
		got := map[string]int{}
		docs := 0
		for _, e := range entriesOf(m, dev.ID) {
			got[e.Item]++
			if e.Status == wire.EntryStored {
				docs++
			}
			if stored := e.Status == wire.EntryStored; stored != (e.ID != "") || !stored && e.Reason == "" {
				t.Errorf("%+v", e)
			}
		}
		for _, item := range d.Profiles["two"] {
			if got[item] != 1 {
				t.Errorf("%s: %d entries of %s", dev.ID, got[item], item)
			}
		}
		res := result(t, m, dev.ID)
		if len(got) != len(d.Profiles["two"]) || res.Documents != docs || res.OK == (res.Error != "") {
			t.Errorf("%d items, %d documents: %+v", len(got), docs, res)
		}
		if failed := slices.ContainsFunc(entriesOf(m, dev.ID), func(e wire.ManifestEntry) bool {
			return e.Status == wire.EntryFailed && e.Item != "show-moon-phase"
		}); failed && res.OK {
			t.Errorf("an item failed, and the device is good: %+v", res)
		}
	}
}
