package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/edp"
	"lwc/cloud/enrol"
	"lwc/cloud/gate"
	"lwc/cloud/pki"
	"lwc/testdata/badline"
	"lwc/testdata/outproxy"
	connect "lwc/transport/proxy"
	"lwc/transport/secret"
	"lwc/transport/wire"
	"lwc/transport/wss"
)

// entrance is the cloud's real gate and broker, with a bad line in front of each way
// in, and a cloud that answers hellos.
type entrance struct {
	pki    *pki.PKI
	store  *edp.Store
	bus    *broker.Embedded
	hellos chan wire.Hello
	first  *badline.Line // MQTT with ALPN
	second *badline.Line // MQTT on the listener for collectors
	third  *badline.Line // WebSocket
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newEntrance(t *testing.T) *entrance {
	t.Helper()
	dir := t.TempDir()
	e := &entrance{pki: must(pki.Open(dir)), bus: must(broker.NewEmbedded(broker.EmbeddedConfig{})), hellos: make(chan wire.Hello, 64)}
	e.store = must(edp.Open(t.Context(), filepath.Join(dir, "edp.db")))
	e.bus.Handle(e.received)
	var est http.Handler // once the ways are known
	g := must(gate.New(gate.Config{PKI: e.pki, Registry: e.store, Broker: e.bus,
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { est.ServeHTTP(w, r) })}))
	main, plain := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
	e.first = badline.Start(t, main.Addr().String())
	e.second = badline.Start(t, plain.Addr().String())
	e.third = badline.Start(t, main.Addr().String())
	est = must(enrol.New(enrol.Config{PKI: e.pki, Registry: e.store, Endpoints: e.ways()}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, main, plain) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, e.bus.Close(), e.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// received answers each hello with a welcome.
func (e *entrance) received(topic string, payload []byte) {
	_, _, kind, err := wire.Topics{}.Parse(topic)
	if err != nil || kind != wire.KindHello {
		return
	}
	var envelope wire.Envelope
	var h wire.Hello
	if json.Unmarshal(payload, &envelope) != nil || json.Unmarshal(envelope.Payload, &h) != nil {
		return
	}
	b, err := wire.Sign(wire.KindWelcome, wire.Welcome{V: wire.Version, Collector: h.Collector, Boot: h.Boot, Nonce: h.Nonce, Time: time.Now()}, e.pki.ConfigKey())
	if err != nil {
		return
	}
	e.hellos <- h
	go func() { // not from the goroutine that reads from this collector
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = e.bus.Publish(ctx, wire.Topics{}.Name(h.Collector, wire.Down, wire.KindWelcome), b)
	}()
}

// identity is what enrolment would give, with the three ways in order.
func (e *entrance) identity(t *testing.T) Identity {
	t.Helper()
	key := newECKey(t)
	cert := must(e.pki.IssueCollector(collectorID, key.Public()))
	if err := e.store.Enrolled(t.Context(), edp.Enrolment{Collector: collectorID, SPKI: pki.SPKI(cert.RawSubjectPublicKeyInfo), NotAfter: cert.NotAfter}); err != nil {
		t.Fatal(err)
	}
	return Identity{Collector: collectorID, Key: key, CA: []*x509.Certificate{e.pki.CA()}, URL: "https://" + e.first.Addr(),
		Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw, e.pki.CA().Raw}, PrivateKey: key, Leaf: cert},
		Bootstrap: wire.Bootstrap{V: wire.Version, Collector: collectorID, Prefix: wire.DefaultPrefix, ConfigKey: must(e.pki.ConfigKeyDER()),
			Endpoints: e.ways()}}
}

func (e *entrance) ways() []wire.Endpoint {
	return []wire.Endpoint{
		{Kind: wire.EndpointMQTT, Host: e.first.Addr(), ALPN: true},
		{Kind: wire.EndpointMQTT, Host: e.second.Addr()},
		{Kind: wire.EndpointWSS, Host: e.third.Addr(), Path: wss.Path},
	}
}

