package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/edp"
	"lwc/cloud/ingest"
	"lwc/cloud/pki"
	"lwc/cloud/vault"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const (
	alpha = "collector-alpha"
	beta  = "collector-beta"
)

// cloud is a cloud end without its HTTP side.
type cloud struct {
	store *edp.Store
	vault *vault.Vault
	pki   *pki.PKI
	bus   broker.Bus
	hub   *Hub
	addr  string // of the broker

	embedded *broker.Embedded // nil with a foreign broker
	log      *syncBuffer
	stop     func()
}

// syncBuffer is a log that a test may read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// setup is what a test may choose.
type setup struct {
	dir       string // empty: a new one
	heartbeat time.Duration
	seal      bool // documents are sealed to the ingest key
	foreign   bool // mosquitto instead of the embedded broker
	ingest    func(*ingest.Config)
}

func startCloud(t testing.TB, s setup) *cloud {
	t.Helper()
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	c := &cloud{log: &syncBuffer{}}
	c.open(t, s)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", c.tls(t))
	if err != nil {
		t.Fatal(err)
	}
	if !s.foreign {
		c.addr = ln.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.hub.Run(ctx); err != nil {
			t.Errorf("running the hub: %v", err)
		}
	})
	wg.Go(func() { c.accept(ctx, ln, &wg) })
	c.stop = sync.OnceFunc(func() {
		ln.Close()
		cancel()
		if err := c.bus.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := c.store.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of the cloud end:\n%s", c.log)
		}
	})
	t.Cleanup(c.stop)
	return c
}

func (c *cloud) open(t testing.TB, s setup) {
	t.Helper()
	var err error
	check := func() {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.store, err = edp.Open(t.Context(), filepath.Join(s.dir, "lwc.db"))
	check()
	c.vault, err = vault.Open(s.dir)
	check()
	c.pki, err = pki.Open(s.dir)
	check()
	logger := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.foreign {
		c.bus, c.addr = dialMosquitto(t, c.pki, s.dir)
	} else {
		c.embedded, err = broker.NewEmbedded(broker.EmbeddedConfig{Logger: logger})
		check()
		c.bus = c.embedded
	}
	in := ingest.Config{Store: c.store, Bus: c.bus, Key: c.pki.ConfigKey(), IngestKey: c.pki.IngestKey()}
	if s.ingest != nil {
		s.ingest(&in)
	}
	ing, err := ingest.New(in)
	check()
	cfg := Config{Store: c.store, Bus: c.bus, Vault: c.vault, Ingest: ing, Key: c.pki.ConfigKey(),
		Heartbeat: s.heartbeat, SharedBus: s.foreign, Logger: logger}
	if s.seal {
		cfg.IngestKey = c.pki.IngestKey().Public()
	}
	c.hub, err = New(cfg)
	check()
}

func (c *cloud) tls(t testing.TB) *tls.Config {
	t.Helper()
	cert, err := c.pki.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: c.pki.CAPool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
}

func (c *cloud) accept(ctx context.Context, ln net.Listener, wg *sync.WaitGroup) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			tc := conn.(*tls.Conn)
			if tc.HandshakeContext(ctx) != nil {
				conn.Close()
				return
			}
			id, err := pki.CollectorOf(tc.ConnectionState().PeerCertificates[0])
			if err != nil {
				conn.Close()
				return
			}
			c.embedded.ServeConn(ctx, tc, id) //nolint:errcheck // the client's side is what tests look at
		})
	}
}

// fleet is a small desired configuration.
func (c *cloud) fleet(t testing.TB, collector string, devices ...string) {
	t.Helper()
	s := wire.CredentialSecret{Password: secret.FromString("canary-password")}
	cipher, err := c.vault.Encrypt("site", s)
	if err != nil {
		t.Fatal(err)
	}
	f := edp.Fleet{Collector: collector, Profiles: map[string][]string{"daily": {"show-version", "show-system-uptime"}},
		Credentials: []edp.Credential{{ID: "site", Kind: wire.KindPassword, Username: "lwc", Version: "1", Cipher: cipher}}}
	for _, d := range devices {
		f.Devices = append(f.Devices, edp.Device{Device: wire.Device{ID: d, Address: "192.0.2.1", Credential: "site", TrustFirst: true}})
	}
	if _, err := c.store.PutFleet(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	c.hub.FleetChanged(collector)
}

func (c *cloud) collect(t testing.TB, collector string, ttl time.Duration, devices ...string) edp.Job {
	t.Helper()
	j, err := c.store.CreateJob(t.Context(), edp.NewJob{Collector: collector, Kind: wire.JobCollect,
		Devices: devices, By: "test", TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	c.hub.JobCreated(collector)
	return j
}

func (c *cloud) registered(t testing.TB, id string) edp.Collector {
	t.Helper()
	r, err := c.store.Collector(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// events returns the kinds of the events of a collector.
func (c *cloud) events(t testing.TB, id string) []wire.Event {
	t.Helper()
	es, err := c.store.Events(t.Context(), id, 100)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func (c *cloud) hasEvent(t testing.TB, id, kind string) bool {
	return slices.ContainsFunc(c.events(t, id), func(e wire.Event) bool { return e.Kind == kind })
}

// eventually polls until ok, or fails.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// reply is a document in the shape of a device's reply to show version.
func reply(host string) []byte {
	return fmt.Appendf(nil, `<rpc-reply xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" message-id="1"><software-information>`+
		`<host-name>%s</host-name><product-model>mx204</product-model><junos-version>23.4R2</junos-version>`+
		`</software-information></rpc-reply>`+"\n", host)
}

// noise is a body that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return b
}
