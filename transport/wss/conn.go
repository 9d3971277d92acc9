package wss

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// conn is a WebSocket as a stream of bytes that can be closed at once.
type conn struct {
	net.Conn
	ws   *websocket.Conn
	end  context.CancelFunc
	over net.Conn // what carries it; nil: the library knows it
}

func newConn(ws *websocket.Conn, over net.Conn) *conn {
	ctx, end := context.WithCancel(context.Background()) // the connection's own life
	return &conn{Conn: websocket.NetConn(ctx, ws, websocket.MessageBinary), ws: ws, end: end, over: over}
}

// NetConn returns the connection that carries this one; of a Server's, nothing.
func (c *conn) NetConn() net.Conn { return c.over }

// Close ends the connection without a closing handshake.
func (c *conn) Close() error {
	_ = c.SetDeadline(time.Time{}) // stops the timers, which cannot fail
	err := c.ws.CloseNow()
	c.end()
	return ignoreClosed(err)
}

// RemoteAddr is the address of the peer.
func (c *conn) RemoteAddr() net.Addr {
	if c.over != nil {
		return c.over.RemoteAddr()
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address of this end.
func (c *conn) LocalAddr() net.Addr {
	if c.over != nil {
		return c.over.LocalAddr()
	}
	return c.Conn.LocalAddr()
}

func splitList(line string) []string {
	words := strings.Split(line, ",")
	for i, w := range words {
		words[i] = strings.TrimSpace(w)
	}
	return words
}
