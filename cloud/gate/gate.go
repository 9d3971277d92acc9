// Package gate is where connections enter a cloud end. Every connection does a TLS
// 1.3 handshake first. A client that asks for the application protocol mqtt must
// show the certificate of an active collector, and is then handed to the broker;
// any other client is handed to an HTTP server, with a client certificate if it
// has one. There a collector reaches the broker too, by MQTT over WebSocket, and
// with the same checks.
//
// Make a Gate with New and run it with Serve, which may be given further listeners
// where all who come are collectors. A collector that is unknown or revoked is
// turned away inside the handshake, or with 403: the broker never sees a byte of it.
package gate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/pki"
	"lwc/transport/wire"
)

// The deadlines of a connection, and of stopping.
const (
	handshakeTimeout = 10 * time.Second
	headerTimeout    = 10 * time.Second
	readTimeout      = 2 * time.Minute
	writeTimeout     = 10 * time.Minute // a large document over a slow link
	idleTimeout      = 2 * time.Minute
	lookUpTimeout    = 5 * time.Second
	drainTimeout     = 5 * time.Second
)

const (
	maxHeader = 64 << 10
	// maxHandshakes bounds the connections that are not yet either broker's or
	// HTTP's; more wait in the queue of the kernel.
	maxHandshakes = 256
)

// Broker takes connections of collectors; broker.Embedded is one.
type Broker interface {
	// ServeConn returns when the connection has ended, and closes it.
	ServeConn(ctx context.Context, c net.Conn, collector string) error
}

// Registry is the list of collectors; edp.Store is one.
type Registry interface {
	// Collector returns an entry; edp.ErrNotFound when there is none.
	Collector(ctx context.Context, id string) (edp.Collector, error)
}

// Config configures a Gate.
type Config struct {
	PKI      *pki.PKI
	Hosts    []string // names and addresses in the server certificate, beside the local ones
	Registry Registry
	Broker   Broker // nil: a foreign broker serves the collectors
	HTTP     http.Handler
	// Logger gets who was turned away; nil discards it.
	Logger *slog.Logger
}

// Gate serves listeners.
type Gate struct {
	cfg Config
}

// New makes a Gate. It fails if there is no server certificate to be had.
func New(cfg Config) (*Gate, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{cfg: cfg}
	if _, err := g.certificate(nil); err != nil {
		return nil, fmt.Errorf("making the listener: %w", err)
	}
	return g, nil
}

// Serve accepts connections until ctx is cancelled; then it lets requests under
// way finish for a few seconds, ends the sessions of collectors, and returns nil.
// On the listeners for collectors nothing but MQTT is spoken, and a client need
// not ask for it (port 8883).
func (g *Gate) Serve(ctx context.Context, l net.Listener, collectors ...net.Listener) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	web := newHandover(l.Addr())
	var sockets sync.WaitGroup
	server := g.server(serving, &sockets)
	served := make(chan error, 1)
	go func() { served <- server.Serve(web) }()
	err := g.acceptAll(serving, stop, l, collectors, web)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if server.Shutdown(drain) != nil {
		server.Close() // what is left is cut off
	}
	if herr := <-served; !errors.Is(herr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serving HTTP: %w", herr))
	}
	sockets.Wait()
	return err
}

// acceptAll accepts from all listeners until serving ends; when one fails, all are
// stopped.
func (g *Gate) acceptAll(serving context.Context, stop func(), l net.Listener, collectors []net.Listener, web *handover) error {
	loops := make(chan error)
	loop := func(l net.Listener, take func(context.Context, net.Conn, func())) {
		defer context.AfterFunc(serving, func() { l.Close() })()
		err := g.accept(serving, stop, l, take)
		l.Close()
		loops <- err
	}
	go loop(l, func(ctx context.Context, c net.Conn, shaken func()) { g.dispatch(ctx, c, web, shaken) })
	for _, c := range collectors {
		go loop(c, func(ctx context.Context, c net.Conn, shaken func()) { g.dispatch(ctx, c, nil, shaken) })
	}
	var err error
	for range 1 + len(collectors) {
		err = errors.Join(err, <-loops)
	}
	return err
}

// accept returns when ctx is cancelled and all its connections are the HTTP
// server's or gone; before it waits for them it calls stop. take is told how to say
// that a handshake is over.
func (g *Gate) accept(ctx context.Context, stop func(), l net.Listener, take func(ctx context.Context, c net.Conn, shaken func())) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	defer stop()
	free := make(chan struct{}, maxHandshakes)
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			<-free
			if !temporary(ctx, err) {
				return fmt.Errorf("accepting connections: %w", err)
			}
			continue
		}
		conns.Go(func() { take(ctx, c, func() { <-free }) })
	}
}

// temporary tells whether to go on after an error of Accept, and waits before:
// the process is out of files, or the peer was gone already.
func temporary(ctx context.Context, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return true
}

// dispatch does the handshake and hands the connection on: to the broker, or to web
// where there is one and the client did not ask for mqtt. shaken is called once the
// handshake is over.
func (g *Gate) dispatch(ctx context.Context, raw net.Conn, web *handover, shaken func()) {
	choose := g.configFor
	if web == nil {
		choose = g.collectorConfig
	}
	c := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: choose})
	shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := c.HandshakeContext(shaking)
	cancel()
	shaken()
	if err != nil {
		g.cfg.Logger.Debug("handshake failed", "from", raw.RemoteAddr().String(), "error", err)
		raw.Close()
		return
	}
	if web != nil && c.ConnectionState().NegotiatedProtocol != wire.ALPN {
		web.give(ctx, c)
		return
	}
	g.serveMQTT(ctx, c, c.ConnectionState().PeerCertificates[0].Subject.CommonName)
}

// serveMQTT hands a connection of an admitted collector to the broker, and returns
// when it has ended.
func (g *Gate) serveMQTT(ctx context.Context, c net.Conn, id string) {
	if err := g.cfg.Broker.ServeConn(ctx, c, id); err != nil {
		g.cfg.Logger.Warn("collector connection ended", "collector", id, "error", err)
	}
}

// configFor chooses by what the client asks for.
func (g *Gate) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if g.cfg.Broker != nil && slices.Contains(hello.SupportedProtos, wire.ALPN) {
		return g.collectorConfig(hello)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: g.certificate, ClientCAs: g.cfg.PKI.CAPool(),
		ClientAuth: tls.VerifyClientCertIfGiven, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// collectorConfig lets nobody in but active collectors.
func (g *Gate) collectorConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: g.certificate, ClientCAs: g.cfg.PKI.CAPool(),
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{wire.ALPN}, SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := g.admit(hello.Context(), s.PeerCertificates[0], hello.Conn.RemoteAddr().String())
			return err
		}}, nil
}

// certificate looks at every handshake whether the certificate is due.
func (g *Gate) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return g.cfg.PKI.ServerCertificate(g.cfg.Hosts)
}

// admit asks the registry whether a collector may connect, and returns its id.
func (g *Gate) admit(ctx context.Context, cert *x509.Certificate, from string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	id, err := pki.CollectorOf(cert)
	if err == nil {
		var c edp.Collector
		if c, err = g.cfg.Registry.Collector(ctx, id); err == nil {
			err = enrol.Active(c, cert)
		}
	}
	if err != nil {
		g.cfg.Logger.Warn("collector turned away", "collector", id, "from", from, "reason", err)
	}
	return id, err
}
