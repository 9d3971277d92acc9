package control

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"lwc/cloud/edp"
	"lwc/cloud/pki"
	"lwc/transport/wire"
)

// box is a collector as wire and paho make one.
type box struct {
	t     testing.TB
	cloud *cloud
	id    string
	key   *ecdsa.PrivateKey
	cert  tls.Certificate

	boot    string
	bootKey wire.BootKey
	sealTo  []byte // documents are sealed to it
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
		SetTLSConfig(clientTLS(b.cloud.pki, b.cert))
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

func clientTLS(p *pki.PKI, cert tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: p.CAPool(), Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
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
			if r.ID == id && r.Status != wire.Kept {
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
			if r.Status != wire.Kept {
				got[r.ID] = r
			}
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
