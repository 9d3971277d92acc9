package device

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
)

// Run starts a command of the CLI and returns what it prints, until the end of
// the command. The end of ctx ends it. It is for ModeCLI only; the caller closes
// what it returns.
func (c *Conn) Run(ctx context.Context, command string) (io.ReadCloser, error) {
	switch {
	case c.info.Mode != ModeCLI:
		return nil, errNoCLI
	case strings.ContainsAny(command, "\r\n\x00"):
		return nil, errCommand
	}
	type result struct {
		p   *program
		err error
	}
	done := make(chan result)
	c.client.crew.spawn(func() {
		p, err := c.client.start("exec", command)
		select {
		case done <- result{p, err}:
		case <-ctx.Done():
			if err == nil {
				p.Close()
			}
		}
	})
	select {
	case r := <-done:
		if r.err != nil {
			return nil, c.runError(r.err)
		}
		return newOutput(ctx, c, r.p), nil
	case <-ctx.Done():
		return nil, c.runError(context.Cause(ctx))
	}
}

var errCut = errors.New("the command was cut before its end")

// runError is a command that could not be started.
func (c *Conn) runError(err error) error {
	e := &Error{Phase: PhaseSession, Kind: subsystemKind(err), Hop: c.names[len(c.names)-1], Err: foreign{err}}
	if ours, ok := c.explain(e).(*Error); ok && e.Kind == KindClosed {
		return ours
	}
	return e
}

// output is what one command prints.
type output struct {
	conn    *Conn
	program *program
	cause   atomic.Pointer[error] // why the context of Run ended
	stop    func() bool
}

func newOutput(ctx context.Context, c *Conn, p *program) *output {
	o := &output{conn: c, program: p}
	o.stop = context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		o.cause.Store(&cause)
		p.Close()
	})
	return o
}

// Read implements io.Reader. Only a command that ended by itself ends in io.EOF.
func (o *output) Read(p []byte) (int, error) {
	n, err := o.program.Read(p)
	if err == nil {
		return n, nil
	}
	if cause := o.cause.Load(); cause != nil {
		return n, *cause
	}
	if errors.Is(err, io.EOF) && o.program.exited() {
		return n, io.EOF
	}
	return n, o.conn.runError(errCut)
}

// Close implements io.Closer.
func (o *output) Close() error {
	o.stop()
	o.program.Close()
	return nil
}
