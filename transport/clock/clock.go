package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// StepOver is the offset from which on the clock is stepped: the kernel slews
	// no more than that (MAXPHASE, include/linux/timex.h).
	StepOver = 500 * time.Millisecond

	// minPoll and maxPoll bound the time between rounds (RFC 5905 section 7.2,
	// MINPOLL of most implementations, and its default maximum).
	minPoll = 64 * time.Second
	maxPoll = 1024 * time.Second
	// confirmAfter is when a step is confirmed, as the packets of iburst follow
	// each other, and confirmWithin how much the second round may differ.
	confirmAfter  = 2 * time.Second
	confirmWithin = 128 * time.Millisecond
	// redial is the pause when no server could be asked at all: nothing was sent.
	redial = 8 * time.Second
	// calm is the offset below which, steadyRounds times in a row, the time
	// between rounds doubles; above restless it starts again at minPoll.
	calm         = 20 * time.Millisecond
	restless     = 128 * time.Millisecond
	steadyRounds = 4
	// maxServers bounds what one round asks.
	maxServers = 16
	// latest is how far after NotBefore a time is believed.
	latest = 50 * 365 * 24 * time.Hour
)

// Config says whom to ask and what to do with the answer.
type Config struct {
	// Servers are asked, "host:port". At least one, at most 16.
	Servers []string
	// Dial makes a connection of network "udp". Required.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// NotBefore is a time that has passed for certain, like that of the build.
	// What leads before it is absurd. Optional: zero believes 2024 and later.
	NotBefore time.Time
	// Setter sets the clock. Optional: nil sets the kernel's.
	Setter Setter
	// Report is told what each round found, one call at a time. Optional.
	Report func(Report)
}

// Setter sets a clock.
type Setter interface {
	// Set corrects the clock. ErrNotPermitted says that this process may not; the
	// clock then keeps telling offsets.
	Set(Correction) error
}

// Correction is what has to be done to a clock.
type Correction struct {
	Offset   time.Duration // to add
	Step     bool          // at once; otherwise by and by
	Distance time.Duration // how wrong Offset may be
	Poll     time.Duration // when the next correction is due
}

// ErrNotPermitted: this process may not set the clock.
var ErrNotPermitted = errors.New("setting the clock is not permitted")

// Action is what was done about an offset.
type Action string

// The actions.
const (
	Nothing Action = "nothing" // no offset could be agreed on; see Report.Err
	Confirm Action = "confirm" // the offset is large: a second round has to confirm it
	Slewed  Action = "slewed"
	Stepped Action = "stepped"
	Told    Action = "told" // the clock may not be set
)

// Report is what one round found.
type Report struct {
	At     time.Time // by the clock as it was before
	Action Action
	// Offset is what the clock was behind; negative when it was ahead. Distance
	// is how wrong that may be.
	Offset, Distance time.Duration
	Servers          []Answer
	// Err says why there is no offset, or why it could not be acted on.
	Err error
	// Next is when the next round begins.
	Next time.Duration
}

// Answer is what one server said.
type Answer struct {
	Server   string
	Offset   time.Duration
	Distance time.Duration
	Stratum  uint8
	Used     bool  // it is of the majority
	Err      error // why it is not listened to
}

// Clock keeps a clock right.
type Clock struct {
	cfg     Config
	servers []*server
	ask     func(context.Context, *server) (sample, error)

	// Of the goroutine of Run alone:
	poll    time.Duration
	steady  int
	pending *time.Duration // a large offset that waits for its confirmation
}

// New checks c. Nothing is asked before Run.
func New(c Config) (*Clock, error) {
	if len(c.Servers) == 0 || len(c.Servers) > maxServers {
		return nil, fmt.Errorf("reading the time servers: there are %d, give 1 to %d", len(c.Servers), maxServers)
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if c.Dial == nil {
		return nil, errors.New("reading the time servers: nothing to dial them through")
	}
	if c.Setter == nil {
		c.Setter = System{}
	}
	k := &Clock{cfg: c, poll: minPoll}
	k.ask = k.query
	for _, address := range c.Servers {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("reading the time servers: %w", err)
		}
		k.servers = append(k.servers, &server{address: address})
	}
	return k, nil
}

// Run asks the servers again and again and corrects the clock, until ctx ends.
// It returns nil then.
func (k *Clock) Run(ctx context.Context) error {
	for {
		r := k.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if k.cfg.Report != nil {
			k.cfg.Report(r)
		}
		timer := time.NewTimer(r.Next)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// round asks all servers, decides and acts.
func (k *Clock) round(ctx context.Context) Report {
	r := Report{At: time.Now(), Action: Nothing}
	samples := k.askAll(ctx)
	best, err := agree(samples)
	for _, s := range samples {
		r.Servers = append(r.Servers, s.answer)
	}
	if err != nil {
		r.Err, r.Next = err, k.later(samples)
		return r
	}
	r.Offset, r.Distance = best.offset, best.distance
	r.Action, r.Err = k.act(best)
	r.Next = k.poll
	if r.Action == Confirm {
		r.Next = confirmAfter
	}
	return r
}

// askAll asks every server that may be asked, all at once.
func (k *Clock) askAll(ctx context.Context) []*candidate {
	all := make([]*candidate, len(k.servers))
	var asking sync.WaitGroup
	for i, s := range k.servers {
		all[i] = &candidate{answer: Answer{Server: s.address}}
		if err := s.silence(time.Now()); err != nil {
			all[i].answer.Err = err
			continue
		}
		asking.Go(func() { all[i].take(k.ask(ctx, s)) })
	}
	asking.Wait()
	return all
}

// later says when to ask again after a round that gave nothing.
func (k *Clock) later(samples []*candidate) time.Duration {
	k.steady, k.pending = 0, nil
	for _, s := range samples {
		if !errors.Is(s.answer.Err, errNotAsked) {
			wait := k.poll
			k.poll = min(2*k.poll, maxPoll)
			return wait
		}
	}
	return redial
}

// act corrects the clock by what was agreed on.
func (k *Clock) act(best agreement) (Action, error) {
	c := Correction{Offset: best.offset, Distance: best.distance, Step: best.offset.Abs() > StepOver}
	if c.Step && !k.confirmed(best.offset) {
		k.poll, k.steady = minPoll, 0
		return Confirm, nil
	}
	k.pending = nil
	k.pace(best.offset)
	c.Poll = k.poll
	switch err := k.cfg.Setter.Set(c); {
	case errors.Is(err, ErrNotPermitted):
		return Told, nil
	case err != nil:
		return Nothing, fmt.Errorf("correcting the clock: %w", err)
	}
	if c.Step {
		return Stepped, nil
	}
	return Slewed, nil
}

// confirmed tells whether the round before found the same large offset, and
// otherwise keeps this one for the next.
func (k *Clock) confirmed(offset time.Duration) bool {
	before := k.pending
	k.pending = &offset
	return before != nil && (offset-*before).Abs() <= confirmWithin
}

// pace adapts the time between rounds to how well the clock runs.
func (k *Clock) pace(offset time.Duration) {
	switch off := offset.Abs(); {
	case off > restless:
		k.poll, k.steady = minPoll, 0
	case off > calm:
		k.steady = 0
	default:
		k.steady++
	}
	if k.steady >= steadyRounds {
		k.poll, k.steady = min(2*k.poll, maxPoll), 0
	}
	k.poll = cmp.Or(k.poll, minPoll)
}
