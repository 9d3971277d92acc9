package junos

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// CLI asks a device that offers no NETCONF for the items of the catalogue by
// their commands, each run by itself as "show … | display xml | no-more". It costs
// the device about ten times what a request of a Session does. One command is
// under way at a time; Call, Read and Close may be called from different
// goroutines.
type CLI struct {
	run  func(ctx context.Context, command string) (io.ReadCloser, error)
	opts Options

	turn    chan struct{} // holds one token: whoever put it there may start a command
	mu      sync.Mutex    // held for current and closed
	current *link         // of the last command
	closed  bool
}

// OpenCLI takes what runs a command on the device and returns its standard
// output, whose Read ends with io.EOF when the command is done. Closing that must
// end a Read under way; the context holds until then. Of the options, HelloTimeout
// and Depth have no meaning.
func OpenCLI(run func(ctx context.Context, command string) (io.ReadCloser, error), o Options) *CLI {
	return &CLI{run: run, opts: withDefaults(o), turn: make(chan struct{}, 1)}
}

// Call runs the command of one item and waits for the beginning of what it
// prints. The reply before is given up. The document begins with the first line
// that is markup, or that says what went wrong; banners and prompts around it are
// dropped. Errors are as those of Session.Call, but a command that failed, in
// whichever way, does no harm to the next.
func (c *CLI) Call(ctx context.Context, item Item) (*Reply, error) {
	if !item.genuine() {
		return nil, fmt.Errorf("asking for %q: not an item of the catalogue", item.Name)
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, cliError(item, because(ctx))
	}
	l, err := c.start(ctx, item.CLI+" | display xml | no-more")
	if err != nil {
		return nil, cliError(item, err)
	}
	defer l.release()
	r := newReply(ctx, l, &request{name: item.Name}, c.opts)
	out := &cliOutput{read: l.read, buf: make([]byte, cliBuffer)}
	l.spans, r.plain = out.span, func() string { return out.text }
	l.ended = func(err error) { l.fail(cliEnd(err)) }
	return r.open()
}

func cliError(item Item, err error) *Error {
	return &Error{Kind: kindOf(err, false), Phase: PhaseRPC, Item: item.Name, Err: err}
}

// cliEnd is why nothing more can be read of a command.
func cliEnd(err error) error {
	if err == errEnd {
		return errClosed
	}
	return err
}

// start runs a command; the caller has the turn to read what it prints.
func (c *CLI) start(ctx context.Context, command string) (*link, error) {
	if err := c.replace(nil); err != nil {
		return nil, err
	}
	out, err := c.begin(ctx, command)
	if err != nil {
		return nil, err
	}
	l := newLink(out, c.opts)
	if err := c.replace(l); err != nil {
		return nil, err
	}
	return l, nil
}

// begin bounds the time until the command runs, and not that for which it does.
func (c *CLI) begin(ctx context.Context, command string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(c.opts.StallTimeout, func() { cancel(errStall) })
	defer late.Stop()
	out, err := c.run(ctx, command)
	if err == nil {
		return cliStream{out, func() { cancel(nil) }}, nil
	}
	if ctx.Err() != nil {
		err = because(ctx)
	}
	cancel(nil)
	return nil, fmt.Errorf("running the command: %w", err)
}

// cliStream releases what the command's context holds when it is closed.
type cliStream struct {
	io.ReadCloser
	release func()
}

// Close implements io.Closer.
func (s cliStream) Close() error {
	defer s.release()
	return s.ReadCloser.Close()
}

// replace ends the command before. It fails when c is closed; l is ended then.
func (c *CLI) replace(l *link) error {
	c.mu.Lock()
	before, closed := c.current, c.closed
	c.current = l
	if closed {
		before, c.current = l, nil
	}
	c.mu.Unlock()
	if before != nil {
		before.fail(errAbandoned)
		before.shut()
	}
	if closed {
		return errClosed
	}
	return nil
}

// Close ends the command that is under way and those to come.
func (c *CLI) Close() error {
	c.mu.Lock()
	l := c.current
	c.current, c.closed = nil, true
	c.mu.Unlock()
	if l == nil {
		return nil
	}
	l.fail(errClosed)
	return l.shut()
}
