package badline

import (
	"context"
	"testing"
	"time"
)

// Cut ends the connections that are there as a peer does that closes: both ends get
// a FIN.
func (l *Line) Cut() {
	for _, w := range l.wires() {
		w.end()
	}
}

// Reset ends the connections that are there with a RST to both ends.
func (l *Line) Reset() {
	for _, w := range l.wires() {
		w.reset()
	}
}

// HalfOpen takes the target's end of the connections that are there away with a RST.
// The end of those who dialled stays open: it swallows what is written and never
// answers, as a line does whose NAT has forgotten it.
func (l *Line) HalfOpen() {
	for _, w := range l.wires() {
		w.halfOpen(true)
	}
}

// HalfOpenFar is HalfOpen with the ends exchanged: those who dialled get a RST, the
// target is left with a connection that says nothing more.
func (l *Line) HalfOpenFar() {
	for _, w := range l.wires() {
		w.halfOpen(false)
	}
}

// Refuse resets connections that come; those that are there stay.
func (l *Line) Refuse() { l.set(func(c *condition) { c.refuse = true }) }

// BlackHole lets no byte pass, of connections that are there and that come. They
// are accepted, because the kernel does it. After Heal what has been written goes
// on its way, as TCP sends it again.
func (l *Line) BlackHole() { l.set(func(c *condition) { c.blackHole = true }) }

// Delay makes every byte this much later, in both directions.
func (l *Line) Delay(d time.Duration) { l.set(func(c *condition) { c.delay = d }) }

// Rate bounds the bytes a second in each direction of each connection; 0 is no bound.
func (l *Line) Rate(bytesPerSecond int) {
	l.set(func(c *condition) { c.rate = max(bytesPerSecond, 0) })
}

// Heal ends Refuse, BlackHole, Delay and Rate. Connections that were cut, reset or
// left half open stay so.
func (l *Line) Heal() { l.set(func(c *condition) { *c = condition{} }) }

// Retarget leads connections that come to another target.
func (l *Line) Retarget(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dial = dialer(target)
}

// Accepted counts the connections that were ever made to the line.
func (l *Line) Accepted() uint64 { return l.accepted.Load() }

// Live counts the connections that are there.
func (l *Line) Live() int { return len(l.wires()) }

// Carried counts the bytes that were handed on, in both directions.
func (l *Line) Carried() uint64 { return l.carried.Load() }

// Start makes a line on a free port of 127.0.0.1 that lives as long as the test.
func Start(t testing.TB, target string) *Line {
	t.Helper()
	l, err := New("127.0.0.1:0", target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}
