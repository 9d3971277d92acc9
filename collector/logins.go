package collector

import (
	"context"
	"sync"
	"time"
)

// maxProvers is how many log-ins with a credential that has proved good nowhere
// are under way at once: accounts lock after a few failures, and with a slow AAA
// server all that are under way may fail.
const maxProvers = 3

// proverGaps are the pauses before the second and the third of them, after the
// newest: a device that is off costs the others a second, and an AAA server that
// answers in time is asked by one device only.
var proverGaps = [maxProvers]time.Duration{0, time.Second, 2 * time.Second}

// logins decides, within one run, who may log in with which credential. The
// first devices to use a log-in prove it; the others wait for that. After a
// refusal nobody uses it again: accounts lock after a few failures.
type logins struct {
	mu    sync.Mutex // guards all that follows
	state map[login]*proof
	moved chan struct{} // closed and replaced when a state changes
}

type proof struct {
	good      bool
	refusedBy string    // name of the hop; empty: not refused
	provers   int       // log-ins under way
	newest    time.Time // when the newest of them began
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

// verdict is the answer of try: go on, or hold, or do not log in at all.
type verdict struct {
	stop  login  // refused before; by is who did
	by    string // empty: not stopped
	hold  bool
	wait  time.Duration   // how long to hold at most; 0: until moved
	moved <-chan struct{} // ends a hold early
}

// try asks for leave to log in along ks. Who gets it reports the outcome, once.
func (l *logins) try(ks []login) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var full bool
	var wait time.Duration
	for _, k := range ks {
		p := l.proof(k)
		switch {
		case p.refusedBy != "":
			return verdict{stop: k, by: p.refusedBy}
		case p.good || p.provers == 0:
		case p.provers >= maxProvers:
			full = true
		default:
			wait = max(wait, p.newest.Add(proverGaps[p.provers]).Sub(now))
		}
	}
	switch {
	case full:
		return verdict{hold: true, moved: l.moved}
	case wait > 0:
		return verdict{hold: true, wait: wait, moved: l.moved}
	}
	for _, k := range ks {
		p := l.proof(k)
		p.provers, p.newest = p.provers+1, now
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
		p.provers--
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

// pause holds as a verdict says.
func (v verdict) pause(ctx context.Context) error {
	var late <-chan time.Time
	if v.wait > 0 {
		t := time.NewTimer(v.wait)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-v.moved:
		return nil
	case <-late:
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

// remove forgets the refusals of log-ins that have succeeded now.
func (r *refusals) remove(ls []login, hops []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range ls {
		delete(r.seen, refusal{l, hops[i]})
	}
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
