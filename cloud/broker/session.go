package broker

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// maxQueued bounds the messages that wait for the socket of one collector. It
// is below the embedded broker's own queue, which drops what does not fit.
const maxQueued = 48

// session is one connection of a collector, as the broker library sees it.
type session struct {
	net.Conn
	collector string
	done      chan struct{} // closed when the broker is through with it
	room      chan struct{} // signalled when a queued message went out

	mu     sync.Mutex // guards queued
	queued int        // messages between Publish and the socket
}

func newSession(c net.Conn, collector string) *session {
	return &session{Conn: c, collector: collector,
		done: make(chan struct{}), room: make(chan struct{}, 1)}
}

// reserve takes a place in the queue, waiting for one.
func (s *session) reserve(ctx context.Context) error {
	for {
		if s.tryReserve() {
			return nil
		}
		select {
		case <-s.room:
		case <-s.done:
			return fmt.Errorf("publishing to %s: %w", s.collector, ErrOffline)
		case <-ctx.Done():
			return fmt.Errorf("publishing to %s: %w", s.collector, ErrSlow)
		}
	}
}

func (s *session) tryReserve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued >= maxQueued {
		return false
	}
	s.queued++
	return true
}

// release gives a place back and wakes one that waits.
func (s *session) release() {
	s.mu.Lock()
	s.queued--
	s.mu.Unlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// gone waits until the broker is through with the session.
func (s *session) gone(timeout time.Duration) bool {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-s.done:
		return true
	case <-t.C:
		return false
	}
}
