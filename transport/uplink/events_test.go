package uplink

import (
	"fmt"
	"testing"
	"time"

	"lwc/transport/wire"
)

// event answers one with a receipt, as it does documents.
func (c *cloud) event(b []byte) {
	var e wire.Event
	if err := wire.Decode(wire.KindEvent, b, &e); err != nil {
		c.t.Errorf("%v", err)
		return
	}
	if c.receipts.Load() {
		c.receipt(wire.Receipt{ID: e.ID, Status: wire.Stored}, c.config)
	}
	c.events <- e
}

// Events leave in order, again at growing intervals, and are forgotten with their
// receipt alone.
func TestEventsWaitForTheirReceipt(t *testing.T) {
	b := eventBoard{wake: func() {}}
	b.put(wire.Event{ID: "a"})
	b.put(wire.Event{ID: "b"})
	now := time.Now()
	for _, want := range []string{"a", "b"} {
		if e, ok := b.next(now); !ok || e.ID != want {
			t.Fatalf("next is %q, not %q", e.ID, want)
		}
	}
	if e, ok := b.next(now); ok {
		t.Fatalf("%q is due at once", e.ID)
	}
	if !b.settle(wire.Receipt{ID: "a", Status: wire.Duplicate}) || b.settle(wire.Receipt{ID: "a", Status: wire.Stored}) {
		t.Error("a receipt that is the last word ends the waiting once")
	}
	b.settle(wire.Receipt{ID: "b", Status: wire.Rejected, Retryable: true})
	var waits []time.Duration
	for range 8 {
		d := b.idle(now)
		now = now.Add(d)
		waits = append(waits, d)
		if e, ok := b.next(now); !ok || e.ID != "b" {
			t.Fatalf("after %v: %q", d, e.ID)
		}
	}
	if waits[0] != eventRetry || waits[1] != 2*eventRetry || waits[7] != eventRetryMost {
		t.Errorf("it waits %v", waits)
	}
	b.again()
	if e, ok := b.next(now); !ok || e.ID != "b" || b.idle(now) != eventRetry {
		t.Error("a welcome does not make it due")
	}
}

func TestEventsAreBoundedAndCounted(t *testing.T) {
	b := eventBoard{wake: func() {}}
	for i := range maxEvents + 3 {
		b.put(wire.Event{ID: fmt.Sprint(i)})
	}
	if lost, waiting := b.counts(); lost != 3 || waiting != maxEvents {
		t.Errorf("%d are lost, %d wait", lost, waiting)
	}
	if e, _ := b.next(time.Now()); e.ID != "3" {
		t.Errorf("the oldest is %s", e.ID)
	}
}

// A broker acknowledges an event that no cloud hears. It comes again, the same one,
// after each welcome until its receipt is there.
func TestAnEventOutlivesTheDeafCloud(t *testing.T) {
	s := newSite(t)
	s.cloud.receipts.Store(false)
	rec := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), rec)
	start(t, u)
	wait(t, rec.welcomed, "the welcome")
	u.SendEvent(wire.Event{Kind: wire.EventPortViolation, Text: "nobody heard"})
	first := wait(t, s.cloud.events, "the event")
	if wire.CheckID(first.ID) != nil {
		t.Fatalf("the event is %+v", first)
	}
	rehello := func() {
		s.cloud.send(wire.KindNeed, wire.Need{V: wire.Version, Collector: collectorID, Boot: u.Boot(), Resync: "hello"}, s.config)
		wait(t, rec.welcomed, "another welcome")
	}
	s.cloud.receipts.Store(true)
	asked := time.Now()
	rehello()
	if e := wait(t, s.cloud.events, "the event again"); e.ID != first.ID || !e.Time.Equal(first.Time) {
		t.Fatalf("the event is %+v", e)
	}
	if took := time.Since(asked); took > eventRetry/2 {
		t.Errorf("the welcome did not bring it: it came after %v", took)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, waiting := u.events.counts(); waiting == 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	rehello()
	none(t, s.cloud.events, "an event that has its receipt")
}
