package junos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a session.
type Options struct {
	// HelloTimeout bounds the exchange of hellos. Zero: 30 s.
	HelloTimeout time.Duration
	// StallTimeout is the longest wait for the first byte of a reply, and for
	// each byte after it. Zero: 60 s.
	StallTimeout time.Duration
	// MinRate is how many bytes a second a reply must keep up from its first byte
	// on; one that drips more slowly is stalled when it is two StallTimeouts
	// behind. Time in which the caller does not read does not count. Zero: 64,
	// since a routing engine out of breath flushes 4 KiB a minute.
	MinRate int64
	// MaxReply is the largest document in bytes. Zero: 1 GiB, since a reply is
	// never held.
	MaxReply int64
	// Mask replaces values in replies before the caller gets them. Nil: replies
	// pass as they came, but for invalid UTF-8.
	Mask *Mask
	// Depth is how many requests may be under way at once, when Ahead tells what
	// comes. Zero and 1: one at a time.
	Depth int
}

const (
	defaultHello = 30 * time.Second
	defaultStall = time.Minute
	defaultRate  = 64
	defaultReply = 1 << 30
	// politeTime is how long Close lets the device answer close-session. It
	// answers in one round trip; some only close.
	politeTime = 2 * time.Second
)

// Session is a NETCONF session on one channel. Call, Read, Ahead and Close may
// be called from different goroutines.
type Session struct {
	*link
	rw    io.Writer
	opts  Options
	hello serverHello

	// Whoever has the turn of the link may use these.
	seq    uint64
	queue  []*request // sent and not yet answered to the end, oldest first
	plan   []Item     // announced by Ahead and not yet sent
	wrote  chan error // gives what the Write beside the reading ended with; nil: there is none
	unsent error      // what such a Write failed with

	writes    sync.WaitGroup
	guard     *guard
	pipelined atomic.Bool
}

// Open exchanges hellos on a channel that runs the netconf subsystem and agrees
// on base:1.1 or base:1.0. Closing rw must end a Read and a Write that are under
// way. Open takes rw over: it is closed when Open fails, and by Session.Close.
// Errors are of type *Error.
func Open(ctx context.Context, rw io.ReadWriteCloser, o Options) (*Session, error) {
	o = withDefaults(o)
	s := &Session{link: newLink(rw, o), rw: rw, opts: o}
	s.frames = newFrames(s.read)
	s.spans, s.link.ended = s.frames.span, s.replyEnded
	s.guard = newGuard(o.StallTimeout, s.close)
	if err := s.greet(ctx); err != nil {
		s.fail(err)
		s.shut()
		s.guard.stop()
		return nil, err
	}
	s.turn <- struct{}{}
	return s, nil
}

func withDefaults(o Options) Options {
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = defaultHello
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = defaultStall
	}
	if o.MinRate <= 0 {
		o.MinRate = defaultRate
	}
	if o.MaxReply <= 0 {
		o.MaxReply = defaultReply
	}
	return o
}

var errHelloTime = errors.New("no hello in time") // cause of the context that bounds the hellos

// greet writes and reads at once: both sides send first.
func (s *Session) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.HelloTimeout, errHelloTime)
	defer cancel()
	s.pump.pace.restart()
	wrote := make(chan error, 1)
	go func() { wrote <- s.write(ctx, frame(clientHello, false)) }()
	hello, err := readHello(ctx, s.frames)
	if err != nil {
		s.close()
	}
	if werr := <-wrote; err == nil {
		err = werr
	}
	if err != nil {
		return helloError(err)
	}
	s.hello, s.frames.chunked = hello, hello.chunked
	return nil
}

func helloError(err error) error {
	e := &Error{Phase: PhaseHello, Kind: kindOf(err, false), Err: err}
	if e.Kind != KindCancelled && errors.Is(err, errNotHello) || e.Kind == KindRPCTimeout || e.Kind == KindFraming {
		e.Kind = KindHello
	}
	return e
}

// kindOf decides the kind of what a read or write ended with.
func kindOf(err error, begun bool) Kind {
	switch {
	case errors.Is(err, errOver):
		return KindClosed
	case errors.Is(err, context.Canceled) && !errors.Is(err, errStall):
		return KindCancelled
	case errors.Is(err, errFraming):
		return KindFraming
	case errors.Is(err, errForeign):
		return KindMessageID
	case errors.Is(err, errTooLarge):
		return KindTooLarge
	case errors.Is(err, errHelloTime):
		return KindHello
	case errors.Is(err, errStall), errors.Is(err, errSlow), errors.Is(err, context.DeadlineExceeded):
		if begun {
			return KindStalled
		}
		return KindRPCTimeout
	}
	return KindClosed
}

