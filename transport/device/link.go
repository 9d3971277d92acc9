package device

import (
	"context"
	"errors"
	"slices"
	"time"
)

// link is the one connection to a bastion that the devices behind it share.
type link struct {
	dialer *Dialer
	hop    *hop
	depth  int // bastions before it
	cancel context.CancelCauseFunc
	ready  chan struct{} // closed when the dial is over

	// Of the dial, and constant when ready is closed.
	parent *link // nil: over TCP
	client *client
	rec    record
	err    *Error

	dead chan struct{} // closed when the connection ended, with cause
	poke chan struct{} // asks for a sign of life now

	// The pool's mu guards what follows.
	refs    int
	unused  *time.Timer
	retired bool // no new device may use it
	cause   error
	busy    int             // tunnels
	most    int             // of them; zero: the default
	free    chan struct{}   // closed and replaced when a tunnel ends
	waiting []chan struct{} // closed at the next sign of life
}

func (l *link) isReady() bool {
	select {
	case <-l.ready:
		return true
	default:
		return false
	}
}

// serves tells whether a caller may share the connection: it was dialled for the
// very same hops, or what it found at each of them satisfies the caller's pins.
// mu is held.
func (l *link) serves(hops []*hop) bool {
	if l.hop.exact == hops[l.depth].exact {
		return true
	}
	if !l.isReady() || l.err != nil {
		return false
	}
	for at := l; at != nil; at = at.parent {
		h := hops[at.depth]
		if _, err := h.pins.verify(at.rec.key, h.TrustFirst); err != nil {
			return false
		}
	}
	return true
}

// records returns what became known on the way, from the first hop to this one.
func (l *link) records() []record { return append(l.before(), l.rec) }

func (l *link) before() []record {
	var all []record
	for at := l.parent; at != nil; at = at.parent {
		all = append(all, at.rec)
	}
	slices.Reverse(all)
	return all
}

// givenUpTime is how long a caller whose context ended waits for the dial that
// ended with it, to tell how far that came.
const givenUpTime = 50 * time.Millisecond

func (l *link) givenUp(ctx context.Context) *Error {
	t := time.NewTimer(givenUpTime)
	defer t.Stop()
	select {
	case <-l.ready:
		if l.err != nil {
			return l.err.clone()
		}
	case <-t.C:
	}
	cause := context.Cause(ctx)
	return (&Error{Phase: PhaseConnect, Kind: causeKind(cause), Err: cause}).blame(l.depth)
}

// kill ends the connection and all that goes through it.
func (l *link) kill(cause error) {
	p := &l.dialer.pool
	p.mu.Lock()
	p.remove(l)
	first := l.cause == nil
	if first {
		if cause == nil {
			cause = errUnused
		}
		l.cause = cause
		close(l.dead)
	}
	p.mu.Unlock()
	if first {
		l.client.line.Close()
	}
}

// retire lets no new device use the connection.
func (l *link) retire() {
	p := &l.dialer.pool
	p.mu.Lock()
	p.remove(l)
	l.retired = true
	over := l.refs == 0
	p.mu.Unlock()
	if over {
		l.kill(errHung)
	}
}

var errMute = errors.New("it gives no sign of life")

// tend asks for a sign of life from time to time, until the connection ends.
func (l *link) tend() {
	p := &l.dialer.pool
	p.crew.spawn(func() { l.kill(l.client.Wait()) })
	every := l.dialer.Timeouts.withDefaults().KeepAlive
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.dead:
			l.client.end()
			return
		case <-t.C:
		case <-l.poke:
		}
		l.ping(every)
	}
}

// ping sends the request of OpenSSH's ServerAliveInterval: each answer is one,
// also a refusal.
func (l *link) ping(patience time.Duration) {
	p := &l.dialer.pool
	p.mu.Lock()
	waiting := l.waiting
	l.waiting = nil
	p.mu.Unlock()
	late := time.AfterFunc(patience, func() { l.kill(errMute) })
	_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
	switch {
	case !late.Stop():
	case err != nil:
		l.kill(err)
	default:
		for _, w := range waiting {
			close(w)
		}
	}
}

// proofTime is how long a bastion may take to prove that it lives, when a
// failure behind it is in question.
const proofTime = 2 * time.Second

// fault tells which bastion of the chain is dead or silent, if one is.
func (l *link) fault(ctx context.Context) (bad *link, err error) {
	if l.parent != nil {
		if bad, err := l.parent.fault(ctx); err != nil {
			return bad, err
		}
	}
	return l, l.prove(ctx)
}

func (l *link) prove(ctx context.Context) error {
	p, pong := &l.dialer.pool, make(chan struct{})
	p.mu.Lock()
	l.waiting = append(l.waiting, pong)
	p.mu.Unlock()
	select {
	case l.poke <- struct{}{}:
	default:
	}
	t := time.NewTimer(proofTime)
	defer t.Stop()
	select {
	case <-pong:
		return nil
	case <-l.dead:
		return l.end()
	case <-t.C:
		return errMute
	case <-ctx.Done():
		return nil // nobody wants to know
	}
}

// end returns why the connection ended.
func (l *link) end() error {
	l.dialer.pool.mu.Lock()
	defer l.dialer.pool.mu.Unlock()
	return foreign{l.cause}
}

// guilty turns a failure behind the bastions into one of theirs, where one of
// them is dead: then nothing is known about what stands behind it. No new device
// is led through one that is silent; the keep-alive decides over the others.
func (l *link) guilty(ctx context.Context, phase Phase, e *Error) *Error {
	bad, err := l.fault(ctx)
	if err == nil {
		return e
	}
	kind := KindClosed
	if errors.Is(err, errMute) {
		kind = KindTimeout
		for at := l; at.depth >= bad.depth; at = at.parent {
			at.retire()
			if at == bad {
				break
			}
		}
	}
	return (&Error{Phase: phase, Kind: kind, Err: err, stale: phase == PhaseForward}).blame(bad.depth)
}
