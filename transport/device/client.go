package device

import (
	"bufio"
	"net"

	"golang.org/x/crypto/ssh"
)

// line is a connection to a hop: TCP to the first one, a tunnel of the bastion
// before to the others. Closing it ends at once whatever waits for it.
type line struct {
	net.Conn
	via  *link // nil: TCP
	read *bufio.Reader
}

// What is read at a time. The SSH package asks for 4 KiB, and for the version for
// one byte at a time. Each time costs a system call, and in a tunnel a change of
// goroutines, which is dearer. A session that is idle holds its buffer too.
const (
	readSize       = 4 << 10
	tunnelReadSize = 16 << 10
)

func newLine(conn net.Conn, via *link) *line {
	size := readSize
	if via != nil {
		size = tunnelReadSize
	}
	return &line{conn, via, bufio.NewReaderSize(conn, size)}
}

// Read implements io.Reader.
func (l *line) Read(p []byte) (int, error) { return l.read.Read(p) }

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
