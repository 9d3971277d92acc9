package enrol

import (
	"sync"
	"time"
)

const (
	// freeFailures may be made before a client has to wait. A secret has 128
	// bits: the limit is against noise and load, not against guessing.
	freeFailures = 10
	// perFailure is how long a failure counts.
	perFailure = 30 * time.Second
	// maxPeers bounds the memory of the limiter.
	maxPeers = 10_000
)

// limiter counts failures by address as a leaking bucket.
type limiter struct {
	mu    sync.Mutex
	until map[string]time.Time // when all failures of an address will have leaked
}

func newLimiter() *limiter { return &limiter{until: map[string]time.Time{}} }

// wait returns how long an address has to wait, 0 when it need not.
func (l *limiter) wait(from string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[from]
	if !known {
		return 0
	}
	return max(0, time.Until(until)-freeFailures*perFailure)
}

// failed counts one failure.
func (l *limiter) failed(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if len(l.until) >= maxPeers {
		l.forget(now)
	}
	start := l.until[from]
	if start.Before(now) {
		start = now
	}
	if _, known := l.until[from]; known || len(l.until) < maxPeers {
		l.until[from] = start.Add(perFailure)
	}
}

func (l *limiter) forget(now time.Time) {
	for k, t := range l.until {
		if t.Before(now) {
			delete(l.until, k)
		}
	}
}
