package collector

import (
	"sync"
	"time"
)

const (
	// clockSlack is the difference to the cloud's time that is put down to the
	// way of the message.
	clockSlack = 2 * time.Second
	// clockAlarm is where a wrong clock is worth an event: certificates and
	// one-minute schedules begin to notice.
	clockAlarm = 30 * time.Second
)

// clock is the cloud's time: an appliance may have no clock of its own.
type clock struct {
	mu     sync.Mutex // guards offset
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// set takes over the cloud's time. It returns the step if that is one.
func (c *clock) set(cloud time.Time) time.Duration {
	if cloud.IsZero() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	step := cloud.Sub(time.Now().Add(c.offset))
	if step.Abs() <= clockSlack {
		return 0
	}
	c.offset += step
	if step.Abs() <= clockAlarm {
		return 0
	}
	return step
}
