package uplink

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lwc/testdata/need"
	"lwc/transport/wire"
)

// site is a real broker with a cloud behind it.
type site struct {
	ca     *authority
	config ed25519.PrivateKey
	pub    []byte
	broker string // address of mosquitto
	cloud  *cloud
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{ca: newAuthority(t, "test authority")}
	s.config, s.pub = configSigner(t)
	s.broker = startMosquitto(t, s.ca)
	s.cloud = newCloud(t, s)
	return s
}

const mosquittoConf = `
per_listener_settings false
user root
listener %d 127.0.0.1
cafile %[2]s/ca.pem
certfile %[2]s/server.pem
keyfile %[2]s/server.key
require_certificate true
use_identity_as_username true
tls_version tlsv1.3
acl_file %[2]s/acl
persistence false
log_type error
log_type warning
`

const mosquittoACL = `
user test-cloud
topic readwrite lwc/v1/#
pattern write lwc/v1/%u/up/#
pattern read lwc/v1/%u/down/#
`

// startMosquitto runs mosquitto with mutual TLS for the length of the test.
func startMosquitto(t *testing.T, ca *authority) string {
	t.Helper()
	return startMosquittoWith(t, ca, func(string) string { return "" })
}

// startMosquittoWith is startMosquitto with more lines of configuration, which are
// told the folder of the keys.
func startMosquittoWith(t *testing.T, ca *authority, more func(dir string) string) string {
	t.Helper()
	prog, dir := need.Program(t, "mosquitto"), t.TempDir()
	server := ca.pair("broker")
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	for name, b := range map[string][]byte{
		"ca.pem": encodeCerts([][]byte{ca.cert.Raw}), "server.pem": encodeCerts(server.Certificate),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"acl":        []byte(mosquittoACL), "conf": fmt.Appendf(nil, mosquittoConf+"%[3]s", port, dir, more(dir)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(prog, "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	awaitListener(t, addr)
	return addr
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func awaitListener(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("nothing listens at %s", addr)
}

// cloud is the other end of the protocol, written with the same vocabulary.
type cloud struct {
	t      testing.TB
	client mqtt.Client
	config ed25519.PrivateKey
	limits wire.Limits

	answer   atomic.Bool // hellos with a welcome
	receipts atomic.Bool // whole documents with a receipt
	keeps    atomic.Bool // parts as well

	signed chan []byte // hellos as they came
	hellos chan wire.Hello
	whole  chan wire.Whole
	states chan []byte
	jobs   chan []byte
	health chan wire.Health
	events chan wire.Event
	byes   chan wire.Bye

	mu     sync.Mutex // guards below
	parts  wire.Assembler
	boot   string
	frames int
	have   map[string]int // parts in order, by document
	ingest []byte         // for welcomes
}

func newCloud(t *testing.T, s *site) *cloud {
	t.Helper()
	c := &cloud{t: t, config: s.config, parts: wire.Assembler{MaxSize: 64 << 20},
		signed: make(chan []byte, 64), hellos: make(chan wire.Hello, 64), whole: make(chan wire.Whole, 4096), states: make(chan []byte, 64),
		jobs: make(chan []byte, 64), health: make(chan wire.Health, 64), events: make(chan wire.Event, 64), byes: make(chan wire.Bye, 64)}
	c.answer.Store(true)
	c.receipts.Store(true)
	o := mqtt.NewClientOptions().AddBroker("ssl://" + s.broker).SetClientID("test-cloud").SetProtocolVersion(4).
		SetAutoReconnect(false).SetOrderMatters(true).
		SetTLSConfig(&tls.Config{RootCAs: s.ca.pool(), Certificates: []tls.Certificate{s.ca.pair("test-cloud")}})
	c.client = mqtt.NewClient(o)
	if tok := c.client.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("connecting the cloud: %v", tok.Error())
	}
	t.Cleanup(func() { c.client.Disconnect(100) })
	tok := c.client.Subscribe(wire.Topics{}.UpFilter(), 1, func(_ mqtt.Client, m mqtt.Message) { c.arrived(m.Topic(), m.Payload()) })
	if !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("subscribing the cloud: %v", tok.Error())
	}
	return c
}

func (c *cloud) arrived(topic string, b []byte) {
	_, _, k, err := wire.Topics{}.Parse(topic)
	if err != nil {
		c.t.Errorf("the collector used %s: %v", topic, err)
		return
	}
	switch k {
	case wire.KindHello:
		c.hello(b)
	case wire.KindFact, wire.KindRun:
		c.frame(b)
	case wire.KindState:
		c.states <- b
	case wire.KindJob:
		c.jobs <- b
	case wire.KindHealth:
		decodeTo(c, k, b, c.health)
	case wire.KindEvent:
		c.event(b)
	case wire.KindBye:
		decodeTo(c, k, b, c.byes)
	}
}

func decodeTo[T any](c *cloud, k wire.Kind, b []byte, to chan<- T) {
	var v T
	if err := wire.Decode(k, b, &v); err != nil {
		c.t.Errorf("%v", err)
		return
	}
	to <- v
}

func (c *cloud) hello(b []byte) {
	c.signed <- b // its signature is the test's to check
	var e wire.Envelope
	var h wire.Hello
	if err := json.Unmarshal(b, &e); err != nil {
		c.t.Errorf("hello: %v", err)
		return
	}
	if err := json.Unmarshal(e.Payload, &h); err != nil {
		c.t.Errorf("hello: %v", err)
		return
	}
	c.mu.Lock()
	c.boot = h.Boot
	c.mu.Unlock()
	c.hellos <- h
	if c.answer.Load() {
		c.welcome(h, c.config)
	}
}

func (c *cloud) welcome(h wire.Hello, key ed25519.PrivateKey) {
	c.send(wire.KindWelcome, wire.Welcome{V: wire.Version, Collector: h.Collector, Boot: h.Boot, Nonce: h.Nonce,
		Time: time.Now(), Limits: c.limits, IngestKey: c.ingestKey(), LastManifest: "before"}, key)
}

func (c *cloud) frame(b []byte) {
	h, body, err := wire.ParseFrame(b)
	if err != nil {
		c.t.Errorf("frame: %v", err)
		return
	}
	c.mu.Lock()
	c.frames++
	w, err := c.parts.Add(time.Now(), h, body)
	c.mu.Unlock()
	if err != nil {
		c.t.Errorf("frame: %v", err)
		return
	}
	if w == nil {
		if c.receipts.Load() && c.keeps.Load() {
			c.kept(h)
		}
		return
	}
	docs, err := wire.Docs(*w)
	if err != nil {
		c.t.Errorf("frame: %v", err)
		return
	}
	for _, d := range docs {
		if c.receipts.Load() {
			c.receipt(wire.Receipt{ID: d.ID, Status: answerTo(d.Header)}, c.config)
		}
		c.whole <- d
	}
}

// answerTo is what a cloud says of a whole document.
func answerTo(h wire.Header) wire.ReceiptStatus {
	switch {
	case h.Type == wire.KindRun:
		return wire.Complete
	case slices.Contains(h.Flags, wire.FlagHeld):
		return wire.Offered
	}
	return wire.Stored
}

// kept tells that a part is committed; they come in order over one connection.
func (c *cloud) kept(h wire.Header) {
	c.mu.Lock()
	if c.have == nil {
		c.have = map[string]int{}
	}
	if h.Part == c.have[h.ID] {
		c.have[h.ID]++
	}
	n := c.have[h.ID]
	c.mu.Unlock()
	c.receipt(wire.Receipt{ID: h.ID, Status: wire.Kept, Parts: n}, c.config)
}

func (c *cloud) ingestKey() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ingest
}

func (c *cloud) bootID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot
}

