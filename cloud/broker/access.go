package broker

import (
	"bytes"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"lwc/transport/wire"
)

// maxKeepalive bounds the silence of a collector, in seconds. The library reads
// 0 as no bound at all.
const maxKeepalive = 300

// access is what the broker library asks before it does anything for a client.
type access struct {
	mqtt.HookBase
	bus *Embedded
}

// ID implements mqtt.Hook.
func (a *access) ID() string { return "access" }

// Provides implements mqtt.Hook.
func (a *access) Provides(b byte) bool {
	return bytes.Contains([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPacketRead,
		mqtt.OnPublish, mqtt.OnWill, mqtt.OnPacketSent, mqtt.OnPublishDropped,
	}, []byte{b})
}

// OnConnect refuses a CONNECT that the protocol does not make, then ends the
// older session of the collector.
func (a *access) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	s, ok := cl.Net.Conn.(*session)
	if !ok {
		return packets.ErrNotAuthorized
	}
	code, why := a.check(s.collector, pk)
	if why == "" {
		if err := a.bus.claim(s); err != nil {
			code, why = packets.ErrServerUnavailable, err.Error()
		}
	}
	if why != "" {
		a.bus.log.Warn("refusing a collector's CONNECT", "collector", s.collector,
			"remote", s.RemoteAddr(), "reason", why)
		if err := a.bus.server.SendConnack(cl, code, false, nil); err != nil {
			return err
		}
		return code
	}
	if cl.State.Keepalive == 0 || cl.State.Keepalive > maxKeepalive {
		cl.State.Keepalive = maxKeepalive
	}
	return nil
}

// check returns a code and a reason in words, which is empty when all is well.
// The codes are those that MQTT 3.1.1 §3.2.2.3 has an equal for.
func (a *access) check(collector string, pk packets.Packet) (packets.Code, string) {
	c := pk.Connect
	switch {
	case pk.ProtocolVersion != 4:
		return packets.ErrUnsupportedProtocolVersion, "it does not speak MQTT 3.1.1"
	case c.ClientIdentifier != collector:
		return packets.ErrClientIdentifierNotValid, "its client id is not the collector id of its certificate"
	case !c.Clean:
		return packets.ErrBadUsernameOrPassword, "it asks for a kept session"
	case c.WillFlag && !a.may(collector, c.WillTopic, wire.Up):
		return packets.ErrBadUsernameOrPassword, "its will goes to a topic that is not its own"
	}
	return packets.CodeSuccess, ""
}

// OnConnectAuthenticate lets in what OnConnect let in: the certificate was the
// authentication.
func (a *access) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	_, ok := cl.Net.Conn.(*session)
	return ok
}

// OnACLCheck holds each collector to its own topics. The library asks it for
// publishes (write), for subscription filters and for each delivery.
func (a *access) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	s, ok := cl.Net.Conn.(*session)
	switch {
	case !ok:
		return false
	case write:
		return a.may(s.collector, topic, wire.Up)
	}
	return topic == a.bus.cfg.Topics.DownFilter(s.collector) || a.may(s.collector, topic, wire.Down)
}

func (a *access) may(collector, topic string, want wire.Direction) bool {
	id, dir, _, err := a.bus.cfg.Topics.Parse(topic)
	return err == nil && id == collector && dir == want
}

// OnPacketRead ends the connection of a client that uses what is turned off, or
// publishes where it may not. The library itself would do something else
// quietly, or answer with codes that MQTT 3.1.1 does not have.
func (a *access) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	h, c, refused := pk.FixedHeader, pk.Connect, false
	switch h.Type {
	case packets.Connect:
		refused = c.WillFlag && (c.WillQos > 1 || c.WillRetain)
	case packets.Publish:
		refused = h.Qos > 1 || h.Retain || !a.OnACLCheck(cl, pk.TopicName, true)
	case packets.Puback, packets.Subscribe, packets.Unsubscribe, packets.Pingreq, packets.Disconnect:
	default:
		refused = true
	}
	if refused {
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnPublish hands a message to the receiver, in the goroutine that reads from
// its sender, and before the sender's acknowledgement. Ignore is the one answer
// that acknowledges a message without passing it on to subscribers; any other
// error would pass it on where the client speaks 3.1.1.
func (a *access) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	a.bus.receive(pk.TopicName, pk.Payload)
	return pk, packets.CodeSuccessIgnore
}

// OnWill hands a will to the receiver. Its topic was checked at CONNECT, and
// nobody is subscribed to it in this broker.
func (a *access) OnWill(_ *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	a.bus.receive(will.TopicName, will.Payload)
	return will, nil
}

// OnPacketSent makes room for the next message.
func (a *access) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	if s, ok := cl.Net.Conn.(*session); ok && pk.FixedHeader.Type == packets.Publish {
		s.release()
	}
}

// OnPublishDropped ends a session that lost a message: it asks for everything
// again when it is back.
func (a *access) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	if s, ok := cl.Net.Conn.(*session); ok {
		s.Close()
	}
}
