package uplink

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"lwc/testdata/badline"
	"lwc/transport/wire"
)

// halfOpened makes a session over a bad line to mosquitto, takes the broker's end
// away, and returns how long the uplink took to come back.
func halfOpened(t *testing.T, owing bool) time.Duration {
	t.Helper()
	s, rec := newSite(t), newRecorder()
	line := badline.Start(t, s.broker)
	u := newUplink(t, identityOf(s.ca, s.pub, line.Addr()), rec)
	start(t, u)
	wait(t, rec.welcomed, "the first welcome")
	quiet(t, line)
	line.HalfOpen()
	at := time.Now()
	if owing {
		u.SendEvent(wire.Event{Kind: wire.EventClockStep, Text: "something to be acknowledged"})
	}
	select {
	case <-rec.welcomed:
		return time.Since(at)
	case <-time.After(30 * time.Second):
		t.Fatal("the dead line was not noticed")
		return 0
	}
}

// A line whose other end is gone without a word is given up within 15 s when the
// broker owes an answer, and within 20 s when nobody has anything to say.
func TestHalfOpenLinesAreFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		owing bool
		most  time.Duration
	}{{"owing", true, 15 * time.Second}, {"idle", false, 20 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			took := halfOpened(t, c.owing)
			t.Logf("noticed and back after %s", took)
			if took > c.most {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// quiet waits until nothing has crossed a line for a second.
func quiet(t *testing.T, line *badline.Line) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last, since := line.Carried(), time.Now()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if now := line.Carried(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > time.Second {
			return
		}
	}
	t.Fatal("the line does not fall silent")
}

// A slow line is not a dead one: what the peer's kernel takes counts as life.
func TestSlowLineIsKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := far.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	c := newPacketConn(near, patience)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	silent := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { silent <- c.watch(ctx, 700*time.Millisecond) })
	frame := make([]byte, 16<<20)
	frame[0] = typePublish<<4 | 2
	wg.Go(func() { _, _ = c.Write(frame) })
	defer near.Close() // breaks the write
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	if err := far.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for range 40 { // a second and more, with a window of 4 KiB
		<-tick.C
		if _, err := far.Read(make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
	}
	none(t, silent, "a slow line was given up")
	cancel()
	if err := wait(t, silent, "the end of the watch"); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// Answers to nothing are no credit, and answers that are still owed keep the clock
// running though others came.
func TestPulseCountsAnswers(t *testing.T) {
	p := pulse{born: time.Now()}
	p.read(3)
	p.wrote(typePublish<<4 | 2)
	if p.asked.Load() == 0 {
		t.Error("answers in advance counted")
	}
	p.wrote(typePublish<<4 | 2)
	p.read(1)
	if p.asked.Load() == 0 {
		t.Error("one of two answers was taken for both")
	}
	p.read(1)
	if p.asked.Load() != 0 {
		t.Error("an answer is waited for, and all came")
	}
	for first, want := range map[byte]bool{typePublish << 4: false, typePublish<<4 | 2: true, typePuback << 4: false, typePingreq << 4: true} {
		if demandsAnswer(first) != want {
			t.Errorf("packet %#x: %v", first, !want)
		}
	}
}

// errSilent is told to the ladder through all layers.
func TestSilenceIsTold(t *testing.T) {
	s := newSite(t)
	line := badline.Start(t, s.broker)
	u := newUplink(t, identityOf(s.ca, s.pub, line.Addr()), newRecorder())
	u.time.silence = time.Second
	ended := make(chan error, 1)
	go func() {
		_, err := u.session(t.Context(), &rung{ep: u.cfg.Bootstrap.Endpoints[0]})
		ended <- err
	}()
	wait(t, u.cfg.Handler.(*recorder).welcomed, "the welcome")
	line.BlackHole()
	u.SendEvent(wire.Event{Kind: wire.EventClockStep, Text: "x"})
	if err := wait(t, ended, "the end of the session"); !errors.Is(err, errSilent) {
		t.Errorf("it ended with %v", err)
	}
}
