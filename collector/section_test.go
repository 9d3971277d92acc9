package collector

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// A long run is accounted for section by section, each chained to the one before,
// and each device in exactly one of them. What has left is forgotten.
func TestSectionsOfALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 200)
		d.Limits.Concurrency = 1000
		r.apply(d)
		job, m := r.collect()
		s := r.up.sections()
		if job.State != wire.JobDone || job.Done != 200 || len(m.Devices) != 200 || len(m.Documents) != 400 || len(s) < 4 {
			t.Fatalf("job %+v, %d devices in %d sections", job, len(m.Devices), len(s))
		}
		seen := map[string]bool{}
		for i, m := range s {
			if len(m.Devices) > sectionDevices || m.Section != i+1 || m.Last != (i == len(s)-1) || i > 0 && m.Previous != fmt.Sprintf("hash-%d", i) {
				t.Errorf("section %d of %d devices, number %d, last %v, after %q", i+1, len(m.Devices), m.Section, m.Last, m.Previous)
			}
			for _, res := range m.Devices {
				if seen[res.Device] || len(entriesOf(m, res.Device)) != 2 {
					t.Errorf("section %d: %s again, or with %d entries", i+1, res.Device, len(entriesOf(m, res.Device)))
				}
				seen[res.Device] = true
			}
		}
	})
}

// What a device left is with the cloud a second after its last receipt (here at 1.5 s,
// after the wait for another to prove the credential), while the
// run goes on.
func TestSectionLeavesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-02"] = behaviour{dial: func(int) error { time.Sleep(20 * time.Second); return nil }}
		r.apply(r.desired(1, 2))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(3 * time.Second)
		s := r.up.sections()
		if len(s) != 1 || s[0].Last || len(s[0].Devices) != 1 || s[0].Devices[0].Device != "edge-01" || s[0].Finished.Sub(s[0].Started) > 2600*time.Millisecond {
			t.Errorf("sections %+v", s)
		}
		r.sleep(time.Minute)
		if s := r.up.sections(); len(s) != 2 || !s[1].Last {
			t.Errorf("sections %+v", s)
		}
	})
}

// A device whose document has no receipt waits for it, and no other waits for that
// device.
func TestSectionWaitsForItsReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.hold = true
		r.apply(r.desired(1, 1))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(time.Minute)
		if s := r.up.sections(); len(s) != 0 {
			t.Fatalf("sections %+v", s)
		}
		r.up.release()
		r.sleep(2 * time.Second)
		if s := r.up.sections(); len(s) != 1 || !s[0].Last || s[0].Documents[0].Status != wire.EntryStored {
			t.Errorf("sections %+v", s)
		}
	})
}

// The receipts of a whole fleet come at once: every device is in a section, and
// only the last one says so.
func TestReceiptsOfAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.hold = true
		d := r.desired(1, 200)
		d.Limits.Concurrency = 1000
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(10 * time.Minute)
		r.up.release()
		r.sleep(time.Minute)
		s := r.up.sections()
		if m := r.up.runs(); len(m) != 1 || len(m[0].Devices) != 200 || len(s) < 4 {
			t.Fatalf("%d runs, %d sections", len(m), len(s))
		}
		for i, m := range s {
			if m.Last != (i == len(s)-1) || len(m.Devices) > sectionDevices {
				t.Errorf("section %d: last %v, %d devices", i+1, m.Last, len(m.Devices))
			}
		}
	})
}

// The cloud was restored from a backup: it knows an older manifest as the newest.
// The section is sent once more after that one, and the chain goes on from there.
func TestChainAfterARestoredCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.apply(r.desired(1, 1))
		r.collect()
		r.collect()
		r.up.accept = func(m wire.Manifest) bool { return m.Previous == "hash-1" || m.Previous == "hash-4" }
		r.c.Welcomed(wire.Welcome{LastManifest: "hash-1"})
		job, _ := r.collect()
		next, _ := r.collect()
		if job.State != wire.JobDone || next.State != wire.JobDone {
			t.Errorf("jobs %+v, %+v", job, next)
		}
		var got []string
		for _, m := range r.up.sections() {
			got = append(got, m.Previous)
		}
		if want := []string{"", "hash-1", "hash-2", "hash-1", "hash-4"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("chain %v, want %v", got, want)
		}
	})
}

