package broker

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A receiver that blocks stops the sender's reader; nothing piles up.
func TestEmbeddedBackPressure(t *testing.T) {
	b, err := NewEmbedded(EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	received := 0
	gate := make(chan struct{})
	b.Handle(func(string, []byte) {
		mu.Lock()
		received++
		mu.Unlock()
		<-gate
	})
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- b.ServeConn(t.Context(), far, one) }()
	c := loginPipe(t, near)
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = up(one, "fact"), make([]byte, 64<<10)
	frame := encode(t, p)
	if err := c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for range 50 {
		if _, err := c.Write(frame); err != nil {
			break
		}
		sent++
	}
	if sent > 2 {
		t.Errorf("%d messages were taken while the receiver blocked", sent)
	}
	close(gate)
	c.Close()
	<-ended
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if received == 0 {
		t.Error("nothing was received")
	}
}

// loginPipe logs in over a pipe, which has no buffer.
func loginPipe(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier, p.Keepalive = "MQTT", 4, true, one, 60
	writePacket(t, c, encode(t, p))
	if _, err := packets.ReadPacket(c); err != nil {
		t.Fatal(err)
	}
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = 1, []string{"lwc/v1/" + one + "/down/+"}, []byte{1}
	writePacket(t, c, encode(t, s))
	if _, err := packets.ReadPacket(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// A collector that does not read is waited for, within bounds, then kicked.
func TestEmbeddedBoundsWhatWaitsForACollector(t *testing.T) {
	b, err := NewEmbedded(EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	b.Handle(func(string, []byte) {})
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- b.ServeConn(t.Context(), far, one) }()
	loginPipe(t, near)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	sent := 0
	for range 10 * maxQueued {
		if err = b.Publish(ctx, down(one, "receipt"), make([]byte, 4<<10)); err != nil {
			break
		}
		sent++
	}
	if !errors.Is(err, ErrSlow) || sent > maxQueued {
		t.Errorf("%d messages queued, then %v", sent, err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the session lives on")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
