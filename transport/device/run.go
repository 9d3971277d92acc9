package device

import (
	"context"
	"errors"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
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

// output is what one command prints. A server may keep the channel of a command
// that is given up until its process is gone, so nobody reads it directly.
type output struct {
	*io.PipeReader
	program *program
	stop    func() bool
}

func newOutput(ctx context.Context, c *Conn, p *program) *output {
	r, w := io.Pipe()
	c.client.crew.spawn(func() {
		_, err := io.Copy(w, p)
		if err != nil || !p.exited() {
			err = c.runError(errCut)
		}
		w.CloseWithError(err) // nil: the command ended by itself
	})
	return &output{r, p, context.AfterFunc(ctx, func() {
		w.CloseWithError(context.Cause(ctx))
		p.terminate()
	})}
}

// terminate ends a program whose output nobody wants (RFC 4254 §6.9).
func (p *program) terminate() {
	p.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{"TERM"}))
	p.Close()
}

// Close implements io.Closer.
func (o *output) Close() error {
	o.stop()
	o.PipeReader.Close()
	return o.program.Close()
}