// A manifest that is never answered holds up neither the rest of its run nor others.
func TestUnansweredManifestHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.silent = 1
		r.apply(r.desired(1, 3))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID(), Devices: []string{"edge-01"}})
		r.sleep(10 * time.Second)
		job, m := r.collect("edge-02", "edge-03")
		if job.State != wire.JobDone || len(m.Devices) != 2 || m.Previous != "hash-1" {
			t.Errorf("job %+v, %+v", job, m)
		}
		if took := m.Finished.Sub(m.Started); took > time.Minute {
			t.Errorf("the second run took %v", took)
		}
	})
}

// Held documents that nobody approves are dropped when the wait is over, and named.
func TestWaitForApprovalsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.hold = true // no receipt: as of a document that waits for an approval
		d := r.desired(1, 1)
		d.Egress = wire.Egress{Mode: wire.EgressHold, Hold: []string{"show-version"}, Wait: "30m"}
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(29 * time.Minute)
		if len(r.up.droppedHeld()) != 0 {
			t.Fatal("dropped before the wait is over")
		}
		r.sleep(2 * time.Minute)
		if got := r.up.droppedHeld(); len(got) != 1 {
			t.Fatalf("dropped %v", got)
		}
		r.up.release()
		r.sleep(time.Hour)
		if s := r.up.sections(); len(s) != 1 || s[0].Mode != wire.EgressHold || len(r.up.droppedHeld()) != 1 {
			t.Errorf("sections %+v", s)
		}
	})
}

// The wait for approvals begins when the last visit has ended, and what was held is
// dropped once, whatever else the run still waits for.
func TestWaitForApprovalsBeginsWithTheLastVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.hold = true
		r.site.behave["edge-02"] = behaviour{dial: func(int) error { time.Sleep(10 * time.Minute); return nil }}
		d := r.desired(1, 2)
		d.Egress = wire.Egress{Mode: wire.EgressHold, Hold: []string{"show-version"}, Wait: "5m"}
		r.apply(d)
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(15 * time.Minute)
		if got := r.up.droppedHeld(); len(got) != 0 {
			t.Fatal("dropped before the wait is over")
		}
		r.sleep(time.Minute)
		for range 4 {
			r.up.mu.Lock()
			receipt := r.up.waiting[0]
			r.up.waiting = r.up.waiting[1:]
			r.up.mu.Unlock()
			receipt()
			r.sleep(10 * time.Second)
		}
		if got := r.up.droppedHeld(); len(got) != 1 || len(r.up.runs()) != 1 {
			t.Errorf("dropped %v; %d runs", got, len(r.up.runs()))
		}
	})
}

// 10,000 devices of thirty items each go through the accounts of a run without
// staying there.
func TestAccountsDoNotGrowWithTheRun(t *testing.T) {
	c := New(Config{Collector: testCollector, Boot: testBoot})
	r := &run{id: wire.NewID(), moved: make(chan struct{}, 1), sections: new(atomic.Int64)}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	sections := 0
	visitAll := func(from, to int) {
		for i := from; i < to; i++ {
			id := fmt.Sprintf("edge-%05d", i)
			r.of(id).begun++
			for item := range 30 {
				e := r.await(wire.ManifestEntry{ID: wire.NewID(), Device: id, Item: fmt.Sprint("item-", item), SHA256: wire.Digest([]byte(id))})
				r.deliver(e, wire.Delivery{Receipt: wire.Receipt{Status: wire.Stored}}, "")
			}
			r.add(c, wire.DeviceResult{Device: id, OK: true})
			r.mu.Lock()
			r.of(id).begun--
			r.settle(id)
			r.mu.Unlock()
			for m, _ := r.next(c); m != nil; m, _ = r.next(c) {
				sections++
			}
		}
	}
	visitAll(0, 200)
	before := heap()
	visitAll(200, 10000)
	if grown := int64(heap()) - int64(before); grown > 2<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if sections < 10000/sectionDevices || len(r.ready) > sectionDevices || len(r.open) != 0 {
		t.Errorf("%d sections, %d accounts ready, %d open", sections, len(r.ready), len(r.open))
	}
}

// A job for a whole fleet has as many visits under way as it has sessions and
// waits, not one for each device.
func TestVisitsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.latency = time.Second
		d := r.desired(1, 250)
		d.Limits.Concurrency = 8
		r.apply(d)
		before := runtime.NumGoroutine()
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(5 * time.Second)
		// A visit has its own goroutine, those of its session, and those of its peer.
		if n := runtime.NumGoroutine() - before; n > 8*10 {
			t.Errorf("%d goroutines for 8 sessions", n)
		}
		r.sleep(30 * time.Minute)
		if m := r.up.runs(); len(m) != 1 || len(m[0].Devices) != 250 {
			t.Errorf("%d runs", len(m))
		}
	})
}
