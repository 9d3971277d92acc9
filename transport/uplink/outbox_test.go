package uplink

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

func testParcel(id string, size int64) *parcel {
	return &parcel{id: id, kind: wire.KindFact, size: size, frames: [][]byte{nil}}
}

func openOutbox(window int64) *outbox {
	o := newOutbox(func() {})
	o.setWindow(window)
	return o
}

// deliver sends the parcel that is due, and returns how long it takes until it
// is due again.
func deliver(t *testing.T, o *outbox, id string) time.Duration {
	t.Helper()
	p, wait := o.next(time.Now())
	if p == nil || p.id != id {
		t.Fatalf("due is %+v (in %v), not %s", p, wait, id)
	}
	o.sent(p, time.Now(), true)
	return time.Until(p.due)
}

func TestRedeliveryGrowsFromThirtySecondsToTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOutbox(1000)
		if err := o.admit(t.Context(), testParcel("a", 10)); err != nil {
			t.Fatal(err)
		}
		for _, most := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			wait := deliver(t, o, "a")
			if wait < most/2 || wait > most {
				t.Errorf("the next delivery is in %v, not between %v and %v", wait, most/2, most)
			}
			time.Sleep(wait)
		}
		deliver(t, o, "a")
		o.hurry(time.Now()) // a new connection
		if wait := deliver(t, o, "a"); wait > 30*time.Second {
			t.Errorf("after a new connection the next delivery is in %v", wait)
		}
	})
}

func TestReconnectingSendsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOutbox(1000)
		for _, id := range []string{"a", "b", "c"} {
			if err := o.admit(t.Context(), testParcel(id, 1)); err != nil {
				t.Fatal(err)
			}
			deliver(t, o, id)
			time.Sleep(time.Millisecond)
		}
		o.hurry(time.Now())
		for _, id := range []string{"a", "b", "c"} {
			deliver(t, o, id)
		}
	})
}

func TestInterruptedDeliveryIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOutbox(1000)
		o.admit(t.Context(), testParcel("a", 1))
		p, _ := o.next(time.Now())
		if other, _ := o.next(time.Now()); other != nil {
			t.Fatal("a parcel is due while it is being sent")
		}
		o.sent(p, time.Now(), false)
		if again, _ := o.next(time.Now()); again != p {
			t.Fatal("an interrupted delivery is not due")
		}
		// The receipt may come while it is being sent.
		done := o.settle(wire.Receipt{ID: "a", Status: wire.Stored}, time.Now())
		if done == nil || o.wanted(p) {
			t.Fatal("the receipt did not count")
		}
		o.sent(p, time.Now(), true)
		if again, _ := o.next(time.Now()); again != nil || o.bytes() != 0 {
			t.Fatal("a settled parcel came back")
		}
		if o.settle(wire.Receipt{ID: "a", Status: wire.Stored}, time.Now()) != nil {
			t.Fatal("a second receipt counted")
		}
	})
}

func TestWindowServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(func() {})
		var entered atomic.Int32
		add := func(id string, size int64) {
			go func() {
				if err := o.opened(t.Context()); err != nil {
					t.Error(err)
				}
				if err := o.admit(t.Context(), testParcel(id, size)); err != nil {
					t.Error(err)
				}
				entered.Add(1)
			}()
			synctest.Wait()
		}
		add("first", 60)
		if entered.Load() != 0 {
			t.Fatal("a document entered before the first welcome")
		}
		o.setWindow(100)
		synctest.Wait()
		add("large", 80)
		add("small", 10) // would fit, but does not overtake
		if entered.Load() != 1 || o.bytes() != 60 {
			t.Fatalf("%d entered, %d bytes", entered.Load(), o.bytes())
		}
		o.settle(wire.Receipt{ID: "first", Status: wire.Stored}, time.Now())
		synctest.Wait()
		if entered.Load() != 3 || o.bytes() != 90 {
			t.Fatalf("%d entered, %d bytes", entered.Load(), o.bytes())
		}
		o.setWindow(20) // a smaller window throws nothing out
		if o.bytes() != 90 {
			t.Fatal("a smaller window lost documents")
		}
		o.settle(wire.Receipt{ID: "large", Status: wire.Stored}, time.Now())
		o.settle(wire.Receipt{ID: "small", Status: wire.Stored}, time.Now())
		add("larger than the window", 500)
		if entered.Load() != 4 {
			t.Fatal("a document larger than the window never enters")
		}
	})
}

func TestGivingUpDoesNotBlockThoseBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOutbox(100)
		o.admit(t.Context(), testParcel("held", 90))
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp, entered := make(chan error, 1), make(chan error, 1)
		go func() { gaveUp <- o.admit(ctx, testParcel("large", 50)) }()
		synctest.Wait()
		go func() { entered <- o.admit(t.Context(), testParcel("small", 10)) }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Fatalf("giving up returned %v", err)
		}
		if err := <-entered; err != nil || o.bytes() != 100 {
			t.Fatalf("the one behind: %v, %d bytes", err, o.bytes())
		}
		if err := o.force(testParcel("manifest", 400)); err != nil || o.bytes() != 500 {
			t.Fatalf("a manifest is not held back: %v", err)
		}
		if err := o.force(testParcel("small", 1)); !errors.Is(err, errQueued) {
			t.Fatalf("the same id twice: %v", err)
		}
	})
}

func TestManifestWaitsForComplete(t *testing.T) {
	for _, c := range []struct {
		kind wire.Kind
		r    wire.Receipt
		want bool
	}{
		{wire.KindFact, wire.Receipt{Status: wire.Stored}, true},
		{wire.KindFact, wire.Receipt{Status: wire.Duplicate}, true},
		{wire.KindFact, wire.Receipt{Status: wire.Rejected}, true},
		{wire.KindFact, wire.Receipt{Status: wire.Rejected, Retryable: true}, false},
		{wire.KindFact, wire.Receipt{Status: "later-version"}, false},
		{wire.KindRun, wire.Receipt{Status: wire.Stored}, false},
		{wire.KindRun, wire.Receipt{Status: wire.Complete}, true},
	} {
		if got := final(c.kind, c.r); got != c.want {
			t.Errorf("%s of a %s ends it: %v", c.r.Status, c.kind, got)
		}
	}
}

func TestBackoffStaysBelowItsCeiling(t *testing.T) {
	b := backoff{least: time.Second, most: 5 * time.Minute}
	ceiling := time.Second
	for range 30 {
		if d := b.next(); d <= 0 || d > ceiling+1 {
			t.Fatalf("%v, the ceiling is %v", d, ceiling)
		}
		ceiling = min(2*ceiling, 5*time.Minute)
	}
	b.reset()
	if d := b.next(); d > time.Second+1 {
		t.Fatalf("%v after a reset", d)
	}
}

func TestNoticesKeepTheNewest(t *testing.T) {
	b := newNoticeBoard(func() {})
	for i := range 300 {
		b.put(notice{kind: wire.KindEvent, msg: i})
	}
	b.put(notice{kind: wire.KindState, msg: "state"})
	n, ok := b.take()
	if !ok || n.msg != 300-256 {
		t.Fatalf("the oldest kept is %v", n.msg)
	}
	second, _ := b.take()
	b.back([]notice{n, second}) // the connection broke
	for want := 300 - 256; want < 300; want++ {
		if n, _ := b.take(); n.msg != want {
			t.Fatalf("got %v, want %d", n.msg, want)
		}
	}
	if n, _ := b.take(); n.msg != "state" {
		t.Fatalf("a flood of events pushed out the state: %v", n.msg)
	}
	if _, ok := b.take(); ok {
		t.Fatal("there is more than was put")
	}
}

func TestReportsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reports
		if !r.due("a") || r.due("a") || !r.due("b") {
			t.Fatal("the limit is not per sort")
		}
		time.Sleep(reportEvery)
		if !r.due("a") {
			t.Fatal("the limit does not end")
		}
	})
}
