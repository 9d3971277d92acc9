package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// ExternalConfig configures an External.
type ExternalConfig struct {
	// URL is mqtts://host[:port]; the port is 8883 when it is left out.
	URL string
	// TLS has the certification authority to believe and the certificate to
	// show. Its ServerName is taken from URL when empty.
	TLS *tls.Config
	// Username and Password are for brokers that ask for them; empty: none.
	Username string
	Password secret.Text
	// ClientID must differ between the nodes of a cloud end.
	ClientID string
	// Group is the shared subscription that the nodes take messages from; each
	// message goes to one of them. Empty means "lwc-cloud".
	Group string
	// Topics has the topic prefix; its zero value is the default prefix.
	Topics wire.Topics
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// Pauses between attempts to reach the broker: full jitter below a bound that
// doubles from the first to the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// External is a client of a broker that serves the collectors. It reconnects by
// itself until Close.
type External struct {
	cfg    ExternalConfig
	addr   string
	log    *slog.Logger
	stop   context.CancelFunc
	ended  chan struct{} // closed when the supervisor returned
	ready  chan struct{} // closed by Handle
	handle func(string, []byte)

	mu   sync.Mutex // guards link
	link *link      // nil while there is no connection
}

// DialExternal connects to the broker and subscribes. What is wrong with its
// configuration (address, certificates, access list) shows here; later losses of
// the connection are repaired by a supervisor that runs until Close. Messages
// wait for Handle.
func DialExternal(ctx context.Context, cfg ExternalConfig) (*External, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Group == "" {
		cfg.Group = "lwc-cloud"
	}
	addr, host, err := brokerAddress(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.TLS == nil || cfg.ClientID == "" {
		return nil, errors.New("connecting to a broker: a TLS configuration and a client id are needed")
	}
	cfg.TLS = cfg.TLS.Clone()
	if cfg.TLS.ServerName == "" {
		cfg.TLS.ServerName = host
	}
	x := &External{cfg: cfg, addr: addr, log: cfg.Logger,
		ended: make(chan struct{}), ready: make(chan struct{})}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	x.stop = stop
	first, err := x.connect(ctx, run)
	if err != nil {
		stop()
		return nil, err
	}
	go x.supervise(run, first)
	return x, nil
}

// brokerAddress reads a broker URL.
func brokerAddress(s string) (addr, host string, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return "", "", fmt.Errorf("reading the broker URL %q: it must be mqtts://host:port", s)
	}
	if u.Scheme != "mqtts" && u.Scheme != "ssl" && u.Scheme != "tls" {
		return "", "", fmt.Errorf("reading the broker URL %q: only TLS is spoken, it must begin with mqtts://", s)
	}
	port := u.Port()
	if port == "" {
		port = "8883"
	}
	return net.JoinHostPort(u.Hostname(), port), u.Hostname(), nil
}

// supervise keeps one link alive until ctx is cancelled.
func (x *External) supervise(ctx context.Context, l *link) {
	defer close(x.ended)
	bound := firstPause
	for {
		if l != nil {
			x.setLink(l)
			up := time.Now()
			err := l.serve(ctx)
			x.setLink(nil)
			l.close()
			if ctx.Err() != nil {
				return
			}
			x.log.Warn("the connection to the broker was lost", "broker", x.addr, "error", err)
			if time.Since(up) > lastPause {
				bound = firstPause
			}
		}
		if !pause(ctx, rand.N(bound)) {
			return
		}
		bound = min(2*bound, lastPause)
		l = x.reconnect(ctx)
	}
}

// reconnect makes one attempt and logs its outcome; nil when it was in vain.
func (x *External) reconnect(ctx context.Context) *link {
	l, err := x.connect(ctx, ctx)
	switch {
	case err == nil:
		x.log.Info("connected to the broker again", "broker", x.addr)
	case ctx.Err() == nil:
		x.log.Warn("the broker is not reachable", "broker", x.addr, "error", err)
	}
	return l
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (x *External) setLink(l *link) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.link = l
}

// Handle implements Bus.
func (x *External) Handle(receive func(topic string, payload []byte)) {
	x.handle = receive
	close(x.ready)
}

// Publish implements Bus. Without an error the broker has the message; whether
// the collector gets it, only its answer tells.
func (x *External) Publish(ctx context.Context, topic string, payload []byte) error {
	if _, dir, _, err := x.cfg.Topics.Parse(topic); err != nil || dir != wire.Down {
		return fmt.Errorf("publishing to %.120q: not a topic of a collector", topic)
	}
	x.mu.Lock()
	l := x.link
	x.mu.Unlock()
	if l == nil {
		return fmt.Errorf("publishing to %s: no connection to the broker: %w", topic, ErrOffline)
	}
	if err := l.publish(ctx, topic, payload); err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return nil
}

// Kick implements Bus. MQTT has no way to end another client's session: the
// broker's administrator withdraws the certificate, and the cloud end refuses
// the collector's messages meanwhile.
func (x *External) Kick(string) {}

// Close implements Bus.
func (x *External) Close() error {
	x.stop()
	<-x.ended
	return nil
}
