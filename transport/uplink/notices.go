package uplink

import (
	"sync"

	"lwc/transport/wire"
)

// notice is a state or a job's status, on its way up.
type notice struct {
	kind wire.Kind
	msg  any
	n    uint64 // order of arrival
}

// noticeBoard keeps the newest notices until they are sent. Each kind has its
// own bound, so that a flood of one does not push out another.
type noticeBoard struct {
	wake func()

	mu     sync.Mutex // guards all below
	queues map[wire.Kind][]notice
	n      uint64
}

func newNoticeBoard(wake func()) *noticeBoard {
	return &noticeBoard{wake: wake, queues: map[wire.Kind][]notice{}}
}

// room is how many notices of a kind are kept. States describe the same thing,
// so that few are of use; a job reports each device of a run.
func room(k wire.Kind) int {
	if k == wire.KindState {
		return 8
	}
	return 2048
}

// put queues a notice; the oldest of its kind makes room.
func (b *noticeBoard) put(n notice) {
	b.mu.Lock()
	b.n++
	n.n = b.n
	q := append(b.queues[n.kind], n)
	b.queues[n.kind] = q[max(0, len(q)-room(n.kind)):]
	b.mu.Unlock()
	b.wake()
}

// back returns notices, in order, that could not be delivered. Newer ones keep
// their place.
func (b *noticeBoard) back(ns []notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range []wire.Kind{wire.KindState, wire.KindJob} {
		var q []notice
		for _, n := range ns {
			if n.kind == k {
				q = append(q, n)
			}
		}
		q = append(q, b.queues[k]...)
		b.queues[k] = q[max(0, len(q)-room(k)):]
	}
}

// take removes the oldest notice.
func (b *noticeBoard) take() (notice, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best wire.Kind
	for k, q := range b.queues {
		if len(q) > 0 && (best == "" || q[0].n < b.queues[best][0].n) {
			best = k
		}
	}
	if best == "" {
		return notice{}, false
	}
	q := b.queues[best]
	n := q[0]
	q[0] = notice{}
	b.queues[best] = q[1:]
	return n, true
}
