package badline

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// chunk is the most that is read at once, and chunks how many of them may be on
	// their way in one direction: with a long delay the line still carries
	// chunk*chunks bytes for each delay.
	chunk  = 16 << 10
	chunks = 64
)

// wire is one connection through the line.
type wire struct {
	line *Line
	near net.Conn

	mu       sync.Mutex // guards what follows
	far      net.Conn
	lost     net.Conn // the end that is gone without the other's knowledge
	over     chan struct{}
	overOnce sync.Once
}

// piece is some bytes and when they may arrive.
type piece struct {
	bytes []byte
	due   time.Time
}

// join gives the wire its far end; false means that it was ended meanwhile.
func (w *wire) join(far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.far = far
	select {
	case <-w.over:
		return false
	default:
		return true
	}
}

// hold waits while the line is a black hole; false means that the wire is over.
func (w *wire) hold(ctx context.Context) bool {
	for {
		state, changed := w.line.now()
		if !state.blackHole {
			return true
		}
		select {
		case <-changed:
		case <-w.over:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// wait waits until a moment, or that long.
func (w *wire) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.over:
		return false
	case <-ctx.Done():
		return false
	}
}

// pump carries bytes in one direction until its source ends. An orderly end is
// handed on as such; any other ends the wire.
func (w *wire) pump(ctx context.Context, to, from net.Conn) {
	pieces := make(chan piece, chunks)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(pieces)
		w.read(ctx, from, pieces)
	})
	w.write(ctx, to, pieces)
	for range pieces { // read until the source ends, also where nobody gets it
	}
	wg.Wait()
	switch w.gone() {
	case from:
		return // the other pump waits for the end that is left to hang up
	case to:
		w.end()
		return
	}
	if c, ok := to.(*net.TCPConn); !ok || c.CloseWrite() != nil {
		w.end()
	}
}

func (w *wire) read(ctx context.Context, from net.Conn, to chan<- piece) {
	for {
		b := make([]byte, chunk)
		n, err := from.Read(b)
		if n > 0 {
			state, _ := w.line.now()
			select {
			case to <- piece{b[:n], time.Now().Add(state.delay)}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) write(ctx context.Context, to net.Conn, from <-chan piece) {
	for p := range from {
		if !w.wait(ctx, time.Until(p.due)) || !w.hand(ctx, to, p.bytes) {
			return
		}
	}
}

// hand gives bytes to an end, as fast as the line lets them through; false means
// that nothing more arrives there.
func (w *wire) hand(ctx context.Context, to net.Conn, b []byte) bool {
	for len(b) > 0 {
		if !w.hold(ctx) || w.gone() != nil {
			return false
		}
		state, _ := w.line.now()
		n := len(b)
		if state.rate > 0 {
			n = min(n, max(state.rate/20, 1)) // 20 pieces a second
		}
		w.line.carried.Add(uint64(n)) // before, so that who got them finds them counted
		if _, err := to.Write(b[:n]); err != nil {
			if w.gone() == nil {
				w.end()
			}
			return false
		}
		if state.rate > 0 && !w.wait(ctx, time.Duration(n)*time.Second/time.Duration(state.rate)) {
			return false
		}
		b = b[n:]
	}
	return true
}

// gone returns the end that is gone while the other does not know it.
func (w *wire) gone() net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// end closes both ends.
func (w *wire) end() {
	w.overOnce.Do(func() { close(w.over) })
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.near.Close()
	if w.far != nil {
		_ = w.far.Close()
	}
}

func (w *wire) reset() {
	w.mu.Lock()
	reset(w.near)
	reset(w.far)
	w.mu.Unlock()
	w.end()
}

// halfOpen takes one end away.
func (w *wire) halfOpen(far bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.far == nil || w.lost != nil {
		return
	}
	w.lost = w.near
	if far {
		w.lost = w.far
	}
	reset(w.lost)
}

// reset closes a connection so that its peer gets a RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok && t != nil {
		_ = t.SetLinger(0)
		_ = t.Close()
	}
}
