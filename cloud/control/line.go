package control

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/ingest"
	"lwc/transport/wire"
)

const (
	// queueLength bounds each queue of a worker: 32 frames, 4 MB.
	queueLength = 32
	// recheck is how old the worker's view of the registry may be.
	recheck = 10 * time.Second
)

// message is one that came up.
type message struct {
	kind    wire.Kind
	payload []byte
}

// line is all that the hub knows of one collector.
type line struct {
	hub   *Hub
	id    string
	queue chan message // documents and manifests
	words chan message // all else
	poke  chan struct{}
	// overrun says that a document or a manifest found no room, missed that
	// something else did not.
	overrun, missed atomic.Bool

	// Guarded by Hub.mu.
	pending int // messages between the bus and the end of their handling
	running bool
	online  bool

	// The rest belongs to the worker.
	entry   edp.Collector // of the registry
	key     crypto.PublicKey
	read    time.Time // when entry was read
	heard   time.Time // last message that proved life
	synced  time.Time // last look for something to send
	stream  *ingest.Stream
	sent    dispatched
	notices notices
}

func newLine(h *Hub, id string) *line {
	return &line{hub: h, id: id, queue: make(chan message, queueLength), words: make(chan message, queueLength), poke: make(chan struct{}, 1)}
}

func (l *line) queueOf(k wire.Kind) chan message {
	if k == wire.KindFact || k == wire.KindRun {
		return l.queue
	}
	return l.words
}

// dropped notes that a message found no room.
func (l *line) dropped(k wire.Kind) {
	switch k {
	case wire.KindFact, wire.KindRun:
		l.overrun.Store(true)
	case wire.KindHello, wire.KindState, wire.KindJob:
		l.missed.Store(true)
	}
}

// errUnknown says that the registry does not let this collector in.
var errUnknown = errors.New("the collector is not admitted")

// run works until ctx is cancelled, or the collector is gone and nothing waits.
func (l *line) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.step(ctx)
		if ctx.Err() == nil && l.idle() && l.hub.leave(l) {
			return
		}
	}
	l.setOnline(false)
}

// idle tells whether the worker may end: nobody is there, nothing is half done,
// and no more parts of a document are to be expected.
func (l *line) idle() bool {
	quiet := l.stream == nil || l.stream.Deadline().IsZero()
	return quiet && !l.isOnline() && !time.Now().Before(l.silentAt())
}

// step waits for one thing and does it.
func (l *line) step(ctx context.Context) {
	timer := time.NewTimer(time.Until(l.due()))
	defer timer.Stop()
	select {
	case m := <-l.queue:
		l.handle(ctx, m)
	case m := <-l.words:
		l.handle(ctx, m)
	case <-l.poke:
		l.note(ctx, wire.KindDesired, l.sync(ctx, true))
	case <-timer.C:
		l.tick(ctx)
	case <-ctx.Done():
	}
}

// due is when tick has something to do.
func (l *line) due() time.Time {
	next := l.silentAt()
	if at := l.synced.Add(l.hub.cfg.Heartbeat); at.Before(next) && l.isOnline() {
		next = at
	}
	if l.stream != nil && !l.stream.Deadline().IsZero() && l.stream.Deadline().Before(next) {
		next = l.stream.Deadline()
	}
	return next
}

func (l *line) silentAt() time.Time { return l.heard.Add(missedBeats * l.hub.cfg.Heartbeat) }

func (l *line) tick(ctx context.Context) {
	now := time.Now()
	if l.stream != nil && !l.stream.Deadline().IsZero() && !l.stream.Deadline().After(now) {
		l.note(ctx, wire.KindFact, l.stream.Flush(ctx))
	}
	if l.isOnline() && !now.Before(l.silentAt()) {
		l.hub.log.Warn("a collector is silent and counts as offline", "collector", l.id, "silence", now.Sub(l.heard))
		l.note(ctx, wire.KindBye, l.silent(ctx))
	}
	if l.isOnline() && now.Sub(l.synced) >= l.hub.cfg.Heartbeat {
		l.note(ctx, wire.KindDesired, l.sync(ctx, true))
	}
}