func (c *cloud) receipt(r wire.Receipt, key ed25519.PrivateKey) {
	c.send(wire.KindReceipt, wire.Receipts{V: wire.Version, Collector: collectorID, Boot: c.bootID(), Receipts: []wire.Receipt{r}}, key)
}

// send signs a message and publishes it.
func (c *cloud) send(k wire.Kind, v any, key ed25519.PrivateKey) {
	b, err := wire.Sign(k, v, key)
	if err != nil {
		c.t.Errorf("signing: %v", err)
		return
	}
	c.raw(k, b)
}

func (c *cloud) raw(k wire.Kind, b []byte) {
	c.client.Publish(wire.Topics{}.Name(collectorID, wire.Down, k), 1, false, b)
}

// desired publishes a configuration in frames signed by key.
func (c *cloud) desired(d wire.Desired, h wire.Header, key ed25519.PrivateKey) {
	c.t.Helper()
	plain, err := json.Marshal(d)
	if err != nil {
		c.t.Fatal(err)
	}
	h.ID, h.Type = wire.NewID(), wire.KindDesired
	p := wire.Packing{Version: d.Version}
	if key != nil {
		p.Key = key
	}
	frames, err := wire.Split(h, plain, p)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range frames {
		c.raw(wire.KindDesired, f)
	}
}
