package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// authority is a CA for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

// issue makes a certificate for cn that serves both sides of TLS on 127.0.0.1.
func (a *authority) issue(t testing.TB, cn string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) client(t testing.TB, cn string) *tls.Config {
	return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.issue(t, cn)}, MinVersion: tls.VersionTLS13}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

type message struct {
	topic   string
	payload string
}

// receiver collects what comes up.
type receiver struct{ ch chan message }

func newReceiver() *receiver { return &receiver{make(chan message, 4096)} }

func (r *receiver) take(topic string, payload []byte) { r.ch <- message{topic, string(payload)} }

func (r *receiver) next(t testing.TB) message {
	t.Helper()
	select {
	case m := <-r.ch:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no message within 10 s")
		return message{}
	}
}

// embedded is a broker behind a TLS listener.
type embedded struct {
	*Embedded
	*receiver
	ca   *authority
	addr string
}

func startEmbedded(t testing.TB, cfg EmbeddedConfig) *embedded {
	t.Helper()
	b, err := NewEmbedded(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &embedded{Embedded: b, receiver: newReceiver(), ca: newAuthority(t)}
	b.Handle(e.take)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{ClientCAs: e.ca.pool, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, Certificates: []tls.Certificate{e.ca.issue(t, "broker")}})
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { e.accept(t, ln, &wg) })
	t.Cleanup(func() {
		ln.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return e
}

func (e *embedded) accept(t testing.TB, ln net.Listener, wg *sync.WaitGroup) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			tc := c.(*tls.Conn)
			if err := tc.HandshakeContext(t.Context()); err != nil {
				c.Close()
				return
			}
			cn := tc.ConnectionState().PeerCertificates[0].Subject.CommonName
			if err := e.ServeConn(context.Background(), tc, cn); err != nil {
				t.Logf("serving: %v", err)
			}
		})
	}
}

// options are those of a collector that behaves.
func (e *embedded) options(t testing.TB, cn string) *paho.ClientOptions {
	return pahoOptions(e.addr, e.ca.client(t, cn), cn)
}

func pahoOptions(addr string, cfg *tls.Config, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker("ssl://" + addr).SetTLSConfig(cfg).SetClientID(id).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetOrderMatters(false).SetConnectTimeout(5 * time.Second).SetWriteTimeout(5 * time.Second)
}

func connect(t testing.TB, o *paho.ClientOptions) paho.Client {
	t.Helper()
	c := paho.NewClient(o)
	if err := done(c.Connect()); err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func done(tok paho.Token) error {
	if !tok.WaitTimeout(10 * time.Second) {
		return context.DeadlineExceeded
	}
	return tok.Error()
}

// subscribe returns the code of the SUBACK.
func subscribe(t testing.TB, c paho.Client, filter string, to *receiver) byte {
	t.Helper()
	tok := c.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) { to.take(m.Topic(), m.Payload()) })
	err := done(tok)
	for _, code := range tok.(*paho.SubscribeToken).Result() {
		return code
	}
	t.Fatalf("subscribing to %s: %v", filter, err)
	return 0
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
