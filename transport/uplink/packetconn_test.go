package uplink

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"lwc/transport/wire"
)

// readerConn is a connection that delivers fixed bytes.
type readerConn struct {
	net.Conn
	r interface{ Read([]byte) (int, error) }
}

func (c readerConn) Read(b []byte) (int, error) { return c.r.Read(b) }

func TestPacketsAreMeasuredBeforeTheyAreRead(t *testing.T) {
	big := []byte{0x30, 0x80, 0x80, 0x0a} // PUBLISH of 160 KiB
	for _, c := range []struct {
		name string
		in   []byte
		want string // "" means that it passes
	}{
		{"connack", []byte{0x20, 2, 0, 0}, ""},
		{"pingresp", []byte{0xd0, 0}, ""},
		{"two packets", []byte{0xd0, 0, 0x40, 2, 0, 1}, ""},
		{"largest message", append(big, make([]byte, maxPacket)...), ""},
		{"too large message", []byte{0x30, 0x81, 0x80, 0x0a}, "the limit is 163840"},
		{"256 MB", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, "the limit is"},
		{"five length bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}, "more than four"},
		{"qos 2", []byte{0x34, 5}, "QoS 2"},
		{"a suback of three codes", []byte{0x90, 5, 0, 1, 0, 0, 0}, "type 9 with 5 bytes"},
		{"a puback without id", []byte{0x40, 0}, "type 4 with 0 bytes"},
		{"a connect", []byte{0x10, 10}, "type 1"},
		{"pubrec", []byte{0x50, 2, 0, 1}, "type 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := newPacketConn(readerConn{r: iotest.OneByteReader(bytes.NewReader(c.in))}, time.Second)
			var err error
			for n := 0; err == nil && n < len(c.in); n++ {
				_, err = conn.Read(make([]byte, 16))
			}
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, errPacket) || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if _, again := conn.Read(make([]byte, 1)); c.want != "" && again != err {
				t.Fatalf("after the error it reads on: %v", again)
			}
		})
	}
}

// FuzzPacketConn feeds a broker's bytes through packetConn to the MQTT library's
// parser: it must never be asked for more than the limit, and never panic.
func FuzzPacketConn(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0x32, 9, 0, 3, 'a', '/', 'b', 0, 7, 'h', 'i'}, true)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, false)
	f.Add([]byte{0xd0, 0x80, 0}, false)
	f.Fuzz(func(t *testing.T, in []byte, slow bool) {
		var src interface{ Read([]byte) (int, error) } = bytes.NewReader(in)
		if slow {
			src = iotest.OneByteReader(bytes.NewReader(in))
		}
		conn := newPacketConn(readerConn{r: src}, time.Second)
		for {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				return
			}
			if pub, ok := p.(*packets.PublishPacket); ok && (pub.RemainingLength > maxPacket || pub.Qos > 1) {
				t.Fatalf("the parser got %v", pub.FixedHeader)
			}
			if sub, ok := p.(*packets.SubackPacket); ok && len(sub.ReturnCodes) != 1 {
				t.Fatalf("the parser got a SUBACK of %d codes", len(sub.ReturnCodes))
			}
		}
	})
}

// brokerScript answers one connection with raw bytes.
func brokerScript(t *testing.T, ca *authority, alpn []string, script func(net.Conn)) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.pair("broker")},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(), NextProtos: alpn})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		script(c)
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

// accept reads a CONNECT and a SUBSCRIBE, and answers the first.
func accept(t *testing.T, c net.Conn) (sub *packets.SubscribePacket) {
	if _, err := packets.ReadPacket(c); err != nil {
		t.Errorf("reading CONNECT: %v", err)
		return nil
	}
	c.Write([]byte{0x20, 2, 0, 0})
	p, err := packets.ReadPacket(c)
	if err != nil {
		t.Errorf("reading SUBSCRIBE: %v", err)
		return nil
	}
	return p.(*packets.SubscribePacket)
}

