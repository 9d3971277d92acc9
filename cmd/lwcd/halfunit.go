package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"lwc/cmd/lwcd/halves"
)

const (
	// lingerLimit is how long a half that systemd started may outlast its connection:
	// its watchdog ends one that hangs within half of that.
	lingerLimit = time.Minute
	// leaveLimit is how long a supervisor that ends waits for that; systemd ends the
	// half with the supervisor's unit.
	leaveLimit = 2 * time.Second
)

var (
	// errLingers says that a half is still there although it was to end.
	errLingers = errors.New("the collector half has not ended with its connection")
	// errSilent is all that is known of a half that ended without a word.
	errSilent = errors.New("the connection to it ended without a word: it hung and was ended, or memory was short, or it crashed")
	// errForced is how a half ended that was ended by force.
	errForced = errors.New("it was ended by force")
)

// lingering is the connection to a half that systemd started. Close says goodbye and
// leaves the connection open: it ends when the last process that holds the other end
// does, which is how one learns of that.
type lingering struct {
	*net.UnixConn
	once sync.Once
}

// Close implements net.Conn.
func (l *lingering) Close() (err error) {
	l.once.Do(func() { err = errors.Join(l.CloseWrite(), l.SetReadDeadline(time.Unix(1, 0))) })
	return err
}

// outlast waits until the other end is gone.
func (l *lingering) outlast(limit time.Duration) error {
	_ = l.Close() // so that nobody's Close ends the wait; the other end may have gone
	if err := l.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil // closed by us: nobody wants to know any more
	}
	_, err := io.Copy(io.Discard, l.UnixConn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w, within %v", errLingers, limit)
	}
	return nil // the end of the connection, in whatever form
}

// startUnit has systemd start the collector half (lwc-half.socket, Accept=yes), and
// hands it the namespaces. How it ends, systemd sees to: the half ends with its
// connection, its watchdog ends one that hangs, and it never outlives our unit.
func startUnit(socket string, spaces []*os.File, o halves.Offer) (*child, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("having systemd start the collector half: %w", err)
	}
	if err := handOver(conn, spaces); err != nil {
		return nil, errors.Join(fmt.Errorf("handing the namespaces to the collector half: %w", err), conn.Close())
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	far := &lingering{UnixConn: conn}
	c := &child{half: halves.Serve(far, o), ended: make(chan struct{}), kill: func() { cancel(errForced) },
		leave: func() { time.AfterFunc(leaveLimit, func() { conn.Close() }) }}
	go c.followUnit(ctx, func(limit time.Duration) error {
		defer conn.Close()
		return far.outlast(limit)
	})
	return c, nil
}

// followUnit serves the half until its end, which outlast waits for, and says how it ended.
func (c *child) followUnit(ctx context.Context, outlast func(time.Duration) error) {
	broke := c.half.Run(ctx)
	failure, said := c.half.LastWords()
	switch {
	case errors.Is(broke, halves.ErrProtocol):
		c.err = broke
	case ctx.Err() != nil:
		c.err = context.Cause(ctx)
	case !said:
		c.err = errSilent
	case failure != "":
		c.err = errors.New("it says: " + clean(failure))
	}
	c.err = errors.Join(c.err, outlast(lingerLimit))
	close(c.ended)
}
