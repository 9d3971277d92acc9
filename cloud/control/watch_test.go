package control

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// lostWithin waits for the event of a lost heartbeat, not before three beats are over
// and not long after.
func lostWithin(t *testing.T, c *cloud, since time.Time, beat time.Duration) {
	t.Helper()
	eventually(t, "the loss is told", func() bool { return c.hasEvent(t, alpha, EventLost) })
	took := time.Since(since)
	if took < missedBeats*beat-100*time.Millisecond || took > (missedBeats+2)*beat {
		t.Errorf("told after %v", took)
	}
	r := c.registered(t, alpha)
	if r.Online || r.LostAt.IsZero() || !r.MissedAt.IsZero() {
		t.Errorf("the registry says %+v", r)
	}
}

func countLost(t *testing.T, c *cloud) (n int) {
	for _, e := range c.events(t, alpha) {
		if e.Kind == EventLost {
			n++
		}
	}
	return n
}

// A collector that was there before the cloud started anew, and is not heard again,
// is lost; one that comes in time is not.
func TestLostWhileTheCloudWasDown(t *testing.T) {
	dir, beat := t.TempDir(), time.Second
	c := startCloud(t, setup{dir: dir, heartbeat: beat})
	b, other := c.enrol(t, alpha), c.enrol(t, beta)
	b.connect()
	b.hello()
	other.connect()
	other.hello()
	eventually(t, "online", func() bool { return c.registered(t, alpha).Online && c.registered(t, beta).Online })
	c.stop()
	start := time.Now()
	c = startCloud(t, setup{dir: dir, heartbeat: beat})
	eventually(t, "it is waited for", func() bool { return !c.registered(t, alpha).MissedAt.IsZero() })
	if r := c.registered(t, alpha); r.Online || !r.LostAt.IsZero() {
		t.Errorf("at the start it is %+v", r)
	}
	other.cloud = c
	other.connect()
	other.hello()
	if r := c.registered(t, beta); !r.Online || !r.MissedAt.IsZero() {
		t.Errorf("the one that came is %+v", r)
	}
	lostWithin(t, c, start, beat)
	if countLost(t, c) != 1 {
		t.Errorf("%d events", countLost(t, c))
	}
}

// A connection that broke raises the event where no hello follows, once, and not
// where one does.
func TestAnUncleanByeIsALoss(t *testing.T) {
	beat := time.Second
	c := startCloud(t, setup{heartbeat: beat})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	bye := func() time.Time {
		b.plain(wire.KindBye, wire.Bye{V: wire.Version, Collector: alpha, Boot: b.boot, Conn: b.conn})
		at := time.Now()
		eventually(t, "offline", func() bool { return !c.registered(t, alpha).Online })
		return at
	}
	bye()
	b.hello() // in time
	if r := c.registered(t, alpha); !r.MissedAt.IsZero() || !r.LostAt.IsZero() {
		t.Errorf("after the hello: %+v", r)
	}
	lostWithin(t, c, bye(), beat)
	bye() // a will that came late
	if n := countLost(t, c); n != 1 || !c.registered(t, alpha).MissedAt.IsZero() {
		t.Errorf("%d events", n)
	}
	b.plain(wire.KindBye, wire.Bye{V: wire.Version, Collector: alpha, Boot: b.boot, Conn: b.conn, Clean: true})
	eventually(t, "stopped in order", func() bool { return c.registered(t, alpha).LostAt.IsZero() })
}

// Silence is told once three beats after the last message.
func TestSilenceIsALoss(t *testing.T) {
	beat := time.Second
	c := startCloud(t, setup{heartbeat: beat})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	lostWithin(t, c, time.Now(), beat)
}

// The time in which the cloud serves is noted, so that only the rest counts as one in
// which nobody could be heard.
func TestListeningIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := edp.Open(t.Context(), filepath.Join(t.TempDir(), "edp.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		ctx, cancel := context.WithCancel(t.Context())
		err = errors.Join(store.Enrolled(ctx, edp.Enrolment{Collector: alpha, SPKI: "key", NotAfter: time.Now().Add(time.Hour)}),
			store.SawHello(ctx, wire.Hello{Collector: alpha, Boot: "boot-1", Conn: 1}),
			store.SawBye(ctx, alpha, "boot-1", true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = store.CreateJob(ctx, edp.NewJob{Collector: alpha, Kind: wire.JobUpdate, Source: "https://192.0.2.1/x"}); err != nil {
			t.Fatal(err)
		}
		h := &Hub{cfg: Config{Store: store, Heartbeat: time.Minute}, log: slog.New(slog.DiscardHandler)}
		var ended sync.WaitGroup
		ended.Go(func() { h.watch(ctx) })
		time.Sleep(10*time.Minute + time.Second)
		cancel()
		ended.Wait()
		time.Sleep(2 * time.Hour)
		if err := store.AllOffline(t.Context()); err != nil {
			t.Fatal(err)
		}
		boxes, _, err := store.Boxes(t.Context())
		if err != nil || len(boxes) != 1 || boxes[0].Deaf < 2*time.Hour || boxes[0].Deaf > 2*time.Hour+time.Minute {
			t.Errorf("nobody listened for two hours: %+v, %v", boxes, err)
		}
	})
}
