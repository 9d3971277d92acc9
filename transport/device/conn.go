package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Conn is the netconf subsystem of a device: what is written goes to it, what
// is read comes from it. Close ends a Read or Write that is under way, the
// log-ins at the device and at every bastion, and returns when all is released.
type Conn struct {
	channel ssh.Channel
	chain   *chain
	once    sync.Once
	err     error
}

var errSubsystem = errors.New("subsystem netconf refused")

// open asks the last client for the subsystem, a second time after a pause when
// it is refused.
func (c *chain) open(ctx context.Context) (*Conn, *Error) {
	timed, cancel := context.WithTimeoutCause(ctx, c.times.Channel, errTime)
	defer cancel()
	stop := context.AfterFunc(timed, func() { c.root.Close() })
	ch, err := c.subsystem()
	if errors.Is(err, errSubsystem) && pause(timed, c.times.Retry) {
		ch, err = c.subsystem()
	}
	if !stop() {
		err = context.Cause(timed)
	}
	if err == nil {
		return &Conn{channel: ch, chain: c}, nil
	}
	return nil, &Error{Phase: PhaseSubsystem, Kind: subsystemKind(err), Err: err}
}

// pause returns false when the context ends before the time is over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// subsystem opens one session channel. Its standard error is drained, since it
// shares the window with what the device answers.
func (c *chain) subsystem() (ssh.Channel, error) {
	client := c.clients[len(c.clients)-1]
	ch, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	c.tasks.Go(func() { ssh.DiscardRequests(requests) })
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"netconf"}))
	if err == nil && ok {
		c.tasks.Go(func() { io.Copy(io.Discard, ch.Stderr()) })
		return ch, nil
	}
	ch.Close()
	if err != nil {
		return nil, fmt.Errorf("asking for the subsystem: %w", err)
	}
	return nil, errSubsystem
}

func subsystemKind(err error) Kind {
	var open *ssh.OpenChannelError
	switch {
	case errors.Is(err, errSubsystem):
		return KindSubsystem
	case errors.As(err, &open) && open.Reason == ssh.ResourceShortage:
		return KindThrottled
	case errors.As(err, &open):
		return KindSubsystem
	}
	return linkKind(err)
}

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) { return c.channel.Read(p) }

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) { return c.channel.Write(p) }

// Info tells what became known while dialling. The caller must not change it.
func (c *Conn) Info() Info { return c.chain.info }

// FirstUse returns Info().FirstUse: the host keys that were trusted without a
// pin, by hop.
func (c *Conn) FirstUse() map[string]string { return c.chain.info.FirstUse }

// Close implements io.Closer. It may be called more than once.
func (c *Conn) Close() error {
	c.once.Do(func() { c.err = c.chain.close() })
	return c.err
}

// Run starts a command of the CLI, and returns what it prints: the reader ends
// with the command. It is for ModeCLI only.
func (c *Conn) Run(ctx context.Context, command string) (io.ReadCloser, error) {
	return nil, errNoCLI
}

var errNoCLI = errors.New("the connection is not one of commands")
