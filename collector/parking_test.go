package collector

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// watching is a lease under the eyes of a progress.
func watching(t *testing.T) (*budget, *progress, *patience) {
	t.Helper()
	b := newBudget(1)
	l, err := b.acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, patience := newPatience(t.Context(), time.Hour)
	p := watchProgress(&berth{slot: l}, patience)
	t.Cleanup(func() { p.end(); patience.end(); l.release() })
	return b, p, patience
}

// A slot is lent after parkAfter without a sign of life, whenever the last one
// was, and is back with the next.
func TestParkAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p, patience := watching(t)
		patience.run()
		lent := func(want int64, after time.Duration) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := b.lent(); got != want {
				t.Fatalf("lent %d, want %d", got, want)
			}
		}
		lent(0, parkAfter-time.Millisecond)
		lent(1, 2*time.Millisecond)
		p.step()
		lent(0, 0)
		lent(0, 2*time.Second)
		p.step()
		lent(0, parkAfter-time.Millisecond)
		lent(1, 2*time.Millisecond)
		p.bytes.Add(parkBelow)
		lent(0, parkAfter)
		p.bytes.Add(parkBelow - 1) // drips
		lent(1, parkAfter)
	})
}

// While the collector waits for memory, the device does not stand still; nor is
// the wait held against it afterwards.
func TestWaitingForMemoryIsNoStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p, patience := watching(t)
		time.Sleep(10*time.Minute - time.Second)
		p.turn()
		patience.run()
		time.Sleep(parkAfter - time.Millisecond)
		synctest.Wait()
		if b.lent() != 0 {
			t.Fatal("parked for the collector's own wait")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if b.lent() != 1 {
			t.Fatal("not parked for its own")
		}
	})
}

// What stands still for ever is ended by its time limit, though its slot is lent;
// everything it held is free again.
func TestParkedDevicesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.DeviceTimeout, c.Session.StallTimeout = 5*time.Minute, time.Hour })
		d := r.desired(1, 12)
		d.Limits.Concurrency = 2
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
		for i := range 6 { // more than can be lent
			d.Devices[2*i+1].Bastions = []string{"jump"}
			r.site.behave[d.Devices[2*i+1].ID] = behaviour{reply: func(string, int) (string, bool) {
				time.Sleep(30 * time.Minute)
				return "<x/>", false
			}}
		}
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		for range 20 * 60 {
			r.sleep(time.Second)
			if c := r.c.Status().Counters; c["sessions"] > 4 || c["sessions_parked"] > 2 {
				t.Fatalf("counters %v", c)
			}
		}
		runs := r.up.runs()
		if len(runs) != 1 || len(runs[0].Documents) != 24 {
			t.Fatalf("%d runs", len(runs))
		}
		for i, dev := range runs[0].Devices {
			if stuck := i%2 == 1; dev.OK == stuck || stuck && (dev.Kind != kindDeadline || dev.Seconds > 301) {
				t.Errorf("%+v", dev)
			}
		}
		if c := r.c.Status().Counters; c["sessions"] != 0 || c["sessions_parked"] != 0 || c["memory_bytes"] != 0 {
			t.Errorf("counters %v", c)
		}
		if used, _ := r.c.bastions.doors["jump"].use.inUse(); used != 0 {
			t.Errorf("%d places on the bastion", used)
		}
		r.sleep(time.Hour)
	})
}

// Stopping while devices are parked, wait for a slot, for a bastion, for memory
// or for the proof of a credential ends all of them.
func TestStopWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.full = make(chan struct{}, 20)
		for range cap(r.up.full) {
			r.up.full <- struct{}{}
		}
		d := r.desired(1, 60)
		d.Limits.Concurrency, d.Limits.PerBastion = 4, 3
		d.Credentials["own"] = r.seal("own", "1", "right")
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "own", HostKeys: []string{testKey}}}
		for i := range d.Devices {
			b := behaviour{reply: func(string, int) (string, bool) { return "<x>" + strings.Repeat("x", 90<<10) + "</x>", false }}
			switch i % 3 {
			case 1:
				b = behaviour{slow: time.Hour}
				d.Devices[i].Credential = "own"
			case 2:
				d.Devices[i].Bastions = []string{"jump"}
			}
			r.site.behave[d.Devices[i].ID] = b
		}
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobProbe})
		r.sleep(20 * time.Second)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stopping took %v", took)
		}
		held := map[string]string{}
		for name, b := range map[string]*budget{"slots": r.c.slots, "bastion": r.c.bastions.doors["jump"].use,
			"line of lab": r.c.pace.line("lab").head, "line of own": r.c.pace.line("own").head} {
			if used, _ := b.inUse(); used != 0 || len(b.waiting) != 0 {
				held[name] = fmt.Sprintf("%d in use, %d wait", used, len(b.waiting))
			}
		}
		if len(held) != 0 || len(r.c.busy.held) != 0 || len(r.up.runs()) != 0 {
			t.Errorf("left: %v, %d devices, %d runs", held, len(r.c.busy.held), len(r.up.runs()))
		}
	})
}
