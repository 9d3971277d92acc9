package control

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

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
	bus   *broker.Embedded
	hub   *Hub
	addr  string
	log   *syncBuffer
	stop  func()
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
	c.addr = ln.Addr().String()
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
	c.bus, err = broker.NewEmbedded(broker.EmbeddedConfig{Logger: logger})
	check()
	in := ingest.Config{Store: c.store, Bus: c.bus, Key: c.pki.ConfigKey(), IngestKey: c.pki.IngestKey()}
	if s.ingest != nil {
		s.ingest(&in)
	}
	ing, err := ingest.New(in)
	check()
	cfg := Config{Store: c.store, Bus: c.bus, Vault: c.vault, Ingest: ing, Key: c.pki.ConfigKey(),
		Heartbeat: s.heartbeat, Logger: logger}
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
			c.bus.ServeConn(ctx, tc, id) //nolint:errcheck // the client's side is what tests look at
		})
	}
}

// box is a collector as wire and paho make one.
type box struct {
	t     testing.TB
	cloud *cloud
	id    string
	key   *ecdsa.PrivateKey
	cert  tls.Certificate

	boot    string
	bootKey wire.BootKey
	conn    uint64
	held    wire.ConfigRef

	client paho.Client
	down   chan down
	asm    wire.Assembler
	put    []down // taken and not wanted yet
}

type down struct {
	kind    wire.Kind
	payload []byte
}

