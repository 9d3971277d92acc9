package junos

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	hello10 = `<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities><session-id>7</session-id></hello>`
	hello11 = `<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability><capability>urn:ietf:params:netconf:base:1.1</capability></capabilities><session-id>8</session-id></hello>`
)

// peer is the device's side of a channel, driven by a test.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *frames
	v11  bool
}

// open starts a session with a peer that speaks first, then runs serve.
func open(t *testing.T, o Options, hello string, serve func(*peer)) *Session {
	t.Helper()
	s, err := dialPeer(t, o, func(p *peer) {
		p.send(hello + delimiter)
		p.v11 = strings.Contains(hello, "base:1.1")
		p.recv()
		p.in.chunked = p.v11
		serve(p)
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// dialPeer runs serve on the other end of an in-memory connection, which is
// closed when serve returns.
func dialPeer(t *testing.T, o Options, serve func(*peer)) (*Session, error) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	p := &peer{t: t, conn: theirs}
	p.in = newFrames(func(_ context.Context, b []byte) (int, error) { return theirs.Read(b) })
	go func() {
		defer close(done)
		defer theirs.Close()
		serve(p)
	}()
	t.Cleanup(func() {
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("the peer is still waiting: a read or write of the session hangs")
		}
	})
	return Open(context.Background(), ours, o)
}

// send writes raw bytes; the session may have gone away.
func (p *peer) send(s string) bool {
	_, err := io.WriteString(p.conn, s)
	return err == nil
}

// recv returns the next request, and "" when the session is gone.
func (p *peer) recv() string {
	b, err := readMessage(context.Background(), p.in, 1<<20)
	if err != nil {
		return ""
	}
	return string(b)
}

// idOf returns the message-id of a request.
func idOf(request string) string {
	if id := attributeOf([]byte(request), "message-id"); id != nil {
		return *id
	}
	return ""
}

// reply frames a document the plain way.
func (p *peer) reply(doc string) bool { return p.send(string(frame(doc, p.v11))) }

// answer serves requests with fn until the session ends.
func answer(fn func(id string) string) func(*peer) {
	return func(p *peer) {
		for r := p.recv(); r != ""; r = p.recv() {
			if strings.Contains(r, "close-session") {
				p.reply(replyTo(idOf(r), "<ok/>"))
				return
			}
			if !p.reply(fn(idOf(r))) {
				return
			}
		}
	}
}

func replyTo(id, payload string) string {
	return `<rpc-reply xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" xmlns:junos="http://xml.juniper.net/junos/23.4R2-S7.4/junos" message-id="` + id + `">` + "\n" + payload + "\n</rpc-reply>\n"
}

func version(t *testing.T) Item {
	i, ok := Lookup("show-version")
	if !ok {
		t.Fatal("no show-version")
	}
	return i
}

// collect calls show-version and reads the whole reply.
func collect(t *testing.T, s *Session) (string, Result, error) {
	t.Helper()
	r, err := s.Call(t.Context(), version(t))
	if err != nil {
		return "", Result{}, err
	}
	b, err := io.ReadAll(r)
	return string(b), r.Result(), err
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("error %v, want kind %s", err, want)
	}
	if _, _, advice := e.Diagnosis(); advice == "" {
		t.Errorf("no advice for %s", e.Kind)
	}
}
