package collector

import (
	"context"
	"sync"
	"time"
)

// pace spaces the log-ins with each credential, so that no AAA server is
// flooded. Devices of one credential stand in one line, and hold no slot while
// they stand in it.
type pace struct {
	mu    sync.Mutex // guards what follows
	rate  float64    // log-ins a second
	lines map[string]*line
}

// line is a token bucket of one credential with the queue before it.
type line struct {
	head *budget // of one: who is next
	// mu guards what follows.
	mu     sync.Mutex
	tokens float64
	at     time.Time // when tokens was right
}

// ticket is leave to log in. Its holder uses it once, or leaves the line.
type ticket struct {
	p    *pace
	line *line
	turn *lease
}

func newPace() *pace { return &pace{rate: DefaultLoginsPerSecond, lines: map[string]*line{}} }

func (p *pace) setRate(r float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = r
}

func (p *pace) perSecond() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

func (p *pace) line(credential string) *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[credential]
	if l == nil {
		l = &line{head: newBudget(1), tokens: 1, at: time.Now()}
		p.lines[credential] = l
	}
	return l
}

// keep forgets the lines of credentials that are no longer configured.
func (p *pace) keep(f *fleet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, l := range p.lines {
		if used, _ := l.head.inUse(); f.creds[id] == nil && used == 0 {
			delete(p.lines, id)
		}
	}
}

// enter waits in the line of a credential until a log-in may begin.
func (p *pace) enter(ctx context.Context, credential string) (*ticket, error) {
	l := p.line(credential)
	turn, err := l.head.acquire(ctx, 1)
	if err != nil {
		return nil, err
	}
	for {
		wait := l.untilToken(p.perSecond())
		if wait <= 0 {
			return &ticket{p, l, turn}, nil
		}
		if err := pause(ctx, wait); err != nil {
			turn.release()
			return nil, err
		}
	}
}

// untilToken fills the bucket, and returns how long it is until there is a
// token. It holds a tenth of a second's worth, at least one: a line that stood
// still for want of slots makes up for no more than that.
func (l *line) untilToken(rate float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.tokens = min(max(1, rate/10), l.tokens+now.Sub(l.at).Seconds()*rate)
	l.at = now
	if l.tokens >= 1-1e-9 {
		return 0
	}
	return max(time.Duration((1-l.tokens)/rate*float64(time.Second)), time.Microsecond)
}

// use takes the token, and lets the next one step forward.
func (t *ticket) use() {
	t.line.mu.Lock()
	t.line.tokens--
	t.line.mu.Unlock()
	t.leave()
}

// leave gives the place in the line up. It may be called again.
func (t *ticket) leave() { t.turn.release() }

// pause waits for d, or for the end of the context.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
