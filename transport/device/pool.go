package device

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	defaultIdle     = 30 * time.Second
	defaultSessions = 64
	// refusalTime is how long a refused log-in at a bastion is the answer for
	// whoever comes next: the devices of one wave do not all begin at once.
	refusalTime = 3 * time.Second
)

var (
	errDialerClosed = errors.New("the dialer is closed")
	errUnused       = errors.New("no device used the connection any more")
	errHung         = errors.New("the bastion does not close what is to be closed")
)

// digest stands for what must not be kept: credentials among other things. It is
// keyed, so that it tells nothing to who reads it.
type digest [sha256.Size]byte

// pool holds the connections to bastions that devices share.
type pool struct {
	crew crew

	mu     sync.Mutex // guards all below, and what each link says it guards
	salt   []byte
	links  map[digest][]*link // that can be joined, by hop.base
	all    map[*link]struct{} // that are dialled or stand
	closed bool
}

func (p *pool) digest(parts ...[]byte) digest {
	mac := hmac.New(sha256.New, p.key())
	for _, b := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		mac.Write(n[:])
		mac.Write(b)
	}
	return digest(mac.Sum(nil))
}

func (p *pool) key() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.salt == nil {
		p.salt = make([]byte, sha256.Size)
		rand.Read(p.salt) // never fails
	}
	return p.salt
}

func (d *Dialer) idle() time.Duration {
	if d.Idle > 0 {
		return d.Idle
	}
	return defaultIdle
}

// acquire returns the connection to the last of the hops, which is dialled when
// there is none. All who ask at the same time wait for one dial, which ends when
// none of them waits any more. The caller releases it. stood tells that it was
// there before.
func (d *Dialer) acquire(ctx context.Context, hops []*hop) (l *link, stood bool, e *Error) {
	l, stood, e = d.join(hops)
	if e != nil {
		return nil, false, e
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		d.release(l, context.Cause(ctx))
		return nil, false, l.givenUp(ctx)
	}
	if l.err != nil {
		d.release(l, nil)
		return nil, false, l.err.clone()
	}
	return l, stood, nil
}

// join finds a connection that serves the hops, or begins one.
func (d *Dialer) join(hops []*hop) (l *link, stood bool, e *Error) {
	p, last := &d.pool, hops[len(hops)-1]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, &Error{Phase: PhaseConnect, Kind: KindCancelled, Err: errDialerClosed, at: len(hops)}
	}
	for _, l := range p.links[last.base] {
		if l.serves(hops) {
			l.refs++
			l.most = last.MaxSessions
			if l.unused != nil {
				l.unused.Stop()
			}
			return l, l.isReady(), nil
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	l = &link{dialer: d, hop: last.bare(), depth: len(hops) - 1, cancel: cancel, refs: 1, most: last.MaxSessions,
		ready: make(chan struct{}), dead: make(chan struct{}), free: make(chan struct{}), poke: make(chan struct{}, 1)}
	if p.links == nil {
		p.links, p.all = map[digest][]*link{}, map[*link]struct{}{}
	}
	p.all[l] = struct{}{}
	p.links[last.base] = append(p.links[last.base], l)
	own := make([]*hop, len(hops))
	for i, h := range hops {
		own[i] = h.own()
	}
	p.crew.spawn(func() { d.raise(ctx, l, own) })
	return l, false, nil
}

// remove takes a connection out of what can be joined. mu is held.
func (p *pool) remove(l *link) {
	left := slices.DeleteFunc(p.links[l.hop.base], func(o *link) bool { return o == l })
	if len(left) == 0 {
		delete(p.links, l.hop.base)
		return
	}
	p.links[l.hop.base] = left
}

// release gives up what acquire returned. cause is told to a dial that nobody
// waits for any more.
func (d *Dialer) release(l *link, cause error) {
	p := &d.pool
	p.mu.Lock()
	l.refs--
	over := l.refs == 0 && l.isReady() && l.err == nil && (l.retired || p.closed)
	switch {
	case l.refs > 0:
	case !l.isReady():
		p.remove(l)
		l.cancel(cause)
	case l.err == nil && l.cause == nil && !over:
		l.unused = time.AfterFunc(d.idle(), func() { d.expire(l) })
	}
	p.mu.Unlock()
	if over {
		l.kill(errUnused)
	}
}

// expire ends a connection that is still unused.
func (d *Dialer) expire(l *link) {
	d.pool.mu.Lock()
	unused := l.refs == 0
	if unused {
		d.pool.remove(l)
	}
	d.pool.mu.Unlock()
	if unused {
		l.kill(errUnused)
	}
}

// raise dials one connection, and tends it until it ends.
func (d *Dialer) raise(ctx context.Context, l *link, hops []*hop) {
	defer l.cancel(nil)
	err := d.logIn(ctx, l, hops)
	for _, h := range hops {
		h.wipe()
	}
	d.settle(l, err)
	if err == nil {
		l.tend()
	}
	if l.parent != nil {
		d.release(l.parent, nil)
	}
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	delete(d.pool.all, l)
}

func (d *Dialer) logIn(ctx context.Context, l *link, hops []*hop) *Error {
	enter := func(via *link, _ bool) (e *Error) {
		l.client, e = d.enter(ctx, hops[l.depth], via, &l.rec)
		return e
	}
	var e *Error
	if before := hops[:l.depth]; len(before) == 0 {
		e = enter(nil, false)
	} else {
		l.parent, e = d.reach(ctx, before, enter)
	}
	if e == nil {
		return nil
	}
	if len(e.records) == l.depth { // else it failed before
		e.records = append(e.records, l.rec)
	}
	return e.blame(l.depth)
}

// reach hands the connection to the last of the hops to use, and once more a new
// one when the one that stood is found dead.
func (d *Dialer) reach(ctx context.Context, hops []*hop, use func(l *link, stood bool) *Error) (*link, *Error) {
	for again := false; ; again = true {
		l, stood, e := d.acquire(ctx, hops)
		if e != nil {
			return nil, e
		}
		e = use(l, stood)
		if e == nil {
			return l, nil
		}
		e.records = l.records()
		d.release(l, nil)
		if !stood || again || !e.stale {
			return nil, e
		}
	}
}

// settle tells all who wait how a dial ended.
func (d *Dialer) settle(l *link, e *Error) {
	p := &d.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	l.err = e
	close(l.ready)
	switch {
	case e == nil && l.refs == 0:
		l.unused = time.AfterFunc(d.idle(), func() { d.expire(l) })
	case e == nil:
	case e.refused():
		time.AfterFunc(refusalTime, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.remove(l)
		})
	default:
		p.remove(l)
	}
}

// Close ends the connections to the bastions, and with them those to the devices
// behind them, and returns when all is released. Dial then fails.
func (d *Dialer) Close() error {
	p := &d.pool
	p.mu.Lock()
	p.closed = true
	all := slices.SortedFunc(maps.Keys(p.all), func(a, b *link) int { return a.depth - b.depth }) // the others hang on the first
	p.mu.Unlock()
	for _, l := range all {
		l.cancel(errDialerClosed)
		<-l.ready
		if l.err == nil {
			l.kill(errDialerClosed)
		}
	}
	p.crew.wait()
	d.keys.close()
	return nil
}

func (d *Dialer) isClosed() bool {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	return d.pool.closed
}
