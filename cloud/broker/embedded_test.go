package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2/packets"
)

const (
	one = "collector-one"
	two = "collector-two"
)

func up(id, kind string) string   { return "lwc/v1/" + id + "/up/" + kind }
func down(id, kind string) string { return "lwc/v1/" + id + "/down/" + kind }

func TestEmbeddedCarriesBothWays(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c := connect(t, e.options(t, one))
	got := newReceiver()
	if code := subscribe(t, c, "lwc/v1/"+one+"/down/+", got); code > 1 {
		t.Fatalf("SUBACK code %#x", code)
	}
	for i := range 200 {
		c.Publish(up(one, "fact"), 1, false, fmt.Sprint(i))
	}
	for i := range 200 {
		if m := e.next(t); m.topic != up(one, "fact") || m.payload != fmt.Sprint(i) {
			t.Fatalf("message %d is %v", i, m)
		}
	}
	big := strings.Repeat("x", 120<<10)
	for _, want := range []string{"a", big} {
		if err := e.Publish(t.Context(), down(one, "job"), []byte(want)); err != nil {
			t.Fatal(err)
		}
		if m := got.next(t); m.topic != down(one, "job") || m.payload != want {
			t.Fatalf("got %d bytes on %s", len(m.payload), m.topic)
		}
	}
}

func TestEmbeddedPublishTellsOffline(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	if err := e.Publish(t.Context(), down(one, "job"), nil); !errors.Is(err, ErrOffline) {
		t.Errorf("nobody connected: %v", err)
	}
	connect(t, e.options(t, one))
	if err := e.Publish(t.Context(), down(one, "job"), nil); !errors.Is(err, ErrOffline) {
		t.Errorf("connected without a subscription: %v", err)
	}
	if err := e.Publish(t.Context(), up(one, "fact"), nil); err == nil || errors.Is(err, ErrOffline) {
		t.Errorf("an up topic: %v", err)
	}
}

func TestEmbeddedHoldsCollectorsToTheirTopics(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c := connect(t, e.options(t, one))
	refused := []string{"#", "+/#", "$SYS/#", "$share/g/lwc/v1/" + one + "/down/+", "lwc/v1/+/down/+",
		"lwc/v1/" + two + "/down/+", "lwc/v1/" + one + "/#", "lwc/v1/" + one + "/down/#",
		"lwc/v1/" + one + "/up/+", "lwc/v1/" + one + "/+/job"}
	for _, f := range refused {
		if code := subscribe(t, c, f, newReceiver()); code != 0x80 {
			t.Errorf("subscribing to %s: code %#x", f, code)
		}
	}
	for _, topic := range []string{up(two, "fact"), down(one, "job"), up(one, "shell"), "lwc/v1/" + one + "/up/fact/x", "$SYS/x"} {
		for qos := range byte(2) {
			c := connect(t, e.options(t, one))
			if err := done(c.Publish(topic, qos, false, "x")); err == nil {
				eventually(t, "the connection ends after publishing to "+topic, func() bool { return !c.IsConnectionOpen() })
			}
		}
	}
	last := connect(t, e.options(t, one))
	if err := done(last.Publish(up(one, "event"), 1, false, "fine")); err != nil {
		t.Fatal(err)
	}
	if m := e.next(t); m.payload != "fine" {
		t.Errorf("a refused message came through: %v", m)
	}
}

func TestEmbeddedRefusesConnects(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	for name, change := range map[string]func(*paho.ClientOptions){
		"another's client id": func(o *paho.ClientOptions) { o.SetClientID(two) },
		"no client id":        func(o *paho.ClientOptions) { o.SetClientID("") },
		"a kept session":      func(o *paho.ClientOptions) { o.SetCleanSession(false) },
		"MQTT 3.1":            func(o *paho.ClientOptions) { o.SetProtocolVersion(3) },
		"another's will":      func(o *paho.ClientOptions) { o.SetWill(up(two, "bye"), "x", 1, false) },
		"a will down":         func(o *paho.ClientOptions) { o.SetWill(down(one, "job"), "x", 1, false) },
		"a retained will":     func(o *paho.ClientOptions) { o.SetWill(up(one, "bye"), "x", 1, true) },
		"a QoS 2 will":        func(o *paho.ClientOptions) { o.SetWill(up(one, "bye"), "x", 2, false) },
	} {
		t.Run(name, func(t *testing.T) {
			o := e.options(t, one)
			change(o)
			c := paho.NewClient(o)
			if done(c.Connect()); c.IsConnectionOpen() { // its error is nil for codes that it does not know
				c.Disconnect(0)
				t.Error("it was let in")
			}
		})
	}
	t.Run("MQTT 5", func(t *testing.T) {
		conn := e.raw(t, one)
		writePacket(t, conn, connectV5(t))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("the connection did not end: %v", err)
		}
	})
}

func connectV5(t *testing.T) []byte {
	t.Helper()
	pk := mochi.Packet{FixedHeader: mochi.FixedHeader{Type: mochi.Connect}, ProtocolVersion: 5,
		Connect: mochi.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: one, Keepalive: 30}}
	var b bytes.Buffer
	if err := pk.ConnectEncode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw is a TLS connection with a deadline, before any MQTT.
