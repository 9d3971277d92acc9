package collector

import (
	"context"
	"sync"
	"time"
)

// proofPatience is how long the first log-in with a credential may take before
// a second device is tried with it: longer than an AAA server takes to answer,
// shorter than a connect to a device that is off.
const proofPatience = 3 * time.Second

// logins decides, within one run, who may log in with which credential. The
// first device to use a log-in proves it; the others wait for that. After a
// refusal nobody uses it again: accounts lock after a few failures.
type logins struct {
	mu    sync.Mutex // guards all that follows
	state map[login]*proof
	moved chan struct{} // closed and replaced when a state changes
}

type proof struct {
	good      bool
	refusedBy string    // name of the hop; empty: not refused
	since     time.Time // the newest attempt to prove it; zero: none is under way
}

func newLogins() *logins {
	return &logins{state: map[login]*proof{}, moved: make(chan struct{})}
}

func (l *logins) proof(k login) *proof {
	p := l.state[k]
	if p == nil {
		p = &proof{}
		l.state[k] = p
	}
	return p
}

// verdict is the answer of try: go on, or wait, or do not log in at all.
type verdict struct {
	stop  login  // refused before; by is who did
	by    string // empty: not stopped
	wait  time.Duration
	moved <-chan struct{} // ends a wait early
}

// try asks for leave to log in along ks. Who gets it reports the outcome.
func (l *logins) try(ks []login) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var wait time.Duration
	for _, k := range ks {
		p := l.proof(k)
		if p.refusedBy != "" {
			return verdict{stop: k, by: p.refusedBy}
		}
		if !p.good && !p.since.IsZero() {
			wait = max(wait, proofPatience-now.Sub(p.since))
		}
	}
	if wait > 0 {
		return verdict{wait: wait, moved: l.moved}
	}
	for _, k := range ks {
		l.proof(k).since = now
	}
	return verdict{}
}

// report tells how a log-in along ks ended: done of them succeeded, and if
// refused the next one was refused by the hop of that name.
func (l *logins) report(ks []login, done int, refused bool, by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range ks {
		p := l.proof(k)
		p.since = time.Time{}
		switch {
		case i < done:
			p.good = true
		case i == done && refused:
			p.refusedBy = by
		}
	}
	close(l.moved)
	l.moved = make(chan struct{})
}

// pause waits as a verdict says.
func (v verdict) pause(ctx context.Context) error {
	t := time.NewTimer(v.wait)
	defer t.Stop()
	select {
	case <-v.moved:
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refusals remembers across runs which log-ins were refused by whom, until the
// credential changes or somebody asks for the device.
type refusals struct {
	mu   sync.Mutex // guards seen
	seen map[refusal]struct{}
}

type refusal struct {
	login login
	hop   string
}

func newRefusals() *refusals { return &refusals{seen: map[refusal]struct{}{}} }

func (r *refusals) add(l login, hop string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[refusal{l, hop}] = struct{}{}
}

func (r *refusals) remove(l login, hop string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, refusal{l, hop})
}

// find returns the first hop on the way to d that refused this log-in before.
func (r *refusals) find(d *device) (refusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := d.hopNames()
	for i, l := range d.logins() {
		if _, ok := r.seen[refusal{l, names[i]}]; ok {
			return refusal{l, names[i]}, true
		}
	}
	return refusal{}, false
}

// keep forgets the refusals of credentials that have changed.
func (r *refusals) keep(f *fleet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.seen {
		if !f.hasVersion(k.login) {
			delete(r.seen, k)
		}
	}
}
