package control

import (
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// An event has its receipt after it is kept, and a copy of it is a duplicate that is
// not kept twice.
func TestEventsHaveReceipts(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	e := wire.Event{V: wire.Version, ID: wire.NewID(), Collector: alpha, Boot: b.boot, Time: time.Now().UTC(),
		Kind: wire.EventPortViolation, Text: "the ports are closed"}
	for _, want := range []wire.ReceiptStatus{wire.Stored, wire.Duplicate} {
		b.plain(wire.KindEvent, e)
		if r := b.receipt(e.ID); r.Status != want {
			t.Errorf("receipt %+v, not %s", r, want)
		}
		if es := c.events(t, alpha); len(es) != 1 || es[0].ID != e.ID || es[0].Kind != e.Kind {
			t.Errorf("events %+v", es)
		}
	}
	e.ID, e.Kind = wire.NewID(), "not one word"
	b.plain(wire.KindEvent, e)
	if r := b.receipt(e.ID); r.Status != wire.Rejected || r.Retryable || r.Code != codeEvent {
		t.Errorf("receipt %+v of what can never be kept", r)
	}
}

// beats sends heartbeats until a message of a kind is there, and returns it.
func (b *box) beats(k wire.Kind, every time.Duration) []byte {
	b.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		b.plain(wire.KindHealth, wire.Health{V: wire.Version, Collector: b.id, Boot: b.boot, Config: b.held})
		select {
		case d := <-b.down:
			b.put = append(b.put, d)
		case <-time.After(every):
		}
		for i, d := range b.put {
			if d.kind == k {
				b.put = append(b.put[:i:i], b.put[i+1:]...)
				return d.payload
			}
		}
	}
	b.t.Fatalf("no %s within 15 s", k)
	return nil
}

// The state of a version that heartbeats tell of, and that never came, is asked for.
func TestALostStateIsAskedFor(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired() // its state is lost
	var n wire.Need
	b.verify(wire.KindNeed, b.beats(wire.KindNeed, 50*time.Millisecond), &n)
	if n.Resync != "state" || n.Boot != b.boot {
		t.Errorf("need %+v", n)
	}
	b.signed(wire.KindState, wire.State{V: wire.Version, Collector: alpha, Boot: b.boot, Config: b.held,
		Status: wire.ConfigApplied, Items: []wire.ItemError{{Path: "devices/edge-1", Error: "no such credential"}}}, b.key)
	eventually(t, "the errors of single items are there", func() bool { return len(c.registered(t, alpha).ItemErrors) == 1 })
}

// A job whose last word was lost is sent again after a silence, in the same boot.
func TestALostLastWordOfAJobIsAskedFor(t *testing.T) {
	beat := time.Second
	c := startCloud(t, setup{heartbeat: beat})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	made, err := c.store.CreateJob(t.Context(), edp.NewJob{Collector: alpha, Kind: wire.JobRenewCert})
	if err != nil {
		t.Fatal(err)
	}
	c.hub.JobCreated(alpha)
	j := b.job()
	b.status(j, wire.JobRunning, nil)
	said := time.Now()
	var again wire.Job
	b.verify(wire.KindJob, b.beats(wire.KindJob, beat/2), &again)
	if again.ID != made.ID || again.Boot != b.boot {
		t.Errorf("the job came again as %+v", again)
	}
	if took := time.Since(said); took < quietBeats*beat-100*time.Millisecond || took > (quietBeats+3)*beat {
		t.Errorf("it came again after %v", took)
	}
	b.status(j, wire.JobDone, nil)
	eventually(t, "the job is done", func() bool {
		got, err := c.store.Job(t.Context(), j.ID)
		return err == nil && got.State == wire.JobDone
	})
}
