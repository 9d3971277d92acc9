package netguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Run verifies the ports, watches them, and follows what the supervisor tells,
// until ctx ends (then it returns nil) or the supervisor is gone. When it
// returns nothing can be dialled any more and all connections are closed.
func (h *Half) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(h.follow(ctx))
	}()
	newLookout(h).run(ctx)
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
func (h *Half) follow(ctx context.Context) error {
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
		h.news()
	}
}

// news has the new view judged.
func (h *Half) news() {
	if h.watch != nil {
		h.watch.poke()
		return
	}
	select {
	case h.changes <- struct{}{}:
	default:
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

// verify compares the kernel with the view, adds what is wrong otherwise, and
// returns all of it. What the supervisor has blocked is blocked: then nothing is
// looked at.
func (h *Half) verify(ctx context.Context, trouble []*Violation) []*Violation {
	h.mu.Lock()
	c, sides, supervisor := h.view.Config, h.sides, h.view.State.Status
	h.mu.Unlock()
	if supervisor != Open {
		h.settle(nil, false)
		h.hangUp()
		return nil
	}
	found := trouble
	if c.Mode != Unprotected {
		found = merge(found, look(ctx, h.home, sides))
	}
	if ctx.Err() != nil {
		return nil // says nothing about the ports
	}
	h.settle(found, true)
	return found
}

// look verifies all but the tables. Nothing may be in the namespace of the half.
func look(ctx context.Context, home *home, sides [2]*member) []*Violation {
	s := scope{home: home, members: sides[:], dedicated: true}
	report, err := s.verify(ctx)
	if err != nil { // once more: a link may have gone while it was read
		report, err = s.verify(ctx)
	}
	if err != nil {
		return []*Violation{{Kind: KindNamespace, Detail: err.Error(), At: report.At}}
	}
	return report.Violations
}

// settle takes the result of a verification, and tells what changed by it.
func (h *Half) settle(found []*Violation, judged bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range found {
		if !slices.ContainsFunc(h.found, v.same) {
			h.tell(Event{At: v.At, Status: Blocked, Violation: v, Text: v.Error()})
		}
	}
	h.found, h.judged = found, judged
	h.pronounce()
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
