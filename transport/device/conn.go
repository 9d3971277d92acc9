package device

import (
	"context"
	"errors"
	"sync"
)

// Conn is the NETCONF stream of a device: what is written goes to it, what is
// read comes from it. Where Info.Mode is ModeCLI there is no stream, but Run.
// When a bastion on the way dies, Read and Write fail with an *Error that names
// it. Close ends at once a Read or Write that is under way and the log-in at the
// device, also where a bastion hangs, and gives the connections to the bastions
// back.
type Conn struct {
	session session
	client  *client
	via     *link    // nil: direct
	names   []string // of the hops, the device last
	info    Info

	closed chan struct{}
	once   sync.Once
	err    error
}

var (
	errNoStream = errors.New("the device is asked by commands: there is no stream")
	errNoCLI    = errors.New("the device is asked by NETCONF: there are no commands")
	errCommand  = errors.New("a command is one line")
)

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) {
	if c.session.program == nil {
		return 0, errNoStream
	}
	if head := c.session.head; len(head) > 0 {
		n := copy(p, head)
		c.session.head = head[n:]
		return n, nil
	}
	n, err := c.session.Channel.Read(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	if c.session.program == nil {
		return 0, errNoStream
	}
	n, err := c.session.Channel.Write(p)
	if err != nil {
		err = c.explain(err)
	}
	return n, err
}

// explain names the bastion where the end of a stream is the end of its
// connection.
func (c *Conn) explain(err error) error {
	if c.via == nil {
		return err
	}
	select {
	case <-c.closed:
		return err
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), proofTime)
	defer cancel()
	c.via.dialer.pool.crew.spawn(func() {
		select {
		case <-c.closed: // nobody wants to know
			cancel()
		case <-ctx.Done():
		}
	})
	bad, cause := c.via.fault(ctx)
	if cause == nil {
		return err
	}
	return &Error{Phase: PhaseSession, Kind: KindClosed, Hop: c.names[bad.depth], Bastion: true, Err: cause}
}

// Info tells what became known while dialling. The caller must not change it.
func (c *Conn) Info() Info { return c.info }

// FirstUse returns Info().FirstUse: the host keys that were trusted without a
// pin, by hop.
func (c *Conn) FirstUse() map[string]string { return c.info.FirstUse }

// Close implements io.Closer. It may be called more than once.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.err = c.client.end()
		if c.via != nil {
			c.via.dialer.release(c.via, nil)
		}
	})
	return c.err
}
