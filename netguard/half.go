package netguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	// healTime is how long the supervisor has for a violation that this half sees
	// too: to heal it, or to tell that it is meant so. Nothing is dialled
	// meanwhile; after it what is open is closed.
	healTime = 500 * time.Millisecond
	// recheckTime is the pause between verifications while there is a violation.
	recheckTime = 50 * time.Millisecond
	// halfEvery is how often the half verifies without being told of a change:
	// not all that counts makes an event.
	halfEvery = time.Second
)

// Run verifies the ports, watches them, and follows what the supervisor tells,
// until ctx ends (then it returns nil) or the supervisor is gone. When it
// returns nothing can be dialled any more and all connections are closed.
func (h *Half) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	changes := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(h.follow(ctx, changes))
	}()
	h.guard(ctx, changes)
	cancel(nil)
	<-ended
	err := context.Cause(ctx)
	h.abandon(err)
	if _, ok := errors.AsType[*goneError](err); ok {
		return fmt.Errorf("following the supervisor of the ports: %w", err)
	}
	return nil
}

// goneError says why the supervisor can be followed no longer.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// follow takes on each new view until there are no more.
func (h *Half) follow(ctx context.Context, changes chan<- struct{}) error {
	for {
		v, err := h.upstream.View(ctx, h.serial())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = h.take(v)
		}
		if err != nil {
			return &goneError{err}
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}

func (h *Half) serial() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.view.Serial
}

// take makes v what the half goes by. Namespaces that were made anew cannot be
// entered without privileges: the supervisor has to start another half.
func (h *Half) take(v View) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.Cookies != h.view.Cookies || v.Config.Mode != h.view.Config.Mode {
		return fmt.Errorf("%w: the supervisor has other ones by now", ErrWrongNamespace)
	}
	h.view = v
	h.judged = h.judged && v.State.Status == Open
	sides := h.sides
	for i, m := range sides {
		if m != nil {
			sides[i] = v.member(m.ns.side, m.ns)
		}
	}
	h.sides = sides
	return nil
}

// guard judges the ports at each change until ctx ends.
func (h *Half) guard(ctx context.Context, changes <-chan struct{}) {
	var since time.Time // when the present violation was seen first
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-timer.C:
		}
		bad := h.verify(ctx)
		if ctx.Err() != nil {
			return
		}
		if !bad {
			since = time.Time{}
			timer.Reset(halfEvery)
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		timer.Reset(h.punish(since))
	}
}

// punish closes what is open once the supervisor had its time, and says when to
// verify again.
func (h *Half) punish(since time.Time) time.Duration {
	if left := time.Until(since.Add(healTime)); left > 0 {
		return min(left, recheckTime)
	}
	h.hangUp()
	return recheckTime
}

// verify compares the kernel with the view and reports whether it differs. What
// the supervisor says of it comes first: what it has blocked is blocked.
func (h *Half) verify(ctx context.Context) (bad bool) {
	h.mu.Lock()
	c, sides, supervisor := h.view.Config, h.sides, h.view.State.Status
	h.mu.Unlock()
	if supervisor != Open {
		h.settle(nil, false)
		h.hangUp()
		return false
	}
	if c.Mode == Unprotected {
		h.settle(nil, true)
		return false
	}
	report, err := scope{h.home, sides[:], c.Dedicated}.verify(ctx)
	if ctx.Err() != nil {
		return false
	}
	found := report.Violations
	if err != nil {
		found = []*Violation{{Kind: KindNamespace, Detail: err.Error(), At: time.Now()}}
	}
	h.settle(found, true)
	return len(found) > 0
}

// settle takes the result of a verification, and tells what changed by it.
func (h *Half) settle(found []*Violation, judged bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range found {
		if !v.in(h.found) {
			h.tell(Event{At: v.At, Status: Blocked, Violation: v, Text: v.Error()})
		}
	}
	h.found, h.judged = found, judged
	h.pronounce()
}

func (v *Violation) in(list []*Violation) bool {
	for _, o := range list {
		if v.same(o) {
			return true
		}
	}
	return false
}

// pronounce tells the condition when it is another one. h.mu is held.
func (h *Half) pronounce() {
	s := h.judgement()
	if s.Status == Open {
		h.become.Do(func() { close(h.ready) })
	}
	if s.Status != h.state.Status {
		h.tell(Event{At: time.Now(), Status: s.Status, Text: "ports are " + string(s.Status)})
	}
	h.state = s
}

// judgement puts together what the supervisor and this half say. h.mu is held,
// or h not shared yet.
func (h *Half) judgement() State {
	s := h.view.State
	switch {
	case h.closed:
		s.Status, s.Detail = Down, "closed"
	case h.gone != nil:
		s.Status, s.Detail = Blocked, "the supervisor is gone: "+h.gone.Error()
	case s.Status != Open:
	case len(h.found) > 0:
		s.Status, s.Detail = Blocked, summary(h.found)
	case !h.judged:
		s.Status, s.Detail = Down, "not verified yet"
	}
	if s.Status == h.state.Status {
		s.Since = h.state.Since
	} else if s.Status != h.view.State.Status {
		s.Since = time.Now()
	}
	return s
}

// abandon blocks the ports for good.
func (h *Half) abandon(why error) {
	h.mu.Lock()
	h.gone = why
	h.pronounce()
	h.mu.Unlock()
	h.hangUp()
}

// tell queues an event, dropping the oldest when nobody reads. h.mu is held.
func (h *Half) tell(e Event) {
	for !h.closed {
		select {
		case h.events <- e:
			return
		default:
		}
		select {
		case <-h.events:
		default:
		}
	}
}

// State returns the present condition: that of the supervisor, unless this half
// sees more.
func (h *Half) State() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.judgement()
}

// refusal implements gate.
func (h *Half) refusal() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if s := h.judgement(); s.Status != Open {
		return fmt.Errorf("%w: %s", ErrBlocked, s.Detail)
	}
	return nil
}

// outlet implements gate.
func (h *Half) outlet(side Side) (outlet, error) {
	if err := h.refusal(); err != nil {
		return outlet{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return newOutlet(side, h.view.Config, h.sides[side.place()]), nil
}

// permit implements gate: the supervisor resolves and opens the kernel's wall.
func (h *Half) permit(ctx context.Context, e Endpoint) ([]netip.AddrPort, error) {
	return h.upstream.Permit(ctx, e)
}