// enrol puts a collector into the registry.
func (c *cloud) enrol(t testing.TB, id string) *box {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.pki.IssueCollector(id, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	err = c.store.Enrolled(t.Context(), edp.Enrolment{Collector: id, SPKI: pki.SPKI(cert.RawSubjectPublicKeyInfo),
		Serial: cert.SerialNumber.Text(16), NotAfter: cert.NotAfter})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, cloud: c, id: id, key: key,
		cert: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	b.reboot()
	return b
}

// reboot forgets everything but the identity.
func (b *box) reboot() {
	b.t.Helper()
	k, err := wire.NewBootKey()
	if err != nil {
		b.t.Fatal(err)
	}
	b.boot, b.bootKey, b.conn, b.held = wire.NewID(), k, 0, wire.ConfigRef{}
}

// connect connects and subscribes; the will is a bye.
func (b *box) connect() {
	b.t.Helper()
	b.conn++
	bye, err := json.Marshal(wire.Bye{V: wire.Version, Collector: b.id, Boot: b.boot, Conn: b.conn})
	if err != nil {
		b.t.Fatal(err)
	}
	b.down, b.put = make(chan down, 1024), nil
	b.asm = wire.Assembler{MaxSize: 32 << 20, Key: b.bootKey}
	to := b.down
	o := paho.NewClientOptions().AddBroker("ssl://"+b.cloud.addr).SetClientID(b.id).SetProtocolVersion(4).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(5*time.Second).
		SetWriteTimeout(5*time.Second).SetBinaryWill(wire.Topics{}.Name(b.id, wire.Up, wire.KindBye), bye, 1, false).
		SetTLSConfig(&tls.Config{RootCAs: b.cloud.pki.CAPool(), Certificates: []tls.Certificate{b.cert}})
	b.client = paho.NewClient(o)
	b.wait(b.client.Connect())
	b.t.Cleanup(b.cut)
	b.wait(b.client.Subscribe(wire.Topics{}.DownFilter(b.id), 1, func(_ paho.Client, m paho.Message) {
		_, _, k, err := wire.Topics{}.Parse(m.Topic())
		if err != nil {
			b.t.Error(err)
		}
		to <- down{k, m.Payload()}
	}))
}

// cut ends the connection without a bye.
func (b *box) cut() { b.client.Disconnect(100) }

func (b *box) wait(tok paho.Token) {
	b.t.Helper()
	if !tok.WaitTimeout(10 * time.Second) {
		b.t.Fatal("no answer of the broker within 10 s")
	}
	if err := tok.Error(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) publish(k wire.Kind, payload []byte) {
	b.t.Helper()
	b.wait(b.client.Publish(wire.Topics{}.Name(b.id, wire.Up, k), 1, false, payload))
}

// signed signs a message with a key and publishes it.
func (b *box) signed(k wire.Kind, v any, key crypto.Signer) {
	b.t.Helper()
	m, err := wire.Sign(k, v, key)
	if err != nil {
		b.t.Fatal(err)
	}
	b.publish(k, m)
}

func (b *box) plain(k wire.Kind, v any) {
	b.t.Helper()
	m, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	b.publish(k, m)
}

func (b *box) newHello() wire.Hello {
	nonce := make([]byte, 16)
	rand.Read(nonce) //nolint:errcheck // it never fails
	return wire.Hello{V: wire.Version, Collector: b.id, Boot: b.boot, Conn: b.conn, Firmware: "1.2.3",
		BootKey: b.bootKey.Public(), Config: b.held, Nonce: nonce, Clock: time.Now().UTC(),
		Ports: wire.PortState{Mode: "userns", State: "open"}}
}

// hello says hello and takes the welcome.
func (b *box) hello() wire.Welcome {
	b.t.Helper()
	h := b.newHello()
	b.signed(wire.KindHello, h, b.key)
	var w wire.Welcome
	b.verify(wire.KindWelcome, b.next(wire.KindWelcome), &w)
	if !bytes.Equal(w.Nonce, h.Nonce) || w.Boot != b.boot || w.Collector != b.id {
		b.t.Fatalf("the welcome is not an answer: %+v", w)
	}
	return w
}

func (b *box) verify(k wire.Kind, msg []byte, v any) {
	b.t.Helper()
	if err := wire.Verify(k, msg, b.cloud.pki.ConfigKey().Public(), v); err != nil {
		b.t.Fatal(err)
	}
}

// next returns the next message of a kind; others wait for their turn.
func (b *box) next(k wire.Kind) []byte {
	b.t.Helper()
	for i, d := range b.put {
		if d.kind == k {
			b.put = slices.Delete(b.put, i, i+1)
			return d.payload
		}
	}
	timeout := time.After(15 * time.Second)
	for {
		select {
		case d := <-b.down:
			if d.kind == k {
				return d.payload
			}
			b.put = append(b.put, d)
		case <-timeout:
			b.t.Fatalf("no %s within 15 s", k)
		}
	}
}

// none fails if a message of a kind is there. Call it after an answer that is
// sent behind it.
func (b *box) none(k wire.Kind) {
	b.t.Helper()
	for len(b.down) > 0 {
		b.put = append(b.put, <-b.down)
	}
	for _, d := range b.put {
		if d.kind == k {
			b.t.Errorf("there is a %s", k)
		}
	}
}

// desired takes a configuration and reports it applied.
func (b *box) desired() wire.Desired {
	b.t.Helper()
	for {
		h, body, err := wire.ParseFrame(b.next(wire.KindDesired))
		if err != nil {
			b.t.Fatal(err)
		}
		w, err := b.asm.Add(time.Now(), h, body)
		if err != nil {
			b.t.Fatal(err)
		}
		if w != nil {
			return b.take(w)
		}
	}
}

func (b *box) take(w *wire.Whole) (d wire.Desired) {
	b.t.Helper()
	version, err := wire.VerifyBody(w.Header, w.Plain, b.cloud.pki.ConfigKey().Public())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(w.Plain, &d); err != nil {
		b.t.Fatal(err)
	}
	if d.Version != version || d.Boot != b.boot || d.Collector != b.id {
		b.t.Fatalf("the configuration is not for this boot: %+v", d)
	}
	b.held = wire.ConfigRef{Version: version, SHA256: w.SHA256}
	return d
}

func (b *box) applied() {
	b.t.Helper()
	b.signed(wire.KindState, wire.State{V: wire.Version, Collector: b.id, Boot: b.boot,
		Config: b.held, Status: wire.ConfigApplied}, b.key)
}

func (b *box) job() wire.Job {
	b.t.Helper()
	var j wire.Job
	b.verify(wire.KindJob, b.next(wire.KindJob), &j)
	return j
}

func (b *box) status(j wire.Job, s wire.JobState, r *wire.DeviceResult) {
	b.t.Helper()
	b.signed(wire.KindJob, wire.JobStatus{V: wire.Version, ID: j.ID, Collector: b.id, Boot: b.boot,
		State: s, Total: len(j.Devices), Device: r}, b.key)
}

// receipt waits for the receipt of one id.
func (b *box) receipt(id string) wire.Receipt {
	b.t.Helper()
	for {
		var m wire.Receipts
		b.verify(wire.KindReceipt, b.next(wire.KindReceipt), &m)
		if m.Boot != b.boot || m.Collector != b.id || len(m.Receipts) > wire.MaxReceipts {
			b.t.Fatalf("receipts of %s for boot %s, %d of them", m.Collector, m.Boot, len(m.Receipts))
		}
		for _, r := range m.Receipts {
			if r.ID == id {
				return r
			}
		}
	}
}

// receipts waits for the receipts of all ids.
func (b *box) receipts(ids []string) map[string]wire.Receipt {
	b.t.Helper()
	got := map[string]wire.Receipt{}
	for len(got) < len(ids) {
		var m wire.Receipts
		b.verify(wire.KindReceipt, b.next(wire.KindReceipt), &m)
		for _, r := range m.Receipts {
			got[r.ID] = r
		}
	}
	for _, id := range ids {
		if _, ok := got[id]; !ok {
			b.t.Fatalf("no receipt of %s", id)
		}
	}
	return got
}

// fact makes the header of a document.
func (b *box) fact(run, device, item string) wire.Header {
	return wire.Header{ID: wire.NewID(), Type: wire.KindFact, Collector: b.id, Boot: b.boot, Run: run,
		Device: device, Item: item, CollectedAt: time.Now().UTC(), Outcome: "ok"}
}

func split(t testing.TB, h wire.Header, plain []byte, p wire.Packing) [][]byte {
	t.Helper()
	frames, err := wire.Split(h, plain, p)
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

func (b *box) send(h wire.Header, plain []byte, p wire.Packing) {
	b.t.Helper()
	for _, f := range split(b.t, h, plain, p) {
		b.publish(h.Type, f)
	}
}

// manifest sends a manifest and returns its header.
func (b *box) manifest(m wire.Manifest, key crypto.Signer) wire.Header {
	b.t.Helper()
	m.V, m.Collector, m.Boot = wire.Version, b.id, b.boot
	plain, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: b.id, Boot: b.boot, Run: m.Run}
	b.send(h, plain, wire.Packing{Key: key})
	return h
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
