package uplink

import (
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

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
	for i := range 2100 {
		b.put(notice{kind: wire.KindJob, msg: i})
	}
	b.put(notice{kind: wire.KindState, msg: "state"})
	n, ok := b.take()
	if !ok || n.msg != 2100-2048 {
		t.Fatalf("the oldest kept is %v", n.msg)
	}
	second, _ := b.take()
	b.back([]notice{n, second}) // the connection broke
	for want := 2100 - 2048; want < 2100; want++ {
		if n, _ := b.take(); n.msg != want {
			t.Fatalf("got %v, want %d", n.msg, want)
		}
	}
	if n, _ := b.take(); n.msg != "state" {
		t.Fatalf("a flood of jobs pushed out the state: %v", n.msg)
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
