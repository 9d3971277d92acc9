package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"lwc/transport/wire"
)

// EmbeddedConfig configures an Embedded.
type EmbeddedConfig struct {
	// Topics has the topic prefix; its zero value is the default prefix.
	Topics wire.Topics
	// Logger gets what an operator should know; nil discards it. No payload
	// ever reaches it.
	Logger *slog.Logger
	// ConnectTimeout is what a peer has to send a whole CONNECT; 0 means 10 s.
	ConnectTimeout time.Duration
	// TakeOver is how long a new connection waits for the end of the older one
	// of the same collector; 0 means 10 s.
	TakeOver time.Duration
}

// Embedded is a broker for collectors only: each may publish to its own up
// topics and subscribe to its own down topics, and to nothing else. It speaks
// MQTT 3.1.1 with clean sessions, at most QoS 1, without retained messages and
// without $SYS topics.
type Embedded struct {
	cfg    EmbeddedConfig
	log    *slog.Logger
	server *mqtt.Server

	serving sync.WaitGroup
	ready   chan struct{} // closed by Handle
	closing chan struct{} // closed by Close
	receive func(string, []byte)

	// mu guards the rest.
	mu       sync.Mutex
	live     map[*session]bool   // all connections
	sessions map[string]*session // by collector, the one that connected last
	closed   bool
}

// NewEmbedded makes a broker. It starts nothing: it works in the goroutines that
// call ServeConn.
func NewEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.TakeOver == 0 {
		cfg.TakeOver = 10 * time.Second
	}
	e := &Embedded{cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), closing: make(chan struct{}),
		live: map[*session]bool{}, sessions: map[string]*session{}}
	e.server = mqtt.New(&mqtt.Options{
		Capabilities: capabilities(), InlineClient: true, Logger: newQuiet(cfg.Logger)})
	if err := e.server.AddHook(&access{bus: e}, nil); err != nil {
		return nil, fmt.Errorf("making the embedded broker: %w", err)
	}
	return e, nil
}

// capabilities turns off what the protocol does not use. The server is never
// started with Serve: its event loop only publishes $SYS topics and expires
// what does not exist here (retained messages, kept sessions, delayed wills).
func capabilities() *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClientWritesPending = 2 * maxQueued
	c.MaximumPacketSize = maxPacket
	c.ReceiveMaximum = 64
	c.MaximumInflight = 64
	c.TopicAliasMaximum = 0
	c.SharedSubAvailable = 0
	c.SubIDAvailable = 0
	c.RetainAvailable = 0
	c.MinimumProtocolVersion = 4
	c.MaximumQos = 1
	return c
}

// Handle implements Bus.
func (e *Embedded) Handle(receive func(topic string, payload []byte)) {
	e.receive = receive
	close(e.ready)
}

// ServeConn speaks MQTT with a collector until the connection ends, ctx is
// cancelled or the broker is closed. The caller has done the TLS handshake, and
// took collector from the certificate. It returns nil after an ordinary end,
// and always closes c.
func (e *Embedded) ServeConn(ctx context.Context, c net.Conn, collector string) error {
	defer c.Close()
	if err := wire.CheckCollectorID(collector); err != nil {
		return fmt.Errorf("serving a connection: %w", err)
	}
	s := newSession(c, collector)
	if err := e.begin(s); err != nil {
		return err
	}
	defer e.end(s)
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := e.speak(ctx, s); err != nil && !ordinaryEnd(err) {
		return fmt.Errorf("serving collector %s: %w", collector, err)
	}
	return nil
}

// speak waits for Handle, which may come a little after the first collector.
func (e *Embedded) speak(ctx context.Context, s *session) error {
	if err := s.SetDeadline(time.Now().Add(e.cfg.ConnectTimeout)); err != nil {
		return fmt.Errorf("setting a deadline: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.ConnectTimeout)
	defer cancel()
	select {
	case <-e.ready:
		return e.establish(s)
	case <-e.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("nobody receives: %w", ctx.Err())
	}
}

// establish runs the broker library on one connection. A packet that makes it
// panic ends that connection, not the process.
func (e *Embedded) establish(s *session) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the broker library panicked: %T", p)
		}
	}()
	return e.server.EstablishConnection("tls", s)
}

func ordinaryEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func (e *Embedded) begin(s *session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("serving collector %s: %w", s.collector, ErrClosed)
	}
	e.serving.Add(1)
	e.live[s] = true
	return nil
}

func (e *Embedded) end(s *session) {
	e.mu.Lock()
	delete(e.live, s)
	if e.sessions[s.collector] == s {
		delete(e.sessions, s.collector)
	}
	e.mu.Unlock()
	close(s.done)
	e.serving.Done()
}

// claim makes s the session of its collector and ends the older one. The will
// of the older is delivered before claim returns.
func (e *Embedded) claim(s *session) error {
	e.mu.Lock()
	old := e.sessions[s.collector]
	e.sessions[s.collector] = s
	e.mu.Unlock()
	if old == nil || old == s {
		return nil
	}
	e.log.Info("ending the older session of a collector", "collector", s.collector,
		"old_remote", old.RemoteAddr(), "new_remote", s.RemoteAddr())
	old.Close()
	if !old.gone(e.cfg.TakeOver) {
		return fmt.Errorf("the older session does not end: %w", os.ErrDeadlineExceeded)
	}
	return nil
}

// Publish implements Bus. It delivers with QoS 0: an acknowledgement of QoS 1
// would queue behind the collector's own frames, and with clean sessions it
// leads to nothing that the protocol's own receipts and repeats do not do.
func (e *Embedded) Publish(ctx context.Context, topic string, payload []byte) error {
	id, dir, _, err := e.cfg.Topics.Parse(topic)
	if err != nil || dir != wire.Down {
		return fmt.Errorf("publishing to %.120q: not a topic of a collector", topic)
	}
	s := e.session(id)
	if s == nil || !e.subscribed(id, topic) {
		return fmt.Errorf("publishing to %s: %w", id, ErrOffline)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := s.reserve(ctx); err != nil {
		if errors.Is(err, ErrSlow) {
			s.Close() // it may reconnect and ask for what it missed
		}
		return err
	}
	if err := e.server.Publish(topic, payload, false, 0); err != nil {
		s.release()
		return fmt.Errorf("publishing to %s: %w", id, err)
	}
	return nil
}

func (e *Embedded) session(collector string) *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[collector]
}

func (e *Embedded) subscribed(id, topic string) bool {
	_, ok := e.server.Topics.Subscribers(topic).Subscriptions[id]
	return ok
}

// Kick implements Bus. A connection that has not said CONNECT yet ends too: it was
// let in before whatever the kick is for.
func (e *Embedded) Kick(collector string) {
	var all []*session
	e.mu.Lock()
	for s := range e.live {
		if s.collector == collector {
			all = append(all, s)
		}
	}
	e.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
}

// Close implements Bus.
func (e *Embedded) Close() error {
	e.mu.Lock()
	again := e.closed
	if !again {
		close(e.closing)
	}
	e.closed = true
	for s := range e.live {
		s.Close()
	}
	e.mu.Unlock()
	e.serving.Wait()
	if again {
		return nil
	}
	if err := e.server.Close(); err != nil {
		return fmt.Errorf("closing the embedded broker: %w", err)
	}
	return nil
}
