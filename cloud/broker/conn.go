package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

const (
	dialTimeout  = 15 * time.Second // TCP and TLS together
	writeTimeout = 15 * time.Second // for each write
)

// guardedConn is a connection on which every write has a deadline, and which
// breaks before the reader can be told to allocate for an oversize packet: the
// client library allocates what a packet's length says, up to 256 MB.
type guardedConn struct {
	net.Conn
	lens lengths
}

// Read implements io.Reader.
func (g *guardedConn) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if tooLong := g.lens.pass(b[:n]); tooLong != nil {
		g.Conn.Close()
		return 0, tooLong
	}
	return n, err
}

// Write implements io.Writer.
func (g *guardedConn) Write(b []byte) (int, error) {
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(b)
}

// lengths follows the fixed headers in a stream of MQTT packets (MQTT 3.1.1
// §2.2): one byte of type, then the length, seven bits a byte.
type lengths struct {
	skip   int64 // bytes left of the packet
	inside bool  // between the type and the end of the length
	shift  uint
	length int64
}

// pass looks at the next bytes of the stream.
func (l *lengths) pass(b []byte) error {
	for len(b) > 0 {
		if l.skip > 0 {
			n := min(l.skip, int64(len(b)))
			l.skip -= n
			b = b[n:]
			continue
		}
		if err := l.header(b[0]); err != nil {
			return err
		}
		b = b[1:]
	}
	return nil
}

func (l *lengths) header(c byte) error {
	if !l.inside {
		l.inside, l.shift, l.length = true, 0, 0
		return nil
	}
	l.length |= int64(c&0x7f) << l.shift
	l.shift += 7
	if l.length > maxPacket || l.shift > 28 {
		return fmt.Errorf("reading from the broker: a packet of more than %d bytes", maxPacket)
	}
	if c&0x80 == 0 {
		l.inside, l.skip = false, l.length
	}
	return nil
}

// dialTLS connects and shakes hands within dialTimeout.
func dialTLS(ctx context.Context, addr string, cfg *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker at %s: %w", addr, err)
	}
	return &guardedConn{Conn: c}, nil
}
