package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/control"
	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/ingest"
	"lwc/cloud/pki"
	"lwc/cloud/vault"
	"lwc/junos/junostest"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// cloudEnd is the real cloud end on one port, without portal and API.
type cloudEnd struct {
	t      *testing.T
	pki    *pki.PKI
	store  *edp.Store
	vault  *vault.Vault
	hub    *control.Hub
	bus    *broker.Embedded
	http   *http.Server
	mux    *http.ServeMux // what http serves
	addr   string
	egress wire.Egress // of the fleets that are put
	limits wire.CollectLimits
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func startCloudEnd(t *testing.T) *cloudEnd {
	t.Helper()
	return startCloudEndOn(t, must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0")))
}

func startCloudEndOn(t *testing.T, plain net.Listener) *cloudEnd {
	t.Helper()
	dir := t.TempDir()
	c := &cloudEnd{t: t}
	c.pki = must[*pki.PKI](t)(pki.Open(dir))
	c.store = must[*edp.Store](t)(edp.Open(t.Context(), filepath.Join(dir, "lwc.db")))
	c.vault = must[*vault.Vault](t)(vault.Open(dir))
	c.bus = must[*broker.Embedded](t)(broker.NewEmbedded(broker.EmbeddedConfig{}))
	in := must[*ingest.Ingest](t)(ingest.New(ingest.Config{Store: c.store, Bus: c.bus, Key: c.pki.ConfigKey()}))
	c.hub = must[*control.Hub](t)(control.New(control.Config{Store: c.store, Bus: c.bus, Vault: c.vault, Ingest: in, Key: c.pki.ConfigKey()}))
	c.addr = plain.Addr().String()
	c.serve(plain)
	return c
}

// serve gives connections that speak MQTT to the broker, and the others to HTTP.
func (c *cloudEnd) serve(plain net.Listener) {
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	cert := must[*tls.Certificate](c.t)(c.pki.ServerCertificate([]string{host}))
	handler := must[http.Handler](c.t)(enrol.New(enrol.Config{PKI: c.pki, Registry: c.store,
		Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: c.addr, ALPN: true}}}))
	c.mux = http.NewServeMux()
	c.mux.Handle("/", handler)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := c.hub.Run(ctx); err != nil {
			c.t.Error(err)
		}
	})
	c.http = &http.Server{Handler: c.mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: c.pki.CAPool(), MinVersion: tls.VersionTLS13,
			ClientAuth: tls.VerifyClientCertIfGiven, NextProtos: []string{wire.ALPN, "http/1.1"}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			wire.ALPN: func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
				if id, err := pki.CollectorOf(conn.ConnectionState().PeerCertificates[0]); err == nil {
					c.bus.ServeConn(ctx, conn, id) //nolint:errcheck // the collector's side is what the test looks at
				}
			}}}
	tasks.Go(func() { c.http.ServeTLS(plain, "", "") }) //nolint:errcheck // always ErrServerClosed
	c.t.Cleanup(func() {
		cancel()
		c.http.Close()
		if err := c.bus.Close(); err != nil {
			c.t.Error(err)
		}
		tasks.Wait()
		if err := c.store.Close(); err != nil {
			c.t.Error(err)
		}
	})
}

// token makes an enrolment token, changed as a test wants it.
func (c *cloudEnd) token(change func(*wire.Token)) []byte {
	c.t.Helper()
	id, sec, err := c.store.NewEnrolToken(c.t.Context(), edp.EnrolTokenSpec{Collector: theCollector})
	if err != nil {
		c.t.Fatal(err)
	}
	tok := wire.Token{Sort: wire.EnrolToken, URL: "https://" + c.addr, CAPin: c.pki.CAPin(), ID: id, Secret: sec}
	if change != nil {
		change(&tok)
	}
	return tok.Encode().Reveal()
}

// putFleet configures the collector for a simulated fleet.
func (c *cloudEnd) putFleet(f *junostest.Fleet, dir string) {
	c.t.Helper()
	key, err := wire.NewBootKey()
	if err != nil {
		c.t.Fatal(err)
	}
	d := desiredOf(c.t, f, key)
	fl := edp.Fleet{Collector: theCollector, Egress: c.egress, Limits: c.limits}
	passwords := map[string]string{"lab": f.Devices()[0].Password}
	for _, b := range f.Bastions() {
		passwords[b.Name] = b.Password
		fl.Bastions = append(fl.Bastions, edp.Bastion{ID: b.Name, Bastion: d.Bastions[b.Name]})
	}
	for _, dev := range f.Devices() {
		passwords["own-"+dev.Name] = dev.Password
	}
	for id, cred := range d.Credentials {
		sec := wire.CredentialSecret{Password: secret.FromString(passwords[id])}
		version := must[string](c.t)(c.vault.Version(id, sec))
		cipher := must[[]byte](c.t)(c.vault.Encrypt(id, sec))
		fl.Credentials = append(fl.Credentials, edp.Credential{ID: id, Kind: cred.Kind, Username: cred.Username, Version: version, Cipher: cipher})
	}
	for _, dev := range d.Devices {
		fl.Devices = append(fl.Devices, edp.Device{Device: dev})
	}
	if _, err := c.store.PutFleet(c.t.Context(), fl); err != nil {
		c.t.Fatal(err)
	}
	c.hub.FleetChanged(theCollector)
}

// collect asks for a run of all devices.
func (c *cloudEnd) collect() edp.Job {
	c.t.Helper()
	j := must[edp.Job](c.t)(c.store.CreateJob(c.t.Context(), edp.NewJob{Collector: theCollector, Kind: wire.JobCollect, By: "test", TTL: time.Hour}))
	c.hub.JobCreated(theCollector)
	return j
}

// until polls for something of a real process.
func until(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
