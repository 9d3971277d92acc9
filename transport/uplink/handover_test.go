package uplink

import (
	"context"
	"errors"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lwc/transport/wire"
)

// stuckClient is the library when its connection breaks between two messages:
// Publish stands still for the write time-out.
type stuckClient struct {
	mqtt.Client
	called, over chan struct{}
}

// Publish implements mqtt.Client.
func (c *stuckClient) Publish(string, byte, bool, any) mqtt.Token {
	close(c.called)
	<-c.over
	return &mqtt.DummyToken{}
}

// A session ends when its connection does, whatever the library still waits for,
// and what it was about to say is said in the next one.
func TestSessionDoesNotWaitForTheLibrary(t *testing.T) {
	u := newUplink(t, identityOf(newAuthority(t, "ca"), nil), newRecorder())
	client := &stuckClient{called: make(chan struct{}), over: make(chan struct{})}
	s := &session{u: u, client: client, conn: &packetConn{written: make(chan struct{}, 1)}}
	ctx, cancel := context.WithCancelCause(t.Context())
	broken := errors.New("broken")
	ended := make(chan error, 1)
	n := notice{kind: wire.KindState, msg: wire.State{}}
	go func() { ended <- s.publish(ctx, wire.KindState, []byte("{}"), &n) }()
	wait(t, client.called, "the library has the message")
	cancel(broken)
	if err := wait(t, ended, "the session is told"); !errors.Is(err, broken) {
		t.Errorf("the session ended with %v", err)
	}
	if _, ok := u.notices.take(); !ok {
		t.Error("what was to be said is lost")
	}
	close(client.over)
	u.handing.Wait()
}
