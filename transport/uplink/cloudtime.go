package uplink

import (
	"sync"
	"time"
)

// cloudTime is the time as the cloud tells it. Steps of this machine's clock do not
// move it: it goes on by the clock that nobody sets. The zero value is the
// machine's own time.
type cloudTime struct {
	mu   sync.Mutex // guards what follows
	at   time.Time  // when it was told, with the monotonic reading
	then time.Time  // what the cloud said
}

// Store notes that the cloud's clock is ahead of this machine's by so many
// nanoseconds now.
func (c *cloudTime) Store(ahead int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Now()
	c.then = c.at.Round(0).Add(time.Duration(ahead))
}

// now returns the cloud's time.
func (c *cloudTime) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return time.Now()
	}
	return c.then.Add(time.Since(c.at))
}
