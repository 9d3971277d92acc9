package collector

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// parkAfter is how long a device may stand still before its slot is lent to
	// another: longer than most answers of a healthy one take, and where one takes
	// longer, nothing is lost.
	parkAfter = 3 * time.Second
	// parkBelow is what a device must send within parkAfter to count as going on,
	// in bytes: a device on a line of 64 kbit/s sends six times as much.
	parkBelow = 4 << 10
)

// progress watches whether a device goes on, and lends its slot out while it
// does not. Time in which the collector itself waits does not count.
type progress struct {
	slot     *berth
	patience *patience
	bytes    atomic.Int64

	mu    sync.Mutex // guards what follows
	seen  int64      // bytes, when they counted last
	at    time.Time  // when that was
	timer *time.Timer
	ended bool
}

// watchProgress begins to watch. The caller calls end.
func watchProgress(slot *berth, p *patience) *progress {
	w := &progress{slot: slot, patience: p, at: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(parkAfter, w.look)
	return w
}

// look is called when a device may have stood still for parkAfter.
func (p *progress) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if rest := parkAfter - time.Since(p.at); rest > 0 {
		p.timer.Reset(rest)
		return
	}
	switch {
	case p.bytes.Load()-p.seen >= parkBelow:
		p.slot.resume()
	case p.patience.running():
		p.slot.park()
	}
	p.again()
	p.timer.Reset(parkAfter)
}

// again begins to count anew. The caller holds mu.
func (p *progress) again() { p.seen, p.at = p.bytes.Load(), time.Now() }

// step says that the device has finished something: a log-in, a reply.
func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again()
	p.slot.resume()
}

// turn says that it is the device's turn now, after a wait of the collector.
func (p *progress) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again()
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
}

// watch counts what is read from a stream.
func (p *progress) watch(rw io.ReadWriteCloser) io.ReadWriteCloser {
	return struct {
		io.Reader
		io.WriteCloser
	}{counted{rw, p}, rw}
}

// watchReader is watch for the output of a command.
func (p *progress) watchReader(r io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{counted{r, p}, r}
}

// counted tells progress of what is read.
type counted struct {
	r io.Reader
	p *progress
}

// Read implements io.Reader.
func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.bytes.Add(int64(n))
	return n, err
}
