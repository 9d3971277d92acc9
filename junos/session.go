package junos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// Options of a session.
type Options struct {
	// HelloTimeout bounds the exchange of hellos. Zero: 30 s.
	HelloTimeout time.Duration
	// StallTimeout is the longest wait for the first byte of a reply, and for
	// each byte after it. Zero: 60 s.
	StallTimeout time.Duration
	// MaxReply is the largest document in bytes. Zero: 1 GiB, since a reply is
	// never held.
	MaxReply int64
}

const (
	defaultHello = 30 * time.Second
	defaultStall = time.Minute
	defaultReply = 1 << 30
	// politeTime is how long Close lets the device answer close-session. It
	// answers in one round trip; some only close.
	politeTime = 2 * time.Second
)

// Session is a NETCONF session on one channel. It has one request under way at
// a time; Call, Read and Close may be called from different goroutines.
type Session struct {
	rw    io.Writer
	close func() error // closes the channel; only its first call does
	opts  Options
	pump  *pump
	hello serverHello

	// turn holds one token: whoever has it may use frames, seq, owed and
	// current. It is a channel so that a context can end the wait for it.
	turn    chan struct{}
	frames  *frames
	seq     uint64
	owed    bool   // a reply is not read to its end
	current *Reply // that reply, where Call returned one

	mu     sync.Mutex // held for broken only
	broken error      // why the session is over

}

// Open exchanges hellos on a channel that runs the netconf subsystem and agrees
// on base:1.1 or base:1.0. Closing rw must end a Read and a Write that are under
// way. Open takes rw over: it is closed when Open fails, and by Session.Close.
// Errors are of type *Error.
func Open(ctx context.Context, rw io.ReadWriteCloser, o Options) (*Session, error) {
	s := &Session{rw: rw, close: sync.OnceValue(rw.Close), opts: withDefaults(o),
		pump: startPump(rw), turn: make(chan struct{}, 1)}
	s.frames = newFrames(s.read)
	if err := s.greet(ctx); err != nil {
		s.fail(err)
		s.shut()
		return nil, err
	}
	s.turn <- struct{}{}
	return s, nil
}

// read is the source of frames.
func (s *Session) read(ctx context.Context, b []byte) (int, error) {
	n, err := s.pump.read(ctx, b, s.opts.StallTimeout)
	if err == io.EOF {
		err = errEnded
	}
	return n, err
}

func withDefaults(o Options) Options {
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = defaultHello
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = defaultStall
	}
	if o.MaxReply <= 0 {
		o.MaxReply = defaultReply
	}
	return o
}

var (
	errHelloTime = errors.New("no hello in time") // cause of the context that bounds the hellos
	errEnded     = errors.New("the device ended the channel")
)

// greet writes and reads at once: both sides send first.
func (s *Session) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.HelloTimeout, errHelloTime)
	defer cancel()
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
	case errors.Is(err, context.Canceled):
		return KindCancelled
	case errors.Is(err, errFraming):
		return KindFraming
	case errors.Is(err, errHelloTime):
		return KindHello
	case errors.Is(err, errStall), errors.Is(err, context.DeadlineExceeded):
		if begun {
			return KindStalled
		}
		return KindRPCTimeout
	}
	return KindClosed
}

// write sends one message in one Write. A write that does not get through
// leaves half a message behind, so the end of the context closes the channel.
func (s *Session) write(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.StallTimeout, errStall)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.close() })
	_, err := s.rw.Write(b)
	if !stop() && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// Base11 tells whether the session uses the chunked framing of base:1.1.
func (s *Session) Base11() bool { return s.hello.chunked }

// SessionID is the number that the device gave the session; empty when it gave
// none.
func (s *Session) SessionID() string { return s.hello.sessionID }

// Call sends one item of the catalogue and waits for the beginning of its reply.
// What is left of the reply before is read and thrown away first; when that does
// not end within the stall timeout, the session is closed. The context holds for
// the reply too. Errors are of type *Error, but for an item that is not of the
// catalogue; after KindCancelled, KindRPCTimeout, KindStalled and KindTooLarge the
// session can be used again.
func (s *Session) Call(ctx context.Context, item Item) (*Reply, error) {
	if !item.genuine() {
		return nil, fmt.Errorf("asking for %q: not an item of the catalogue", item.Name)
	}
	if err := s.acquire(ctx); err != nil {
		return nil, s.rpcError(item.Name, err, false)
	}
	defer s.release()
	if err := s.drain(ctx); err != nil {
		return nil, s.rpcError(item.Name, err, false)
	}
	id, err := s.send(ctx, item.rpc)
	if err != nil {
		return nil, s.rpcError(item.Name, err, false)
	}
	return s.begin(ctx, item.Name, id)
}

// send writes an operation and returns its message-id.
func (s *Session) send(ctx context.Context, operation string) (id string, err error) {
	s.seq++
	id = strconv.FormatUint(s.seq, 10)
	rpc := `<rpc xmlns="` + base10URN + `" message-id="` + id + `">` + operation + `</rpc>`
	if err := s.write(ctx, frame(rpc, s.hello.chunked)); err != nil {
		s.fail(err)
		return "", err
	}
	s.owed = true
	return id, nil
}

// drain throws away what is left of the reply before.
func (s *Session) drain(ctx context.Context) error {
	if s.current != nil {
		s.current.abandon()
		s.current = nil
	}
	if !s.owed {
		return nil
	}
	timed, cancel := context.WithTimeoutCause(ctx, s.opts.StallTimeout, errStall)
	defer cancel()
	for {
		_, err := s.frames.span(timed)
		switch {
		case err == errEnd:
			s.owed = false
			return nil
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			err = fmt.Errorf("%w: the reply before did not end: %w", errClosed, err)
			s.fail(err)
			return err
		}
	}
}

// acquire waits for the turn; it fails when the session is over.
func (s *Session) acquire(ctx context.Context) error {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.pump.quit:
		return s.reason()
	}
	if err := s.reason(); err != nil {
		s.release()
		return err
	}
	if err := ctx.Err(); err != nil {
		s.release()
		return context.Cause(ctx)
	}
	return nil
}

func (s *Session) release() { s.turn <- struct{}{} }

// fail ends the session for a reason that the calls after this one tell.
func (s *Session) fail(err error) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
	}
	s.mu.Unlock()
	s.pump.stop()
	s.close()
}

func (s *Session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *Session) rpcError(item string, err error, begun bool) error {
	return &Error{Kind: kindOf(err, begun), Phase: PhaseRPC, Item: item, Err: err}
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
	return s.shut()
}

// sayGoodbye gives up silently: the channel is closed in any case.
func (s *Session) sayGoodbye() {
	if s.reason() != nil || s.owed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), politeTime)
	defer cancel()
	if _, err := s.send(ctx, "<close-session/>"); err != nil {
		return
	}
	for {
		if _, err := s.frames.span(ctx); err != nil {
			return
		}
	}
}

// shut closes the channel and waits for the reader to be gone.
func (s *Session) shut() error {
	err := s.close()
	s.pump.wait()
	return err
}
