package device

import (
	"bufio"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// line is a connection to a hop: TCP to the first one, a tunnel of the bastion
// before to the others. Closing TCP ends at once whatever waits for it; a tunnel
// ends when the bastion says so, and a bastion may hang.
type line struct {
	net.Conn
	via  *link // nil: TCP
	read *bufio.Reader
}

// What is read at a time. The SSH package asks TCP for 4 KiB, and for the
// version for one byte at a time, of which a tunnel may tell each to the bastion.
const (
	readTCP    = 16 << 10
	readTunnel = 4 << 10
)

func newLine(conn net.Conn, via *link) *line {
	size := readTCP
	if via != nil {
		size = readTunnel
	}
	return &line{conn, via, bufio.NewReaderSize(conn, size)}
}

// Read implements io.Reader.
func (l *line) Read(p []byte) (int, error) { return l.read.Read(p) }

// spawn runs what may be left behind.
func (l *line) spawn(task func()) {
	if l.via == nil {
		go task() // abandon waits for it
		return
	}
	l.via.dialer.pool.crew.spawn(task)
}

// abandon runs a clean-up that waits for the end of the connection: at once over
// TCP, on the account of the shared bastion in a tunnel.
func (l *line) abandon(task func()) {
	if l.via == nil {
		task()
		return
	}
	l.via.dialer.pool.crew.spawn(func() {
		hung := time.AfterFunc(hangTime, l.via.retire)
		defer hung.Stop()
		task()
	})
}

// hangTime is how long a bastion may take to close a tunnel before no new
// device is led through that connection.
const hangTime = 10 * time.Second

// client is a log-in at a hop.
type client struct {
	ssh.Conn
	line *line
	crew crew
}

func newClient(s shaken, l *line) *client {
	c := &client{Conn: s.conn, line: l}
	c.crew.spawn(func() { refuse(s.channels, s.requests) })
	return c
}

// refuse answers what a server asks of its client: it may ask for a sign of
// life, and for nothing else.
func refuse(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	for channels != nil || requests != nil {
		select {
		case ch, ok := <-channels:
			if !ok {
				channels = nil
				continue
			}
			ch.Reject(ssh.Prohibited, "this side opens the channels")
		case r, ok := <-requests:
			if !ok {
				requests = nil
				continue
			}
			if r.WantReply {
				r.Reply(false, nil)
			}
		}
	}
}

// end closes the log-in and returns when its goroutines are gone.
func (c *client) end() error {
	err := c.line.Close()
	c.Conn.Wait()
	c.crew.wait()
	return err
}

// close is end, but leaves the rest to the bastion's account after a time.
func (c *client) close(patience time.Duration) error {
	if c.line.via == nil {
		return c.end()
	}
	done := make(chan error, 1)
	c.line.abandon(func() { done <- c.end() })
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return nil
	}
}
