package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"lwc/cloud/api"
	"lwc/cloud/api/issue"
	"lwc/cloud/broker"
	"lwc/cloud/control"
	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/fleet/keeper"
	"lwc/cloud/gate"
	"lwc/cloud/ingest"
	"lwc/cloud/pki"
	"lwc/cloud/portal"
	"lwc/cloud/rollout/conductor"
	"lwc/cloud/shelf"
	"lwc/transport/wire"
)

// cloud is all parts, made and not yet started.
type cloud struct {
	store *edp.Store
	bus   *bus
	hub   *control.Hub
	gate  *gate.Gate
	plan  *conductor.Conductor // of updates
	log   *slog.Logger
}

// bus tells when messages can be let in.
type bus struct {
	broker.Bus
	once    sync.Once
	handled chan struct{} // closed by Handle
}

// Handle implements broker.Bus.
func (b *bus) Handle(receive func(topic string, payload []byte)) {
	b.Bus.Handle(receive)
	b.once.Do(func() { close(b.handled) })
}

// build makes all parts. An error leaves nothing running.
func build(ctx context.Context, d *data, o serveOptions, urls []*url.URL, more []net.Listener, log *slog.Logger) (_ *cloud, err error) {
	list, err := ways(o, urls[0], more)
	if err != nil {
		return nil, err
	}
	inner, taker, err := openBroker(ctx, d.pki, o, log)
	if err != nil {
		return nil, err
	}
	c := &cloud{store: d.store, log: log, bus: &bus{Bus: inner, handled: make(chan struct{})}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.bus.Close())
		}
	}()
	if err := c.openHub(d, taker == nil); err != nil {
		return nil, err
	}
	web, err := c.handler(ctx, d, urls, list)
	if err != nil {
		return nil, err
	}
	hosts := hostNames(urls)
	if taker != nil {
		hosts = certified(urls, list)
	}
	c.gate, err = gate.New(gate.Config{PKI: d.pki, Hosts: hosts, Registry: d.store,
		Broker: taker, HTTP: web, Logger: log})
	return c, err
}

// openBroker makes the built-in broker, or connects to one outside; then there is
// nothing to take connections of collectors.
func openBroker(ctx context.Context, p *pki.PKI, o serveOptions, log *slog.Logger) (broker.Bus, gate.Broker, error) {
	if o.broker == "" {
		b, err := broker.NewEmbedded(broker.EmbeddedConfig{Logger: log})
		return b, b, err
	}
	if _, err := brokerWay(o.broker); err != nil {
		return nil, nil, err
	}
	conf, err := brokerTLS(p, o.brokerCA)
	if err != nil {
		return nil, nil, err
	}
	b, err := broker.DialExternal(ctx, broker.ExternalConfig{URL: o.broker, TLS: conf, ClientID: pki.CloudName, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	return b, nil, nil
}

func brokerTLS(p *pki.PKI, caFile string) (*tls.Config, error) {
	roots := p.CAPool()
	if caFile != "" {
		b, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading the broker's authority: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("reading the broker's authority: %s holds no certificate in PEM form", caFile)
		}
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.ClientCertificate() }}, nil
}

// openHub makes what handles messages. Bodies are sealed end to end when the
// broker is a foreign one.
func (c *cloud) openHub(d *data, foreign bool) error {
	in, err := ingest.New(ingest.Config{Store: d.store, Bus: c.bus, Key: d.pki.ConfigKey(), IngestKey: d.pki.IngestKey()})
	if err != nil {
		return err
	}
	conf := control.Config{Store: d.store, Bus: c.bus, Vault: d.vault, Ingest: in, Key: d.pki.ConfigKey(), SharedBus: foreign, Logger: c.log}
	if foreign {
		conf.IngestKey = d.pki.IngestKey().Public()
	}
	c.hub, err = control.New(conf)
	return err
}

// handler joins enrolment, API and portal.
func (c *cloud) handler(ctx context.Context, d *data, urls []*url.URL, list []wire.Endpoint) (http.Handler, error) {
	est, err := enrol.New(enrol.Config{PKI: d.pki, Registry: d.store, Endpoints: list, Logger: c.log})
	if err != nil {
		return nil, err
	}
	fleets := keeper.New(d.store, d.vault, c.hub.FleetChanged)
	if err := fleets.Prepare(ctx); err != nil {
		return nil, err
	}
	releases, err := shelf.Open(ctx, shelf.Config{Dir: filepath.Join(d.dir, releasesFolder), Keys: filepath.Join(d.dir, releaseKeys), Store: d.store, Logger: c.log})
	if err != nil {
		return nil, err
	}
	c.plan = conductor.New(d.store, c.hub, c.log)
	issuer := issue.Issuer{Store: d.store, URL: texts(urls)[0], CAPin: d.pki.CAPin(), Endpoints: addresses(list)}
	pages, err := portal.New(portal.Config{Store: d.store, Keeper: fleets, Issuer: issuer, Hub: c.hub,
		Shelf: releases, Planner: c.plan, Logger: c.log})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/.well-known/est/", est)
	mux.Handle("/collector/v1/", est)
	mux.Handle(shelf.Pattern, releases.Handler())
	mux.Handle("/api/", api.New(api.Config{Store: d.store, Keeper: fleets, Issuer: issuer, Hub: c.hub,
		Shelf: releases, Planner: c.plan, Session: pages.Session, Logger: c.log}))
	mux.Handle("/", pages)
	return mux, nil
}

func hostNames(urls []*url.URL) (out []string) {
	for _, u := range urls {
		out = append(out, u.Hostname())
	}
	return out
}

func hostPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}
