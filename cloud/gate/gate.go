// Package gate is the one listener of a cloud end. Every connection does a TLS
// 1.3 handshake first. A client that asks for the application protocol mqtt must
// show the certificate of an active collector, and is then handed to the broker;
// any other client is handed to an HTTP server, with a client certificate if it
// has one.
//
// Make a Gate with New and run it with Serve. A collector that is unknown or
// revoked is turned away inside the handshake: the broker never sees a byte of
// it.
package gate

import (
	"context"
	"crypto/tls"
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

// Gate serves a listener.
type Gate struct {
	cfg  Config
	http *http.Server
	web  *handover
}

// New makes a Gate. It fails if there is no server certificate to be had.
func New(cfg Config) (*Gate, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{cfg: cfg, web: newHandover()}
	if _, err := g.certificate(nil); err != nil {
		return nil, fmt.Errorf("making the listener: %w", err)
	}
	g.http = &http.Server{
		Handler: cfg.HTTP, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	return g, nil
}

// Serve accepts connections until ctx is cancelled; then it lets requests under
// way finish for a few seconds, ends the sessions of collectors, and returns nil.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	g.web.addr = l.Addr()
	served := make(chan error, 1)
	go func() { served <- g.http.Serve(g.web) }()
	err := g.accept(ctx, l)
	l.Close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if g.http.Shutdown(drain) != nil {
		g.http.Close() // what is left is cut off
	}
	if herr := <-served; !errors.Is(herr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serving HTTP: %w", herr))
	}
	return err
}

// accept returns when ctx is cancelled and all its connections are the HTTP
// server's or gone.
func (g *Gate) accept(ctx context.Context, l net.Listener) error {
	serving, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
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
		conns.Go(func() { g.dispatch(serving, c, func() { <-free }) })
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

// dispatch does the handshake and hands the connection on; shaken is called once
// the handshake is over.
func (g *Gate) dispatch(ctx context.Context, raw net.Conn, shaken func()) {
	c := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: g.configFor})
	shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := c.HandshakeContext(shaking)
	cancel()
	shaken()
	if err != nil {
		g.cfg.Logger.Debug("handshake failed", "from", raw.RemoteAddr().String(), "error", err)
		raw.Close()
		return
	}
	if c.ConnectionState().NegotiatedProtocol != wire.ALPN {
		g.web.give(ctx, c)
		return
	}
	id := c.ConnectionState().PeerCertificates[0].Subject.CommonName
	if err := g.cfg.Broker.ServeConn(ctx, c, id); err != nil {
		g.cfg.Logger.Warn("collector connection ended", "collector", id, "error", err)
	}
}

// configFor chooses by what the client asks for.
func (g *Gate) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: g.certificate, ClientCAs: g.cfg.PKI.CAPool()}
	if g.cfg.Broker == nil || !slices.Contains(hello.SupportedProtos, wire.ALPN) {
		c.ClientAuth = tls.VerifyClientCertIfGiven
		c.NextProtos = []string{"h2", "http/1.1"}
		return c, nil
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.NextProtos = []string{wire.ALPN}
	c.SessionTicketsDisabled = true
	c.VerifyConnection = func(s tls.ConnectionState) error { return g.admit(hello, s) }
	return c, nil
}

// certificate looks at every handshake whether the certificate is due.
func (g *Gate) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return g.cfg.PKI.ServerCertificate(g.cfg.Hosts)
}

// admit asks the registry whether a collector may connect.
func (g *Gate) admit(hello *tls.ClientHelloInfo, s tls.ConnectionState) error {
	ctx, cancel := context.WithTimeout(hello.Context(), lookUpTimeout)
	defer cancel()
	cert := s.PeerCertificates[0]
	id, err := pki.CollectorOf(cert)
	if err == nil {
		var c edp.Collector
		if c, err = g.cfg.Registry.Collector(ctx, id); err == nil {
			err = enrol.Active(c, cert)
		}
	}
	if err != nil {
		g.cfg.Logger.Warn("collector turned away", "collector", id, "from", hello.Conn.RemoteAddr().String(), "reason", err)
	}
	return err
}