// handle does what a message asks for.
func (l *line) handle(ctx context.Context, m message) {
	defer l.handled()
	err := l.load(ctx, m.kind == wire.KindHello)
	if err == nil {
		err = errors.Join(l.dispatch(ctx, m), l.catchUp(ctx))
	}
	l.note(ctx, m.kind, err)
}

// catchUp asks for another hello when something was dropped that has no receipt.
// The welcome brings the newest state again, and a job that is sent again its own.
func (l *line) catchUp(ctx context.Context) error {
	if !l.missed.Load() || !l.isOnline() || !l.notices.due("resync", time.Now()) {
		return nil
	}
	l.missed.Store(false)
	clear(l.sent.jobs)
	return l.wantHello(ctx, l.entry.Boot)
}

func (l *line) handled() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.pending--
}

func (l *line) dispatch(ctx context.Context, m message) error {
	switch m.kind {
	case wire.KindHello:
		return l.hello(ctx, m.payload)
	case wire.KindState:
		return l.state(ctx, m.payload)
	case wire.KindFact, wire.KindRun:
		l.heard = time.Now()
		if l.overrun.Swap(false) {
			l.stream.Overrun()
		}
		return l.stream.Take(ctx, m.kind, m.payload)
	case wire.KindJob:
		return l.jobStatus(ctx, m.payload)
	case wire.KindHealth:
		return l.health(ctx, m.payload)
	case wire.KindEvent:
		return l.event(ctx, m.payload)
	case wire.KindBye:
		return l.bye(ctx, m.payload)
	}
	return fmt.Errorf("a %.20q goes the other way", m.kind)
}

// load reads the registry if what is known is old, and returns errUnknown unless
// the collector is admitted.
func (l *line) load(ctx context.Context, now bool) error {
	known := l.key != nil && l.stream != nil
	if !now && known && time.Since(l.read) < recheck {
		return nil
	}
	c, err := l.hub.cfg.Store.Collector(ctx, l.id)
	switch {
	case errors.Is(err, edp.ErrNotFound):
		return l.shutOut("it is not in the registry")
	case err != nil && known && !now:
		return nil // documents get an answer even when the store fails
	case err != nil:
		return err
	case c.State != edp.CollectorActive:
		return l.shutOut("it is " + string(c.State))
	}
	key, err := c.PublicKey()
	if err != nil {
		return err
	}
	l.entry, l.key, l.read = c, key, time.Now()
	if l.stream == nil {
		l.stream = l.hub.cfg.Ingest.Stream(l.id, key)
	}
	l.stream.SetKey(key)
	l.stream.SetBoot(c.Boot)
	return nil
}

// shutOut ends the session of a collector that is not admitted, or not any more.
func (l *line) shutOut(why string) error {
	l.key = nil
	l.setOnline(false)
	l.hub.cfg.Bus.Kick(l.id)
	return fmt.Errorf("%s: %w", why, errUnknown)
}

func (l *line) isOnline() bool {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.online
}

func (l *line) setOnline(yes bool) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.online = yes
}

// gone records that the collector is not there any more, and whether it said so, and
// lets the worker end.
func (l *line) gone(ctx context.Context, clean bool) error {
	l.setOnline(false)
	l.heard = time.Time{}
	return errors.Join(l.stream.Flush(ctx), l.hub.cfg.Store.SawBye(ctx, l.id, l.entry.Boot, clean))
}

// silent records that a collector fell silent: three heartbeats are missing, which
// is told at once.
func (l *line) silent(ctx context.Context) error {
	since := l.heard
	l.setOnline(false)
	l.heard = time.Time{}
	return errors.Join(l.stream.Flush(ctx), l.hub.cfg.Store.SawSilence(ctx, l.id, l.entry.Boot, since),
		l.hub.loseUnheard(ctx))
}
