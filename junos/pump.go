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
	want  chan []byte
	got   chan pumped // holds 1, so that the goroutine never waits to deliver
	quit  chan struct{}
	gone  chan struct{}
	once  sync.Once
	busy  bool  // a read is under way
	err   error // what the last read ended with, beside bytes
	timer *time.Timer
}

type pumped struct {
	n   int
	err error
}

var (
	errStall  = errors.New("no bytes in time")
	errClosed = errors.New("session closed")
)

func startPump(r io.Reader) *pump {
	p := &pump{r: r, want: make(chan []byte), got: make(chan pumped, 1),
		quit: make(chan struct{}), gone: make(chan struct{}), timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
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

// read returns bytes, or errStall after the given time without any, or the cause
// of the context, or errClosed after stop, or the reader's error.
func (p *pump) read(ctx context.Context, b []byte, stall time.Duration) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if !p.busy {
		select {
		case p.want <- b:
			p.busy = true
		case <-p.quit:
			return 0, errClosed
		}
	}
	p.timer.Reset(stall)
	defer p.timer.Stop()
	select {
	case res := <-p.got:
		p.busy, p.err = false, res.err
		if res.n > 0 {
			return res.n, nil
		}
		if ctx.Err() != nil { // which may be why the channel was closed
			return 0, context.Cause(ctx)
		}
		return 0, res.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-p.timer.C:
		return 0, errStall
	case <-p.quit:
		return 0, errClosed
	}
}

// stop makes read return errClosed, now and later.
func (p *pump) stop() { p.once.Do(func() { close(p.quit) }) }

// wait returns when the goroutine is gone: after stop, and after the reader
// was closed so that its Read returns.
func (p *pump) wait() { <-p.gone }
