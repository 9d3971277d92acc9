package broker

import (
	"context"
	"errors"
	"time"
)

// Bus carries messages to and from collectors.
type Bus interface {
	// Publish sends one message down. It returns ErrOffline when nobody is
	// there to take it, and blocks while the collector reads slower than it is
	// sent to. The payload must not change any more.
	Publish(ctx context.Context, topic string, payload []byte) error
	// Handle sets the receiver of all that comes up. It is called once, before
	// anything is received. Calls to receive for one collector come one after
	// the other; payload belongs to the receiver. A receive that blocks holds
	// up its sender.
	Handle(receive func(topic string, payload []byte))
	// Kick ends the session of a collector, if this Bus can.
	Kick(collector string)
	// Close ends all sessions and waits until they are gone.
	Close() error
}

// The errors of Publish that a sender acts on.
var (
	// ErrOffline says that the collector is not connected and subscribed. It
	// says hello when it is back.
	ErrOffline = errors.New("the collector is not connected")
	// ErrSlow says that the message did not go out in time.
	ErrSlow = errors.New("the collector or broker does not take messages fast enough")
	// ErrClosed says that the Bus was closed.
	ErrClosed = errors.New("the broker is closed")
)

const (
	// maxPacket bounds an MQTT packet: a frame of 120 KiB and room for the topic.
	maxPacket = 160 << 10
	// connectTimeout is what a peer has from its TLS handshake to a CONNECT.
	connectTimeout = 10 * time.Second
	// publishTimeout bounds a Publish, whatever its context says.
	publishTimeout = 15 * time.Second
)
