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

// clock is the cloud's time: an appliance may have no clock of its own. From the
// first welcome on it goes by the time that has passed since, which no step of the
// machine's clock changes.
type clock struct {
	mu    sync.Mutex    // guards what follows
	cloud time.Time     // at heard; zero: the machine's clock is used
	heard time.Time     // with its monotonic reading
	known time.Duration // the machine's clock behind the cloud's, as told last
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *clock) nowLocked() time.Time {
	if c.cloud.IsZero() {
		return time.Now()
	}
	return c.cloud.Add(time.Since(c.heard))
}

// set takes over the cloud's time. It returns by how much that moves the time that
// was used before, 0 for less than clockAlarm.
func (c *clock) set(cloud time.Time) time.Duration {
	if cloud.IsZero() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now, first := c.nowLocked(), c.cloud.IsZero()
	step := cloud.Sub(now)
	if step.Abs() <= clockSlack {
		cloud = now
	}
	c.cloud, c.heard = cloud.Round(0), time.Now()
	if first {
		c.known = c.behind()
	} else {
		c.known += cloud.Sub(now) // a step of the machine's clock meanwhile is still to be told
	}
	if step.Abs() <= clockAlarm {
		return 0
	}
	return step
}

// stepped returns by how much the machine's clock was set since it was asked last,
// 0 for less than clockAlarm. Only a clock that is compared with the cloud's is
// watched.
func (c *clock) stepped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cloud.IsZero() {
		return 0
	}
	behind := c.behind()
	step := c.known - behind
	c.known = behind
	if step.Abs() <= clockAlarm {
		return 0
	}
	return step
}

// behind is how far the machine's wall clock is behind. The caller holds mu.
func (c *clock) behind() time.Duration { return c.nowLocked().Sub(time.Now().Round(0)) }
