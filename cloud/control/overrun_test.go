package control

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/testdata/smalldisk"
	"lwc/transport/wire"
)

// fullHub has one line, whose worker does nothing and whose queue of documents is
// full.
func fullHub(shared bool) (*Hub, *line) {
	h := &Hub{cfg: Config{SharedBus: shared}, log: slog.New(slog.DiscardHandler),
		starts: make(chan *line), ended: make(chan struct{}), lines: map[string]*line{}}
	l := newLine(h, alpha)
	l.running = true
	h.lines[alpha] = l
	for range queueLength {
		h.receive(wire.Topics{}.Name(alpha, wire.Up, wire.KindFact), nil)
	}
	return h, l
}

// What has no receipt does not stand behind documents, and is not dropped with them.
func TestDocumentsDoNotCrowdOutTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := fullHub(false)
		begun := time.Now()
		for range queueLength {
			h.receive(wire.Topics{}.Name(alpha, wire.Up, wire.KindJob), nil)
		}
		if time.Since(begun) != 0 || l.missed.Load() || len(l.words) != queueLength {
			t.Fatalf("after %v, missed %v", time.Since(begun), l.missed.Load())
		}
		for kind, matters := range map[wire.Kind]bool{wire.KindHealth: false, wire.KindEvent: false, wire.KindBye: false,
			wire.KindHello: true, wire.KindState: true, wire.KindJob: true} {
			l.missed.Store(false)
			h.receive(wire.Topics{}.Name(alpha, wire.Up, kind), nil)
			if l.missed.Load() != matters || l.overrun.Load() {
				t.Errorf("a %s is dropped: missed %v, overrun %v", kind, l.missed.Load(), l.overrun.Load())
			}
		}
		if l.pending != 2*queueLength {
			t.Errorf("%d pending", l.pending)
		}
	})
}

// Where the messages of all collectors come one after the other, one whose queue
// is full holds up the others once.
func TestOneCollectorDoesNotHoldUpTheOthers(t *testing.T) {
	for _, shared := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h, _ := fullHub(shared)
			begun := time.Now()
			for range 10 {
				h.receive(wire.Topics{}.Name(alpha, wire.Up, wire.KindFact), nil)
			}
			want := 10 * receivePatience
			if shared {
				want = receivePatience
			}
			if took := time.Since(begun); took != want {
				t.Errorf("shared %v: the others waited %v, not %v", shared, took, want)
			}
		})
	}
}

// The state of a job that was dropped is asked for.
func TestWhatWasDroppedIsAskedFor(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	c.collect(t, alpha, time.Hour)
	j := b.job()
	b.status(j, wire.JobAccepted, nil)
	eventually(t, "the job is accepted", func() bool {
		got, err := c.store.Job(t.Context(), j.ID)
		return err == nil && got.State == wire.JobAccepted
	})
	c.hub.mu.Lock()
	l := c.hub.lines[alpha]
	c.hub.mu.Unlock()
	l.dropped(wire.KindJob)
	b.plain(wire.KindHealth, wire.Health{V: wire.Version, Collector: alpha, Boot: b.boot})
	var n wire.Need
	b.verify(wire.KindNeed, b.next(wire.KindNeed), &n)
	if n.Resync != "hello" || n.Boot != b.boot {
		t.Errorf("need %+v", n)
	}
	b.hello()
	if again := b.job(); again.ID != j.ID {
		t.Errorf("the job came again as %+v", again)
	}
}

// A collector that is known keeps its session while the disk is full: nothing is
// stored, and it is told so.
func TestAWelcomeWithAFullDisk(t *testing.T) {
	dir, inside := smalldisk.Dir(t, 16<<20)
	if !inside {
		return
	}
	c := startCloud(t, setup{dir: dir})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	run := wire.NewID()
	h := b.fact(run, "edge-1", "show-version")
	free := smalldisk.Fill(t, filepath.Clean(dir))
	for err := error(nil); !errors.Is(err, edp.ErrUnavailable); { // the log of the database has room yet
		err = c.store.AddEvent(t.Context(), wire.Event{Collector: beta, Kind: "filler", Text: string(make([]byte, 4<<10))})
	}
	b.cut()
	b.connect()
	b.hello()
	if !c.hub.Online(alpha) {
		t.Error("it is not online")
	}
	b.send(h, append(reply("edge-1"), noise(64<<10)...), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Rejected || !r.Retryable {
		t.Errorf("with a full disk: %+v", r)
	}
	stranger := *b
	stranger.reboot()
	otherKey := stranger.newHello()
	otherKey.Boot = b.boot
	if l := (&line{entry: c.registered(t, alpha)}); l.knows(stranger.newHello()) || l.knows(otherKey) || !l.knows(b.newHello()) {
		t.Error("a boot that the registry does not know is known")
	}
	free()
	b.send(h, append(reply("edge-1"), noise(64<<10)...), wire.Packing{})
	if r := b.receipt(h.ID); r.Status != wire.Stored {
		t.Errorf("with room again: %+v", r)
	}
}
