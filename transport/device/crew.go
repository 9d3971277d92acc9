package device

import "sync"

// crew waits for goroutines, of which more may be started while it waits. The
// zero value is ready.
type crew struct {
	mu    sync.Mutex // guards all
	tasks int
	empty chan struct{} // closed when there is no task left; nil: nobody waits
}

// spawn runs task in a goroutine.
func (c *crew) spawn(task func()) {
	c.mu.Lock()
	c.tasks++
	c.mu.Unlock()
	go func() {
		defer c.leave()
		task()
	}()
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tasks--
	if c.tasks == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// wait returns when no task is left.
func (c *crew) wait() {
	c.mu.Lock()
	if c.tasks == 0 {
		c.mu.Unlock()
		return
	}
	if c.empty == nil {
		c.empty = make(chan struct{})
	}
	empty := c.empty
	c.mu.Unlock()
	<-empty
}
