package uplink

import (
	"math/rand/v2"
	"time"
)

// backoff is exponential back-off with full jitter: the n-th wait is anywhere
// between nothing and least × 2^n, and never longer than most.
type backoff struct {
	least, most time.Duration
	n           int
}

// next returns the next wait.
func (b *backoff) next() time.Duration {
	d := double(b.least, b.n, b.most)
	b.n++
	return rand.N(d) + 1
}

// reset starts again with short waits.
func (b *backoff) reset() { b.n = 0 }

// double returns d × 2^n, at most most.
func double(d time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}