// Base11 tells whether the session uses the chunked framing of base:1.1.
func (s *Session) Base11() bool { return s.hello.chunked }

// SessionID is the number that the device gave the session; empty when it gave
// none.
func (s *Session) SessionID() string { return s.hello.sessionID }

// Pipelined tells whether the session ever had more than one request under way.
// When it did and no Call or Read ended with Error.Pipelined, the device bears it.
func (s *Session) Pipelined() bool { return s.pipelined.Load() }

// Call sends one item of the catalogue and waits for the beginning of its reply.
// What is left of the reply before is read and thrown away first, as are the
// replies to items sent ahead whose turn this Call passes over; when one of them
// does not end within the stall timeout, the session is closed and the error, of
// KindClosed, says that the item was not asked for. The context holds
// for the reply too. Errors are of type *Error, but for an item that is not of the
// catalogue; after KindCancelled, KindRPCTimeout, KindStalled and KindTooLarge the
// session can be used again.
func (s *Session) Call(ctx context.Context, item Item) (*Reply, error) {
	if !item.genuine() {
		return nil, fmt.Errorf("asking for %q: not an item of the catalogue", item.Name)
	}
	if err := s.acquire(ctx); err != nil {
		return nil, &Error{Kind: kindOf(err, false), Phase: PhaseRPC, Item: item.Name, Err: err}
	}
	defer s.release()
	q, err := s.claim(ctx, item)
	if err != nil {
		return nil, &Error{Kind: kindOf(err, false), Phase: PhaseRPC, Item: item.Name,
			Pipelined: s.underWayTogether() && pipelining(kindOf(err, false)), Err: err}
	}
	q.reply = newReply(ctx, s.link, q, s.opts)
	return q.reply.open()
}

// Ahead announces the Calls to come, in their order, and sends their requests
// before they are called, as far as Depth allows: at once, and more of them in the
// Calls that follow. Each Ahead replaces what was announced and not yet sent, and
// sends nothing a second time, so it may be told all that is left before every
// Call. With a Depth of 1 it does nothing. An item that is called out of turn is
// answered all the same: what was sent ahead before it is thrown away.
func (s *Session) Ahead(ctx context.Context, items ...Item) error {
	for _, i := range items {
		if !i.genuine() {
			return fmt.Errorf("announcing %q: not an item of the catalogue", i.Name)
		}
	}
	if s.opts.Depth <= 1 || len(items) == 0 {
		return nil
	}
	if err := s.acquire(ctx); err != nil {
		return &Error{Kind: kindOf(err, false), Phase: PhaseRPC, Item: items[0].Name, Err: err}
	}
	defer s.release()
	s.announce(items)
	if err := s.topUp(ctx); err != nil {
		return &Error{Kind: kindOf(err, false), Phase: PhaseRPC, Item: items[0].Name,
			Pipelined: s.underWayTogether(), Err: err}
	}
	return nil
}

// replyEnded takes note of how the reply to the oldest request ended.
func (s *Session) replyEnded(err error) {
	if err == errEnd {
		s.queue = slices.Delete(s.queue, 0, 1)
		return
	}
	switch kindOf(err, true) {
	case KindFraming, KindMessageID, KindClosed:
		s.fail(err)
	}
}

// Close ends the session and closes the channel. When no request is under way
// it says so to the device first, so that the device frees the session at once.
// It may be called more than once and while a Call or Read is under way, which
// then ends with KindClosed.
func (s *Session) Close() error {
	select {
	case <-s.turn:
		s.sayGoodbye()
		s.fail(errClosed)
		s.release()
	default:
		s.fail(errClosed)
	}
	err := s.shut()
	s.writes.Wait()
	s.guard.stop()
	return err
}

// sayGoodbye gives up silently: the channel is closed in any case.
func (s *Session) sayGoodbye() {
	if s.reason() != nil || len(s.queue) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), politeTime)
	defer cancel()
	s.pump.pace.restart()
	if s.write(ctx, s.appendRPC(nil, s.number(), "<close-session/>")) != nil {
		return
	}
	for {
		if _, err := s.frames.span(ctx); err != nil {
			return
		}
	}
}