// through is a way out of a site; past a proxy nothing may be dialled.
func through(t *testing.T, name string) DialFunc {
	t.Helper()
	var at *outproxy.Proxy
	switch name {
	case "tinyproxy":
		at = outproxy.Tinyproxy(t, "site", "hunter2", "")
	case "squid":
		at = outproxy.Squid(t, "site", "hunter2")
	default:
		return new(net.Dialer).DialContext
	}
	d := &connect.Dialer{Proxy: connect.URL{Host: at.Host, Port: at.Port}, User: "site", Password: secret.FromString("hunter2"),
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != at.Address() {
				t.Errorf("%s was dialled past the proxy", addr)
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}
	return d.DialContext
}

// MQTT on 443 is used; when that is closed, the other port; when both are, WebSocket.
func TestLadderOverRealPeers(t *testing.T) {
	for _, out := range []string{"directly", "tinyproxy", "squid"} {
		t.Run(out, func(t *testing.T) {
			e, rec := newEntrance(t), newRecorder()
			u := newUplink(t, e.identity(t), rec)
			u.cfg.Dial = through(t, out)
			u.time.dial, u.time.ill, u.time.illMost, u.time.steady = 2*time.Second, time.Hour, time.Hour, time.Nanosecond
			start(t, u)
			over := func(l *badline.Line, what string) {
				t.Helper()
				wait(t, rec.welcomed, "a welcome over "+what)
				if l.Live() != 1 { // what a black hole swallowed is on the other lines still
					t.Fatalf("%s: %d, %d, %d connections", what, e.first.Live(), e.second.Live(), e.third.Live())
				}
			}
			over(e.first, "MQTT with ALPN")
			e.first.Refuse()
			e.first.Cut()
			over(e.second, "the second port")
			e.second.BlackHole() // so that the next attempt there times out
			e.second.Reset()
			over(e.third, "WebSocket")
			e.first.Heal()
			e.second.Heal()
			e.third.Reset()
			over(e.third, "WebSocket still: the others failed lately")
		})
	}
}

// A way is left for a better one when that has been well for a while.
func TestIllnessEnds(t *testing.T) {
	e, rec := newEntrance(t), newRecorder()
	u := newUplink(t, e.identity(t), rec)
	u.time.ill, u.time.illMost, u.time.steady = 50*time.Millisecond, 100*time.Millisecond, time.Nanosecond
	e.first.Refuse()
	start(t, u)
	wait(t, rec.welcomed, "a welcome over the second port")
	e.first.Heal()
	for end := time.Now().Add(patience); e.first.Live() == 0; {
		if time.Now().After(end) {
			t.Fatal("the first way is not taken again")
		}
		e.second.Cut()
		wait(t, rec.welcomed, "another welcome")
	}
}

// With another network the ways that failed are tried in their place again.
func TestReconnectForgetsFailures(t *testing.T) {
	e, rec := newEntrance(t), newRecorder()
	u := newUplink(t, e.identity(t), rec)
	u.time.ill, u.time.illMost, u.time.retry, u.time.retryMax = time.Hour, time.Hour, time.Hour, time.Hour
	e.first.Refuse()
	start(t, u)
	wait(t, rec.welcomed, "a welcome over the second port")
	e.first.Heal()
	e.second.Cut()
	for end := time.Now().Add(2 * patience); u.Trouble() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session does not end")
		}
	}
	for end := time.Now().Add(patience); len(rec.welcomed) == 0; time.Sleep(10 * time.Millisecond) {
		u.Reconnect() // what comes with the end of the session is forgotten
		if time.Now().After(end) {
			t.Fatal("no other session")
		}
	}
	if e.first.Live() != 1 {
		t.Error("the way that failed before is not tried first")
	}
}

// A renewal leaves the session as it is. The next one shows the new certificate and
// knows the ways that the cloud has by now.
func TestRenewalKeepsTheSession(t *testing.T) {
	e, rec := newEntrance(t), newRecorder()
	id := e.identity(t)
	id.Bootstrap.Endpoints = id.Bootstrap.Endpoints[2:] // an enrolment of long ago
	dir := t.TempDir()
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	u := newUplink(t, id, rec)
	u.time.steady = time.Nanosecond
	start(t, u)
	wait(t, rec.welcomed, "the welcome over WebSocket")
	old := u.identity().Certificate.Leaf
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := u.Renew(ctx); err != nil || u.identity().Certificate.Leaf.Equal(old) {
		t.Fatalf("renewing: %v", err)
	}
	u.SendEvent(wire.Event{Kind: wire.EventClockStep, Text: "the session is there"})
	none(t, rec.welcomed, "another session was made")
	if e.third.Live() != 1 || e.third.Accepted() != 1 || u.conns.Load() != 1 {
		t.Errorf("%d connections are there, %d were made", e.third.Live(), e.third.Accepted())
	}
	back, err := Load(dir, "")
	if err != nil || !back.Certificate.Leaf.Equal(u.identity().Certificate.Leaf) || len(back.Bootstrap.Endpoints) != 3 {
		t.Errorf("saved: %+v, %v", back.Bootstrap.Endpoints, err)
	}
	e.third.Cut()
	wait(t, rec.welcomed, "a welcome with the new certificate")
	if e.first.Live() != 1 {
		t.Error("the new way was not taken")
	}
}

// A broker that moved is found again by those who have no session: the cloud is asked
// where it is, and until it knows, asked again.
func TestWaysAreLearntWhenAllAreDead(t *testing.T) {
	e, rec := newEntrance(t), newRecorder()
	id := e.identity(t)
	id.Bootstrap.Endpoints = []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "127.0.0.1:1"}}
	dir := t.TempDir()
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	u := newUplink(t, id, rec)
	u.time.lost = 50 * time.Millisecond
	e.first.Refuse() // the way to the cloud's answer, and to its broker
	start(t, u)
	for end := time.Now().Add(patience); e.first.Accepted() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the cloud was asked %d times", e.first.Accepted())
		}
	}
	e.first.Heal()
	wait(t, rec.welcomed, "a welcome by a way that was learnt")
	if back, err := Load(dir, ""); err != nil || len(back.Bootstrap.Endpoints) != 3 {
		t.Errorf("saved: %+v, %v", back.Bootstrap.Endpoints, err)
	}
}