func (e *embedded) raw(t testing.TB, cn string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", e.addr, e.ca.client(t, cn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func writePacket(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, p packets.ControlPacket) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// loggedIn is a raw connection after CONNACK.
func (e *embedded) loggedIn(t testing.TB, cn string) net.Conn {
	t.Helper()
	c := e.raw(t, cn)
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier, p.Keepalive = "MQTT", 4, true, cn, 0
	writePacket(t, c, encode(t, p))
	ack, err := packets.ReadPacket(c)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := ack.(*packets.ConnackPacket); !ok || a.ReturnCode != 0 {
		t.Fatalf("got %v", ack)
	}
	return c
}

func TestEmbeddedEndsConnectionsThatMisuseMQTT(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	publish := func(qos byte, retain bool) []byte {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Qos, p.Retain, p.MessageID, p.Payload = up(one, "fact"), qos, retain, 7, []byte("x")
		return encode(t, p)
	}
	rel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	rel.MessageID = 1
	for name, b := range map[string][]byte{
		"QoS 2":           publish(2, false),
		"retained":        publish(1, true),
		"PUBREL":          encode(t, rel),
		"oversize":        {0x30, 0xff, 0xff, 0xff, 0x7f},
		"just oversize":   {0x30, 0x80, 0x80, 0x0a}, // 160 KiB and the first byte
		"endless length":  {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"reserved type 0": {0x00, 0x00},
		"cut publish":     {0x32, 0x03, 0x00, 0xff, 0x00},
		"cut subscribe":   {0x82, 0x05, 0x00, 0x01, 0xff, 0xff, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			c := e.loggedIn(t, one)
			writePacket(t, c, b)
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("the connection did not end: %v", err)
			}
		})
	}
	if len(e.ch) != 0 {
		t.Errorf("%d messages came through", len(e.ch))
	}
}

func TestEmbeddedDoesNotWaitForConnect(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{ConnectTimeout: 50 * time.Millisecond})
	c := e.raw(t, one)
	writePacket(t, c, []byte{0x10})
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection did not end: %v", err)
	}
}

func TestEmbeddedTakeOverDeliversTheWillFirst(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	lost := make(chan error, 1)
	o := e.options(t, one).SetWill(up(one, "bye"), "of the first", 1, false)
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	connect(t, o)
	second := connect(t, e.options(t, one))
	if err := done(second.Publish(up(one, "hello"), 1, false, "of the second")); err != nil {
		t.Fatal(err)
	}
	if m := e.next(t); m.payload != "of the first" {
		t.Errorf("first came %v", m)
	}
	if m := e.next(t); m.payload != "of the second" {
		t.Errorf("then came %v", m)
	}
	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Error("the older session lives on")
	}
	got := newReceiver()
	subscribe(t, second, "lwc/v1/"+one+"/down/+", got)
	if err := e.Publish(t.Context(), down(one, "need"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	got.next(t)
}

func TestEmbeddedCleanDisconnectSendsNoWill(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c := connect(t, e.options(t, one).SetWill(up(one, "bye"), "will", 1, false))
	c.Disconnect(100)
	eventually(t, "the session is gone", func() bool { return e.session(one) == nil })
	if len(e.ch) != 0 {
		t.Errorf("got %v", <-e.ch)
	}
}

func TestEmbeddedLogsNoPayload(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	h := slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug})
	e := startEmbedded(t, EmbeddedConfig{Logger: slog.New(h)})
	c := e.loggedIn(t, one)
	for _, topic := range []string{up(one, "fact"), up(two, "fact")} {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Qos, p.Retain, p.MessageID, p.Payload = topic, 1, topic == up(two, "fact"), 1, []byte("canary-4711")
		writePacket(t, c, encode(t, p))
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is gone", func() bool { return e.session(one) == nil })
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "[redacted]") {
		t.Errorf("nothing was redacted, so nothing was tried:\n%s", &log)
	}
	for _, canary := range []string{"canary-4711", "Y2FuYXJ5LTQ3MTE"} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("the log holds a payload:\n%s", &log)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestEmbeddedCloseIsFinal(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	c := connect(t, e.options(t, one))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client notices", func() bool { return !c.IsConnectionOpen() })
	if err := done(paho.NewClient(e.options(t, one)).Connect()); err == nil {
		t.Error("a closed broker let a client in")
	}
}

// FuzzEmbedded feeds bytes to a connection after log-in: it must end or go on,
// never take the process with it, and deliver only what the collector may send.
func FuzzEmbedded(f *testing.F) {
	f.Add([]byte{0x32, 0x03, 0x00, 0xff, 0x00})
	f.Add([]byte{0x82, 0x05, 0x00, 0x01, 0xff, 0xff, 0x00})
	f.Add([]byte{0xc0, 0x00, 0xe0, 0x00})
	f.Add([]byte("\x30\x1f\x00\x1clwc/v1/collector-one/up/factx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := NewEmbedded(EmbeddedConfig{})
		if err != nil {
			t.Fatal(err)
		}
		e.Handle(func(topic string, _ []byte) {
			if !strings.HasPrefix(topic, "lwc/v1/"+one+"/up/") {
				t.Errorf("a message on %q came through", topic)
			}
		})
		near, far := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- e.ServeConn(t.Context(), far, one) }()
		loginPipe(t, near)
		go io.Copy(io.Discard, near) //nolint:errcheck // it ends with the pipe
		near.Write(b)                //nolint:errcheck // the broker may have ended it
		near.Close()
		if err := <-ended; err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("%v", err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A collector that is faster than the start of the cloud end waits for it.
func TestEmbeddedWaitsForItsReceiver(t *testing.T) {
	b, err := NewEmbedded(EmbeddedConfig{ConnectTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	if err := b.ServeConn(t.Context(), far, one); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody received: %v", err)
	}
	near, far = net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- b.ServeConn(t.Context(), far, one) }()
	b.Handle(func(string, []byte) {})
	loginPipe(t, near)
	near.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}
