package main

import (
	"context"
	"slices"
	"sync"

	"lwc/cmd/lwcd/halves"
)

// noticesKept is how many notices wait for a collector half that tells them to
// the cloud; older ones give way.
const noticesKept = 64

// notices are what the supervisor wants the cloud to know.
type notices struct {
	mu   sync.Mutex // guards what follows
	list []halves.Notice
	last uint64
	more chan struct{} // closed when there is a new one
}

func newNotices() *notices { return &notices{more: make(chan struct{})} }

// add numbers and queues a notice.
func (n *notices) add(one halves.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	one.Number = n.last
	n.list = append(n.list, one)
	if over := len(n.list) - noticesKept; over > 0 {
		n.list = slices.Delete(n.list, 0, over)
	}
	close(n.more)
	n.more = make(chan struct{})
}

// Notices implements half of halves.Desk.
func (n *notices) Notices(ctx context.Context, after uint64) ([]halves.Notice, error) {
	for {
		out, more := n.take(after)
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *notices) take(after uint64) ([]halves.Notice, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = slices.DeleteFunc(n.list, func(o halves.Notice) bool { return o.Number <= after })
	return slices.Clone(n.list), n.more
}
