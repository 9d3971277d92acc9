package uplink

import (
	"context"
	"slices"
	"sync"
	"time"

	"lwc/transport/wire"
)

const (
	// maxEvents is how many events wait for their receipt.
	maxEvents = 256
	// eventRetry is how long a receipt of an event is waited for before it is sent
	// again; each time twice as long, up to eventRetryMost.
	eventRetry     = 15 * time.Second
	eventRetryMost = 10 * time.Minute
	// noEvent is how long nothing is due where no event waits.
	noEvent = time.Hour
)

// eventBoard keeps events until the cloud gave their receipt: a broker that no cloud
// listens to acknowledges them as well.
type eventBoard struct {
	wake func()

	mu   sync.Mutex // guards all below
	list []*keptEvent
	lost int64 // that made room without a receipt
}

type keptEvent struct {
	wire.Event
	due  time.Time     // when it is to be sent; zero: at once
	wait time.Duration // for the receipt, after it was sent last
}

// put queues an event; the oldest makes room.
func (b *eventBoard) put(e wire.Event) {
	b.mu.Lock()
	b.list = append(b.list, &keptEvent{Event: e})
	if over := len(b.list) - maxEvents; over > 0 {
		b.lost += int64(over)
		b.list = slices.Delete(b.list, 0, over)
	}
	b.mu.Unlock()
	b.wake()
}

// next returns the oldest event that is due, and counts it as sent.
func (b *eventBoard) next(now time.Time) (wire.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.list {
		if !e.due.After(now) {
			e.wait = min(max(2*e.wait, eventRetry), eventRetryMost)
			e.due = now.Add(e.wait)
			return e.Event, true
		}
	}
	return wire.Event{}, false
}

// idle is how long nothing is due.
func (b *eventBoard) idle(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	least := noEvent
	for _, e := range b.list {
		least = min(least, e.due.Sub(now))
	}
	return max(least, 0)
}

// again makes all events due: what the connection before carried may have reached
// nobody.
func (b *eventBoard) again() {
	b.mu.Lock()
	for _, e := range b.list {
		e.due, e.wait = time.Time{}, 0
	}
	b.mu.Unlock()
	b.wake()
}

// settle forgets the event of a receipt that is the last word, and tells whether the
// receipt is of an event.
func (b *eventBoard) settle(r wire.Receipt) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.IndexFunc(b.list, func(e *keptEvent) bool { return e.ID == r.ID })
	if at < 0 {
		return false
	}
	if final(wire.KindEvent, r) {
		b.list = slices.Delete(b.list, at, at+1)
	}
	return true
}

// counts are how many events were lost, and how many wait for a receipt.
func (b *eventBoard) counts() (lost, waiting int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost, int64(len(b.list))
}

// sendEvents sends the events that are due, and tells whether one was about the
// ports.
func (s *session) sendEvents(ctx context.Context) (ports bool, err error) {
	for {
		e, ok := s.u.events.next(time.Now())
		if !ok {
			return ports, nil
		}
		if err := s.plain(ctx, wire.KindEvent, e); err != nil {
			return ports, err
		}
		ports = ports || e.Kind == wire.EventPortViolation
	}
}
