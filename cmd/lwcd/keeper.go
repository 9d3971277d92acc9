package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/transport/wire"
)

const (
	// A half that ended is started again after a pause between these; the ports
	// and a lease stay meanwhile.
	firstRestart = time.Second
	lastRestart  = time.Minute
	// When a half ends this often within this time, starting it again helps
	// nobody: the daemon ends, and who watches it sees that.
	maxEnds   = 5
	endsSpan  = 10 * time.Minute
	askEvery  = time.Second
	deafLimit = 30 * time.Second // without a good answer, until the half is killed
)

// errHalf says that the collector half cannot be kept running.
var errHalf = errors.New("the collector half does not stay alive")

// keeper keeps one collector half running.
type keeper struct {
	site   *site
	state  folder
	stderr io.Writer
	start  func() (*child, error)

	ends    []time.Time   // of the newest unexpected ends
	again   chan struct{} // capacity 1: a job asks for a restart
	leaving chan struct{} // closed by leave
	left    sync.Once     // closes it

	mu     sync.Mutex // guards what follows
	report halves.Report
	heard  time.Time // of the last good answer, or the start
	deaf   error     // why the last answer was not good
	text   string    // while there is no half
	asked  []restart // the newest jobs that asked for a restart
	stays  error     // a half that was to end is still there
}

func newKeeper(t *site, state folder, stderr io.Writer) *keeper {
	k := &keeper{again: make(chan struct{}, 1), leaving: make(chan struct{}), site: t, state: state, stderr: stderr,
		text: "starting the collector half"}
	k.start = k.begin
	return k
}

// leave says that we end, and that a half which does not is somebody else's to end.
func (k *keeper) leave() { k.left.Do(func() { close(k.leaving) }) }

// lingers returns nil, or that a half is still there although it was to end: no other
// one must be started, by no other keeper either.
func (k *keeper) lingers() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stays
}

// run starts a half, and another one when it ends, until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	for pause := firstRestart; ; {
		began := time.Now()
		err := k.once(ctx)
		if ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errLingers) {
			return fmt.Errorf("%w: %w", errHalf, err)
		}
		if errors.Is(err, errRestart) {
			k.site.log.Info("the collector half is restarted, as a job asked", "error", err)
			k.set(halves.Report{}, "the collector half is restarted, as a job asked")
			continue
		}
		if time.Since(began) > endsSpan {
			pause = firstRestart
		}
		if k.tooOften() {
			return fmt.Errorf("%w: it ended %d times within %v, the last time so: %w", errHalf, maxEnds, endsSpan, err)
		}
		k.site.log.Error("the collector half ended unexpectedly and is started again", "error", err, "retry_in", pause.String())
		k.site.trouble(fmt.Sprintf("collector half ended: %v", err))
		k.site.notices.add(halves.Notice{Kind: wire.EventHalfRestarted,
			Text: fmt.Sprintf("the collector half ended unexpectedly (%v) and is started again; the ports stayed up", err)})
		k.set(halves.Report{}, fmt.Sprintf("the collector half ended (%v) and is started again", err))
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, lastRestart)
	}
}

// tooOften notes an unexpected end.
func (k *keeper) tooOften() bool {
	k.ends = slices.DeleteFunc(append(k.ends, time.Now()), func(t time.Time) bool { return time.Since(t) > endsSpan })
	return len(k.ends) >= maxEnds
}

// begin starts a half: as a child of ours, or by systemd where the configuration has it.
func (k *keeper) begin() (*child, error) {
	if k.site.conf.halfSocket == "" {
		return startChild(k.site.conf.ports.Mode, k.site.offer(), k.stderr)
	}
	spaces, err := k.site.guard.Namespaces()
	if err != nil {
		return nil, err
	}
	defer closeFiles(spaces)
	return startUnit(k.site.conf.halfSocket, spaces, k.site.offer())
}

// once runs one half to its end. The error says how it ended; it is nil after a
// clean stop.
func (k *keeper) once(ctx context.Context) error {
	if err := k.state.give(); err != nil {
		return err
	}
	c, err := k.start()
	if err != nil {
		return err
	}
	k.set(halves.Report{Status: "starting the collector half"}, "")
	k.restarted()
	asking, stop := context.WithCancel(ctx)
	var asks sync.WaitGroup
	asks.Go(func() { k.ask(asking, c) })
	ends := func() error {
		stop()
		asks.Wait()
		k.set(halves.Report{}, "waiting for the collector half to end")
		return c.stop(stopLimit, k.leaving)
	}
	select {
	case <-c.ended:
	case <-k.again:
		err = errors.Join(errRestart, ends())
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), errReload) {
			k.leave()
		}
		err = ends()
	}
	stop()
	asks.Wait()
	k.noteLingering(c.err)
	switch {
	case ctx.Err() != nil, errors.Is(err, errRestart):
		return err
	case c.err != nil:
		return c.err
	}
	return errors.New("it ended by itself")
}

// noteLingering notes how a half ended.
func (k *keeper) noteLingering(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, errLingers) {
		k.stays = err
	}
}

// ask takes the half's reports, and ends one that gives no good one for long.
func (k *keeper) ask(ctx context.Context, c *child) {
	for sleep(ctx, askEvery) {
		r, err := k.asks(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if err == nil && r.Problem != "" {
			err = errors.New(r.Problem)
		}
		if k.hear(r, err) >= deafLimit {
			k.site.log.Error("the collector half gives no sign of life and is ended", "error", err)
			c.kill()
			// The supervisor lives while it waits: its own watchdog is not to end it before.
			k.set(halves.Report{}, "the collector half gave no sign of life: waiting for its end")
			return
		}
	}
}

// asks asks once, and waits no longer than a half may go without a good answer. One that
// was not asked for that long, because the whole box stood still, is asked all the same.
func (k *keeper) asks(ctx context.Context, c *child) (halves.Report, error) {
	k.mu.Lock()
	latest := k.heard.Add(deafLimit)
	k.mu.Unlock()
	if now := time.Now(); !latest.After(now) {
		latest = now.Add(aliveLimit)
	}
	ctx, cancel := context.WithDeadline(ctx, latest)
	defer cancel()
	return c.half.Alive(ctx)
}

// hear notes an answer, and returns how long ago the last good one was.
func (k *keeper) hear(r halves.Report, err error) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.deaf = err
	if err == nil {
		k.report, k.heard = r, time.Now()
	}
	return time.Since(k.heard)
}

// set says where a half stands that has not spoken yet, or why there is none.
func (k *keeper) set(r halves.Report, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report, k.text, k.heard, k.deaf = r, text, time.Now(), nil
}

// alive returns why the half gives no sign of life. While it waits to be started
// again there is none to ask.
func (k *keeper) alive() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.deaf
}

func (k *keeper) status() string {
	r, text := k.last()
	if text != "" {
		return text
	}
	return r.Status
}

// last returns the last report, or why there is none.
func (k *keeper) last() (halves.Report, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.report, k.text
}
