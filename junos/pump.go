package junos

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// pump turns the blocking Read of a channel that knows no deadlines into one
// that a context and a timer can leave. Its goroutine reads when asked and never
// ahead, so one buffer is enough.
//
// A read that was left is still under way: the next call of read waits for it,
// and must come with the same buffer. Only one goroutine may call read.
type pump struct {
	r     io.Reader
	want  chan []byte // holds 1, as got does: one read is under way at most, so nobody waits to hand over
	got   chan pumped
	quit  chan struct{}
	gone  chan struct{}
	once  sync.Once
	busy  bool  // a read is under way
	err   error // what the last read ended with, beside bytes
	pace  pace
	alarm alarm
}

type pumped struct {
	n   int
	err error
}

var (
	errStall  = errors.New("no bytes in time")
	errSlow   = errors.New("fewer bytes than the least rate")
	errClosed = errors.New("session closed")
)

func startPump(r io.Reader, stall time.Duration, rate int64) *pump {
	p := &pump{r: r, want: make(chan []byte, 1), got: make(chan pumped, 1),
		quit: make(chan struct{}), gone: make(chan struct{}),
		pace: pace{stall: stall, rate: rate}, alarm: newAlarm()}
	go p.run()
	return p
}

func (p *pump) run() {
	defer close(p.gone)
	for {
		select {
		case b := <-p.want:
			p.got <- readSome(p.r, b)
		case <-p.quit:
			return
		}
	}
}

// readSome bears readers that return nothing a few times, as io.Reader allows.
func readSome(r io.Reader, b []byte) pumped {
	for range 100 {
		if n, err := r.Read(b); n > 0 || err != nil {
			return pumped{n, err}
		}
	}
	return pumped{0, io.ErrNoProgress}
}

// read returns bytes, or errStall or errSlow when the pace says so, or the cause
// of the context, or errClosed after stop, or the reader's error.
func (p *pump) read(ctx context.Context, b []byte) (int, error) {
	select {
	case <-p.quit:
		return 0, errClosed
	default:
	}
	if p.err != nil {
		return 0, p.err
	}
	if !p.busy {
		p.want <- b
		p.busy = true
	}
	return p.wait(ctx)
}

// wait waits for the read that is under way.
func (p *pump) wait(ctx context.Context) (int, error) {
	start := time.Now()
	for now := start; ; now = time.Now() {
		due, err := p.pace.check(now.Sub(start))
		if err != nil {
			return 0, err
		}
		p.alarm.set(now, due)
		select {
		case res := <-p.got:
			return p.take(ctx, res, start)
		case <-p.alarm.rang:
			p.alarm.at = time.Time{}
		case <-ctx.Done():
			return 0, because(ctx)
		case <-p.quit:
			return 0, errClosed
		}
	}
}

func (p *pump) take(ctx context.Context, res pumped, start time.Time) (int, error) {
	p.busy, p.err = false, res.err
	if res.n > 0 {
		p.pace.came(res.n, time.Since(start))
		return res.n, nil
	}
	if ctx.Err() != nil { // which may be why the channel was closed
		return 0, because(ctx)
	}
	return 0, res.err
}

// stop makes read return errClosed, now and later.
func (p *pump) stop() { p.once.Do(func() { close(p.quit) }) }

// join returns when the goroutine is gone: after stop, and after the reader was
// closed so that its Read returns.
func (p *pump) join() {
	<-p.gone
	p.alarm.timer.Stop()
}
