package gate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/gate"
	"lwc/transport/wire"
	"lwc/transport/wss"
)

// secure makes a TLS connection to one of the gate's listeners.
func (k *kit) secure(addr string, cert *tls.Certificate, protos ...string) net.Conn {
	k.t.Helper()
	conf := &tls.Config{RootCAs: k.pki.CAPool(), ServerName: "cloud.example", NextProtos: protos}
	if cert != nil {
		conf.Certificates = []tls.Certificate{*cert}
	}
	d := tls.Dialer{Config: conf, NetDialer: &net.Dialer{Timeout: 10 * time.Second}}
	c, err := d.DialContext(k.t.Context(), "tcp", addr)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close() })
	return c
}

// socket makes a WebSocket as a collector does.
func (k *kit) socket(cert *tls.Certificate) (net.Conn, error) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
	defer cancel()
	c, err := wss.Client(ctx, k.secure(k.addr, cert, wss.ALPN), "cloud.example", wss.Path)
	if err == nil {
		k.t.Cleanup(func() { c.Close() })
		err = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c, err
}

func greeting(t *testing.T, c net.Conn) {
	t.Helper()
	want := "hello " + site + "\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestACollectorReachesTheBrokerByWebSocket(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	c, err := k.socket(k.collector(site))
	if err != nil {
		t.Fatal(err)
	}
	greeting(t, c)
	sent := make([]byte, 200<<10)
	_, _ = rand.Read(sent)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("200 KiB came back changed (%v)", err)
	}
	// Stopping ends it, and waits for it.
	if err := k.stop(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(got); err == nil {
		t.Error("the session went on")
	}
}

func TestWhoGetsNoWebSocket(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	revoked := k.collector("site-r-009")
	if err := k.store.Revoke(t.Context(), "site-r-009", "ada"); err != nil {
		t.Fatal(err)
	}
	replaced := k.collector("site-x-008")
	k.replace("site-x-008")
	for name, cert := range map[string]*tls.Certificate{
		"no certificate": nil, "revoked": revoked, "another key": replaced, "the cloud's own": must(k.pki.ClientCertificate()),
	} {
		if _, err := k.socket(cert); !errors.Is(err, wss.ErrRefused) || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := get(t, k.client(k.collector(site), false), "https://"+k.addr+wss.Path); !strings.Contains(got, "subprotocol") {
		t.Errorf("a request that is no WebSocket: %q", got)
	}
	if len(k.broker.served) != 0 {
		t.Errorf("the broker saw %s", <-k.broker.served)
	}
}

func TestBehindAForeignBrokerThereIsNoWebSocket(t *testing.T) {
	k := start(t, http.NotFoundHandler(), true)
	if _, err := k.socket(k.collector(site)); !errors.Is(err, wss.ErrRefused) {
		t.Fatalf("got %v", err)
	}
}

func TestTheListenerForCollectors(t *testing.T) {
	k := start(t, http.NotFoundHandler(), false)
	cert := k.collector(site)
	for _, protos := range [][]string{nil, {wire.ALPN}} {
		c := k.secure(k.plain, cert, protos...)
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		greeting(t, c)
	}
	<-k.broker.served
	<-k.broker.served
	for name, cert := range map[string]*tls.Certificate{"no certificate": nil, "the cloud's own": must(k.pki.ClientCertificate())} {
		conf := &tls.Config{RootCAs: k.pki.CAPool(), ServerName: "cloud.example"}
		if cert != nil {
			conf.Certificates = []tls.Certificate{*cert}
		}
		c, err := tls.Dial("tcp", k.plain, conf)
		if err == nil { // in TLS 1.3 a refusal shows when reading
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(k.broker.served) != 0 {
		t.Errorf("the broker saw %s", <-k.broker.served)
	}
}

// The broker's deadlines hold on a WebSocket, and so does the end of a session that
// it decides.
func TestABrokersDeadlinesHoldOnAWebSocket(t *testing.T) {
	b := must(broker.NewEmbedded(broker.EmbeddedConfig{ConnectTimeout: 200 * time.Millisecond}))
	b.Handle(func(string, []byte) {})
	k := start(t, http.NotFoundHandler(), false)
	g := must(gate.New(gate.Config{PKI: k.pki, Hosts: []string{"cloud.example"}, Registry: k.store, HTTP: http.NotFoundHandler(), Broker: b}))
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	k.addr = l.Addr().String()
	at := time.Now()
	c, err := k.socket(k.collector(site))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(at) > 5*time.Second {
		t.Errorf("a peer that says nothing: %v after %s", err, time.Since(at))
	}
}

// Who shakes hands slowly, or asks slowly, loses the connection.
func TestSlowClientsAreLetGo(t *testing.T) {
	t.Parallel()
	k := start(t, http.NotFoundHandler(), false)
	slow := map[string]net.Conn{
		"no handshake":                     must(net.Dial("tcp", k.addr)),
		"no handshake with a collector's":  must(net.Dial("tcp", k.plain)),
		"half a request":                   k.secure(k.addr, nil, wss.ALPN),
		"half a request for the WebSocket": k.secure(k.addr, k.collector(site), wss.ALPN),
	}
	fmt.Fprint(slow["half a request"], "GET / HTTP/1.1\r\n")
	fmt.Fprint(slow["half a request for the WebSocket"], "GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n")
	end := time.Now().Add(15 * time.Second)
	for what, c := range slow {
		defer c.Close()
		if err := c.SetDeadline(end); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: it is still there", what)
		}
	}
}
