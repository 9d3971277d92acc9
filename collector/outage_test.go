package collector

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// What is to be told of devices that fail is bounded while the cloud is away, and
// nothing of it is lost: devices wait until some of it has left.
func TestAccountsWaitForTheCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.silent = 1 << 30
		d := r.desired(1, 2000)
		for i, dev := range d.Devices {
			d.Devices[i].Address = fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
			if i > 0 { // the first one proves the credential
				r.site.behave[dev.ID] = behaviour{dial: refuseAfter(0)}
			}
		}
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(24 * time.Hour)
		most := maxReady + (maxUnanswered+1)*sectionDevices + DefaultConcurrency
		if n := len(r.site.log()); n > most || n < maxReady {
			t.Errorf("%d devices were visited while the cloud was away, want %d at most", n, most)
		}
		if n := len(r.up.sections()); n != maxUnanswered {
			t.Errorf("%d manifests without an answer", n)
		}
		r.up.mu.Lock()
		r.up.silent = 0
		r.up.mu.Unlock()
		r.up.release()
		r.sleep(time.Hour)
		if m := r.up.runs(); len(m) != 1 || len(m[0].Devices) != 2000 || len(m[0].Documents) != 4000 {
			t.Errorf("%d runs", len(m))
		}
	})
}

// Wherever a visit is stopped, it keeps nothing: no slot, no place on a bastion or
// in the line of a credential, no turn of its device, no seat and no stream.
func TestStoppedAnywhereKeepsNothing(t *testing.T) {
	for at := range 120 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.BlockedTimeout = 2 * time.Second })
			r.up.fill(at % 40)
			r.site.behave["edge-01"] = always(large(1000))
			r.site.behave["edge-02"] = behaviour{reply: func(rpc string, attempt int) (string, bool) { return large(300), attempt == 0 }}
			r.site.behave["edge-03"] = behaviour{dial: refuseAfter(0)}
			d := r.desired(1, 6)
			d.Limits.Concurrency, d.Limits.PerBastion, d.Limits.LoginsPerSecond = 3, 2, 5
			d.Bastions = map[string]wire.Bastion{"b": {Address: "192.0.2.200", Credential: "lab", HostKeys: []string{testKey}}}
			for i := range d.Devices {
				d.Devices[i].Bastions = []string{"b"}
			}
			r.apply(d)
			for range 2 { // the second waits for the devices of the first
				r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			}
			r.sleep(time.Duration(at) * 97 * time.Millisecond)
			r.stop()
			r.site.tasks.Wait()
			r.keepsNothing(at)
		})
	}
}

// keepsNothing checks a collector that has been stopped.
func (r *rig) keepsNothing(at int) {
	r.t.Helper()
	c := r.c
	if n, _ := c.slots.inUse(); n != 0 || c.slots.lent() != 0 {
		r.t.Errorf("stopped at %d: %d slots, %d lent", at, n, c.slots.lent())
	}
	for id, d := range c.bastions.doors {
		if n, _ := d.use.inUse(); n != 0 {
			r.t.Errorf("stopped at %d: %d places on %s", at, n, id)
		}
	}
	for id, l := range c.pace.lines {
		if n, _ := l.head.inUse(); n != 0 {
			r.t.Errorf("stopped at %d: the line of %s is taken", at, id)
		}
	}
	if n, _ := c.chain.open.inUse(); n != 0 || len(c.busy.held) != 0 || len(c.chain.turn) != 1 {
		r.t.Errorf("stopped at %d: %d manifests open, turns of %d devices", at, n, len(c.busy.held))
	}
	if !wiped(c.fleet) || c.fleet.users != 0 {
		r.t.Errorf("stopped at %d: %d hold the credentials", at, c.fleet.users)
	}
}