func TestHostileBrokersEndTheSession(t *testing.T) {
	ca := newAuthority(t, "ca")
	_, pub := configSigner(t)
	for _, c := range []struct {
		name   string
		script func(*testing.T, net.Conn)
		want   string
	}{
		{"refuses the connection", func(t *testing.T, c net.Conn) {
			packets.ReadPacket(c)
			c.Write([]byte{0x20, 2, 0, 5})
		}, "did not accept the connection"},
		{"refuses the subscription", func(t *testing.T, c net.Conn) {
			id := accept(t, c).MessageID
			c.Write([]byte{0x90, 3, byte(id >> 8), byte(id), 0x80})
			c.Read(make([]byte, 1))
		}, "refused it (code 0x80)"},
		{"acknowledges more subscriptions than there are", func(t *testing.T, c net.Conn) {
			id := accept(t, c).MessageID
			c.Write([]byte{0x90, 4, byte(id >> 8), byte(id), 1, 1})
			c.Read(make([]byte, 1))
		}, "type 9 with 4 bytes"},
		{"announces a huge message", func(t *testing.T, c net.Conn) {
			accept(t, c)
			c.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
			c.Read(make([]byte, 1))
		}, "the limit is 163840"},
		{"is silent", func(t *testing.T, c net.Conn) {
			id := accept(t, c).MessageID
			c.Write([]byte{0x90, 3, byte(id >> 8), byte(id), 1})
			for {
				if _, err := c.Read(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "the hello was not answered"},
		{"hangs up", func(t *testing.T, c net.Conn) { packets.ReadPacket(c) }, "did not accept the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := brokerScript(t, ca, nil, func(conn net.Conn) { c.script(t, conn) })
			u := newUplink(t, identityOf(ca, pub, addr), newRecorder())
			u.time.welcome, u.time.answer = 200*time.Millisecond, 2*time.Second
			lived, err := u.session(t.Context(), &rung{ep: u.cfg.Bootstrap.Endpoints[0]})
			if lived != 0 || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the session lived %v and ended with %v, want %q", lived, err, c.want)
			}
		})
	}
}

func TestEndpointWithALPN(t *testing.T) {
	ca := newAuthority(t, "ca")
	for _, c := range []struct {
		offer []string
		ok    bool
	}{{[]string{"h2", wire.ALPN}, true}, {nil, false}, {[]string{"h2"}, false}} {
		addr := brokerScript(t, ca, c.offer, func(c net.Conn) { c.Read(make([]byte, 1)) })
		u := newUplink(t, identityOf(ca, nil), newRecorder())
		conn, err := u.dial(t.Context(), wire.Endpoint{Kind: wire.EndpointMQTT, Host: addr, ALPN: true})
		if (err == nil) != c.ok {
			t.Errorf("a server that speaks %v: %v", c.offer, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestUnknownEndpointKind(t *testing.T) {
	u := newUplink(t, identityOf(newAuthority(t, "ca"), nil), newRecorder())
	if _, err := u.dial(t.Context(), wire.Endpoint{Kind: "carrier-pigeon", Host: "127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "carrier-pigeon") {
		t.Fatalf("got %v", err)
	}
}

func TestOwnExpiredCertificateIsNamed(t *testing.T) {
	ca := newAuthority(t, "ca")
	_, pub := configSigner(t)
	addr := brokerScript(t, ca, nil, func(c net.Conn) { c.Read(make([]byte, 1)) })
	id := identityOf(ca, pub, addr)
	id.Certificate.Leaf = ca.issue(collectorID, id.Key.Public(), time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	id.Certificate.Certificate = [][]byte{id.Certificate.Leaf.Raw}
	u := newUplink(t, id, newRecorder())
	if _, err := u.session(t.Context(), &rung{ep: id.Bootstrap.Endpoints[0]}); !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), collectorID) {
		t.Fatalf("got %v", err)
	}
}

// TestUnacknowledgedNoticesAreKept has a broker that takes an event and hangs up
// before it acknowledges.
func TestUnacknowledgedNoticesAreKept(t *testing.T) {
	ca := newAuthority(t, "ca")
	key, pub := configSigner(t)
	addr := brokerScript(t, ca, nil, func(c net.Conn) {
		id := accept(t, c).MessageID
		c.Write([]byte{0x90, 3, byte(id >> 8), byte(id), 1})
		for {
			p, err := packets.ReadPacket(c)
			pub, ok := p.(*packets.PublishPacket)
			if err != nil || ok && strings.HasSuffix(pub.TopicName, "/event") {
				return
			}
			if ok && strings.HasSuffix(pub.TopicName, "/hello") {
				welcomeOver(t, c, pub, key)
			}
		}
	})
	rec := newRecorder()
	u := newUplink(t, identityOf(ca, pub, addr), rec)
	u.SendEvent(wire.Event{Kind: wire.EventCredential, Text: "must not be lost"})
	lived, err := u.session(t.Context(), &rung{ep: u.cfg.Bootstrap.Endpoints[0]})
	if lived == 0 || err == nil {
		t.Fatalf("the session lived %v and ended with %v", lived, err)
	}
	u.events.again() // as the next welcome does
	if e, ok := u.events.next(time.Now()); !ok || e.Text != "must not be lost" {
		t.Fatalf("kept is %+v", e)
	}
}

// welcomeOver acknowledges a hello and answers it on the same connection.
func welcomeOver(t *testing.T, c net.Conn, pub *packets.PublishPacket, key ed25519.PrivateKey) {
	var e wire.Envelope
	var h wire.Hello
	if err := errors.Join(json.Unmarshal(pub.Payload, &e), json.Unmarshal(e.Payload, &h)); err != nil {
		t.Error(err)
	}
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = pub.MessageID
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName = wire.Topics{}.Name(collectorID, wire.Down, wire.KindWelcome)
	var err error
	m.Payload, err = wire.Sign(wire.KindWelcome, wire.Welcome{V: wire.Version, Collector: h.Collector, Boot: h.Boot, Nonce: h.Nonce, Time: time.Now()}, key)
	if err := errors.Join(err, ack.Write(c), m.Write(c)); err != nil {
		t.Error(err)
	}
}
