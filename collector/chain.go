package collector

import (
	"context"
	"sync"
	"time"

	"lwc/transport/wire"
)

// answerWait is how long the answer to a manifest is awaited before the next one
// is sent. The cloud answers in seconds; where it does not, nothing else shall wait.
const answerWait = 5 * time.Minute

// maxUnanswered is how many manifests may be without an answer: a section takes up to
// a megabyte until the cloud has it, whose absence may be long.
const maxUnanswered = 16

// codeChain is the code of a manifest that does not follow the newest one that the
// cloud has. When it comes a second time, the cloud takes it whatever it follows.
const codeChain = "chain"

// chain links the manifests of a collector by their hashes. One is under way at a
// time, so that one that is refused is not the last of those that follow.
type chain struct {
	turn chan struct{} // holds one element while no manifest is under way
	open *budget       // manifests without an answer

	mu      sync.Mutex // guards what follows
	last    string
	own     bool   // last is of this boot
	offered string // what the cloud said last
}

func newChain() *chain {
	c := &chain{turn: make(chan struct{}, 1), open: newBudget(maxUnanswered)}
	c.turn <- struct{}{}
	return c
}

// offer takes the newest hash that the cloud holds: it counts until this boot
// has made a manifest of its own, and again when the cloud does not accept that.
func (c *chain) offer(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offered = hash
	if !c.own && hash != "" {
		c.last = hash
	}
}

// enter waits until a manifest may be made: until its turn has come, and few enough
// are without an answer. leave says that it has its own.
func (c *chain) enter(ctx context.Context) (pass, leave func(), err error) {
	place, err := c.open.acquire(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	if pass, err = c.take(ctx); err != nil {
		place.release()
		return nil, nil, err
	}
	return pass, place.release, nil
}

// take waits until the manifest before has its answer, or has waited long enough
// for it. pass lets the next one go.
func (c *chain) take(ctx context.Context) (pass func(), err error) {
	select {
	case <-c.turn:
		return sync.OnceFunc(func() { c.turn <- struct{}{} }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// publish chains and hands over one manifest, whose turn the caller has taken, and
// waits for the cloud's answer. A cloud that was restored from a backup may know an
// older one as the last: then the chain goes on from there.
func (c *chain) publish(ctx context.Context, p Publisher, m wire.Manifest, pass func()) (wire.Receipt, error) {
	rc, err := c.once(ctx, p, m, pass)
	if err != nil || rc.Status == wire.Complete {
		return rc, err
	}
	if pass, err = c.take(ctx); err != nil {
		return rc, err
	}
	back := c.fallBack()
	if back == nil && rc.Code != codeChain {
		pass()
		return rc, nil
	}
	if rc, err = c.once(ctx, p, m, pass); err == nil && rc.Status != wire.Complete && back != nil {
		back() // it was not the chain
	}
	return rc, err
}

// fallBack takes up the chain where the cloud says that it ends, and returns how to
// go back. It returns nil when that is no news.
func (c *chain) fallBack() (back func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offered == "" || c.offered == c.last {
		return nil
	}
	last, own := c.last, c.own
	c.last, c.own = c.offered, false
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last == c.offered {
			c.last, c.own = last, own
		}
	}
}

// once hands over a manifest and waits for its answer; others only for answerWait.
func (c *chain) once(ctx context.Context, p Publisher, m wire.Manifest, pass func()) (wire.Receipt, error) {
	defer pass()
	answer := make(chan wire.Receipt, 1)
	undo, err := c.send(ctx, p, m, func(rc wire.Receipt) { answer <- rc })
	if err != nil {
		return wire.Receipt{}, err
	}
	late := time.AfterFunc(answerWait, pass)
	defer late.Stop()
	select {
	case rc := <-answer:
		if rc.Status != wire.Complete {
			undo()
		}
		return rc, nil
	case <-ctx.Done():
		return wire.Receipt{}, context.Cause(ctx)
	}
}

// send hands over one manifest. It returns a function that takes the manifest out
// of the chain again, for when the cloud refuses it.
func (c *chain) send(ctx context.Context, p Publisher, m wire.Manifest, done func(wire.Receipt)) (undo func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	previous, own := c.last, c.own
	m.Previous = previous
	hash, err := p.PublishRun(ctx, m, done)
	if err != nil {
		return nil, err
	}
	c.last, c.own = hash, true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.last == hash {
			c.last, c.own = previous, own
		}
	}, nil
}
