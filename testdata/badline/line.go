package badline

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTime bounds connecting to the target.
const dialTime = 10 * time.Second

// Line is a proxy between those who dial its address and one target. Its methods
// are safe for concurrent use.
type Line struct {
	listener net.Listener
	accepted atomic.Uint64
	carried  atomic.Uint64

	mu      sync.Mutex // guards what follows
	dial    func(context.Context) (net.Conn, error)
	state   condition
	changed chan struct{} // closed when the state changes
	live    map[*wire]struct{}
	closed  bool
}

// condition is what the line does to every connection.
type condition struct {
	refuse, blackHole bool
	delay             time.Duration
	rate              int // bytes a second in each direction of a connection; 0: as fast as it goes
}

// New listens at an address, "127.0.0.1:0" for a free port. Connections go to the
// target once Run runs.
func New(listen, target string) (*Line, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listening for a bad line: %w", err)
	}
	return NewWith(l, dialer(target)), nil
}

// NewWith makes a line of a listener and of what connects to the target: either may
// belong to another network namespace. The line closes the listener.
func NewWith(l net.Listener, dial func(context.Context) (net.Conn, error)) *Line {
	return &Line{listener: l, dial: dial, changed: make(chan struct{}), live: make(map[*wire]struct{})}
}

// dialer connects to an address.
func dialer(target string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", target)
	}
}

// Addr is where the line listens, as host:port.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Run carries connections until ctx ends or Close is called; then it ends them all,
// waits, and returns nil.
func (l *Line) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	defer cancel()
	for {
		near, err := l.listener.Accept()
		if l.isClosed() {
			if err == nil {
				_ = near.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting on a bad line: %w", err)
		}
		l.accepted.Add(1)
		wg.Go(func() { l.carry(ctx, near) })
	}
}

// Close ends the line and its connections.
func (l *Line) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.listener.Close()
	l.Cut()
	return err
}

func (l *Line) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// carry serves one connection.
func (l *Line) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	w := &wire{line: l, near: near, over: make(chan struct{})}
	if !l.enter(w) {
		reset(near)
		return
	}
	defer l.leave(w)
	if !w.hold(ctx) {
		return
	}
	far, err := l.connect(ctx)
	if err != nil {
		reset(near)
		return
	}
	defer far.Close()
	if !w.join(far) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.pump(ctx, far, near) })
	wg.Go(func() { w.pump(ctx, near, far) })
	wg.Wait()
}

func (l *Line) connect(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	dial := l.dial
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return dial(ctx)
}

// enter notes a connection, and tells whether it may live.
func (l *Line) enter(w *wire) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.state.refuse {
		return false
	}
	l.live[w] = struct{}{}
	return true
}

func (l *Line) leave(w *wire) {
	l.mu.Lock()
	delete(l.live, w)
	l.mu.Unlock()
	w.end()
}

// now returns the condition, and what is closed when it changes.
func (l *Line) now() (condition, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.changed
}

func (l *Line) set(change func(*condition)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.state)
	close(l.changed)
	l.changed = make(chan struct{})
}

// wires returns the connections that are there.
func (l *Line) wires() []*wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*wire, 0, len(l.live))
	for w := range l.live {
		all = append(all, w)
	}
	return all
}
