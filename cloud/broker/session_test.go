package broker

import (
	"crypto/tls"
	"errors"
	"os"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

func TestEmbeddedKick(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c := connect(t, e.options(t, one).SetWill(up(one, "bye"), "bye", 1, false))
	other := connect(t, e.options(t, two))
	e.Kick("collector-unknown")
	e.Kick(one)
	eventually(t, "the kicked client notices", func() bool { return !c.IsConnectionOpen() })
	if m := e.next(t); m.payload != "bye" {
		t.Errorf("got %v", m)
	}
	if !other.IsConnectionOpen() {
		t.Error("another collector was kicked")
	}
}

// A collector that is revoked between its handshake and its CONNECT is out as well.
func TestEmbeddedKickBeforeConnect(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c, err := tls.Dial("tcp", e.addr, e.ca.client(t, one))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "the broker has the connection", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.live) == 1
	})
	e.Kick(two)
	e.Kick(one)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is still there: %v", err)
	}
}

// The new session of a collector begins when all of the older one is through, the
// will too.
func TestEmbeddedTakeOverWaits(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	e.ch = make(chan message) // the will waits for somebody to take it
	connect(t, e.options(t, one).SetWill(up(one, "bye"), "bye", 1, false))
	second := paho.NewClient(e.options(t, one))
	tok := second.Connect()
	defer second.Disconnect(0)
	if tok.WaitTimeout(200 * time.Millisecond) {
		t.Fatalf("it began before the older one had ended: %v", tok.Error())
	}
	e.next(t)
	if err := done(tok); err != nil {
		t.Error(err)
	}
}

// A collector that asks for no bound on its silence gets one.
func TestEmbeddedBoundsSilence(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	e.loggedIn(t, one)
	cl, ok := e.server.Clients.Get(one)
	if !ok || cl.State.Keepalive != maxKeepalive {
		t.Errorf("%d s, %v", cl.State.Keepalive, ok)
	}
}
