package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lwc/testdata/need"
)

// mosquitto is a real broker that runs the shipped configuration.
type mosquitto struct {
	ca            *authority
	addr          string
	program, conf string
	cmd           *exec.Cmd
	log           *bytes.Buffer
}

func startMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	m := &mosquitto{program: need.Program(t, "mosquitto"), ca: newAuthority(t)}
	dir := t.TempDir()
	m.addr = freePort(t)
	writeKeyPair(t, dir, m.ca.issue(t, "broker"))
	write(t, dir, "ca.pem", m.ca.pem())
	acl, err := fs.ReadFile(Deploy(), "mosquitto.acl")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "mosquitto.acl", acl)
	conf, err := fs.ReadFile(Deploy(), "mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	m.conf = write(t, dir, "mosquitto.conf", []byte(strings.NewReplacer(
		"/etc/mosquitto/lwc", dir,
		"listener 8883", "listener "+port(m.addr)+" 127.0.0.1",
	).Replace(string(conf))))
	m.start(t)
	t.Cleanup(func() { m.stop(t) })
	return m
}

func (m *mosquitto) start(t *testing.T) {
	t.Helper()
	m.log = &bytes.Buffer{}
	m.cmd = exec.Command(m.program, "-c", m.conf)
	m.cmd.Stderr = m.log
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (m *mosquitto) stop(t *testing.T) {
	if m.cmd == nil {
		return
	}
	if err := m.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	m.cmd.Wait() //nolint:errcheck // it was killed
	m.cmd = nil
	if t.Failed() {
		t.Logf("mosquitto said:\n%s", m.log)
	}
}

func (m *mosquitto) config(t *testing.T) ExternalConfig {
	return ExternalConfig{URL: "mqtts://" + m.addr, TLS: m.ca.client(t, "lwc-cloud"), ClientID: "lwc-cloud-node-1"}
}

func (m *mosquitto) dial(t *testing.T) *External {
	t.Helper()
	x, err := DialExternal(t.Context(), m.config(t))
	if err != nil {
		t.Fatalf("%v\nmosquitto said:\n%s", err, m.log)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

func write(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o644); err != nil { // mosquitto leaves root
		t.Fatal(err)
	}
	for ; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func writeKeyPair(t *testing.T, dir string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "broker.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	write(t, dir, "broker.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func TestExternalCarriesBothWaysThroughMosquitto(t *testing.T) {
	m := startMosquitto(t)
	x := m.dial(t)
	got := newReceiver()
	x.Handle(got.take)
	c := connect(t, pahoOptions(m.addr, m.ca.client(t, one), one).SetWill(up(one, "bye"), "will", 1, false))
	for i := range 500 {
		c.Publish(up(one, "fact"), 1, false, fmt.Sprint(i))
	}
	for i := range 500 {
		if r := got.next(t); r.topic != up(one, "fact") || r.payload != fmt.Sprint(i) {
			t.Fatalf("message %d is %v", i, r)
		}
	}
	downwards := newReceiver()
	subscribe(t, c, "lwc/v1/"+one+"/down/+", downwards)
	big := strings.Repeat("x", 120<<10)
	if err := x.Publish(t.Context(), down(one, "desired"), []byte(big)); err != nil {
		t.Fatal(err)
	}
	if r := downwards.next(t); r.payload != big {
		t.Errorf("got %d bytes", len(r.payload))
	}
	if err := x.Publish(t.Context(), up(one, "fact"), nil); err == nil {
		t.Error("published to an up topic")
	}
}

// The shipped access list keeps collectors apart. mosquitto acknowledges what it
// refuses, so only what arrives counts.
func TestMosquittoAccessList(t *testing.T) {
	m := startMosquitto(t)
	x := m.dial(t)
	got := newReceiver()
	x.Handle(got.take)
	evil := connect(t, pahoOptions(m.addr, m.ca.client(t, two), two))
	spied := newReceiver()
	for _, f := range []string{"#", "lwc/v1/" + one + "/down/+", "lwc/v1/+/up/#", "$share/lwc-cloud/lwc/v1/+/up/#", "$SYS/#"} {
		subscribe(t, evil, f, spied)
	}
	victim := connect(t, pahoOptions(m.addr, m.ca.client(t, one), one))
	theirs := newReceiver()
	subscribe(t, victim, "lwc/v1/"+one+"/down/+", theirs)
	for _, topic := range []string{up(one, "fact"), down(one, "job"), down(two, "job")} {
		if err := done(evil.Publish(topic, 1, false, "evil")); err != nil {
			t.Fatal(err)
		}
	}
	if err := done(victim.Publish(up(one, "fact"), 1, false, "good")); err != nil {
		t.Fatal(err)
	}
	if r := got.next(t); r.payload != "good" {
		t.Errorf("the cloud got %v", r)
	}
	if err := x.Publish(t.Context(), down(one, "job"), []byte("good")); err != nil {
		t.Fatal(err)
	}
	if r := theirs.next(t); r.payload != "good" {
		t.Errorf("the victim got %v", r)
	}
	if len(spied.ch) > 0 {
		t.Errorf("the other collector saw %v", <-spied.ch)
	}
}

// A collector cannot end another's session by taking its client id.
func TestMosquittoForcesTheClientID(t *testing.T) {
	m := startMosquitto(t)
	victim := connect(t, pahoOptions(m.addr, m.ca.client(t, one), one))
	connect(t, pahoOptions(m.addr, m.ca.client(t, two), one))
	if err := done(victim.Publish(up(one, "event"), 1, false, "x")); err != nil {
		t.Errorf("the victim was thrown out: %v", err)
	}
}

func TestExternalReconnects(t *testing.T) {
	m := startMosquitto(t)
	x := m.dial(t)
	got := newReceiver()
	x.Handle(got.take)
	m.stop(t)
	eventually(t, "the loss is noticed", func() bool {
		return errors.Is(x.Publish(t.Context(), down(one, "job"), nil), ErrOffline)
	})
	m.start(t)
	eventually(t, "the link is back", func() bool { return x.Publish(t.Context(), down(one, "job"), nil) == nil })
	c := connect(t, pahoOptions(m.addr, m.ca.client(t, one), one))
	if err := done(c.Publish(up(one, "fact"), 1, false, "again")); err != nil {
		t.Fatal(err)
	}
	if r := got.next(t); r.payload != "again" {
		t.Errorf("got %v", r)
	}
}

func TestDialExternalNamesWhatIsWrong(t *testing.T) {
	m := startMosquitto(t)
	for name, c := range map[string]struct {
		change func(*ExternalConfig)
		want   string
	}{
		"plain":        {func(c *ExternalConfig) { c.URL = "mqtt://" + m.addr }, "mqtts://"},
		"no host":      {func(c *ExternalConfig) { c.URL = "mqtts://" }, "host:port"},
		"no client id": {func(c *ExternalConfig) { c.ClientID = "" }, "client id"},
		"nobody there": {func(c *ExternalConfig) { c.URL = "mqtts://" + freePort(t) }, "connection refused"},
		"another CA":   {func(c *ExternalConfig) { c.TLS = newAuthority(t).client(t, "lwc-cloud") }, "unknown authority"},
		"no certificate": {func(c *ExternalConfig) {
			c.TLS = &tls.Config{RootCAs: m.ca.pool}
		}, "connecting to the broker"}, // TLS 1.3 tells only after the handshake, if the reset does not win
		"plain TCP": {func(c *ExternalConfig) { c.URL = "mqtts://" + silent(t) }, "first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := m.config(t)
			c.change(&cfg)
			x, err := DialExternal(t.Context(), cfg)
			if err == nil {
				x.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

// silent is a listener that answers with something that is not TLS.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("hello there, friend")) //nolint:errcheck // the test shows it
			c.Close()
		}
	}()
	return ln.Addr().String()
}

func TestLengthsRefusesOversize(t *testing.T) {
	ok := append([]byte{0x30, 0x80, 0x80, 0x04}, make([]byte, 64<<10)...)
	var l lengths
	for _, b := range [][]byte{{0xd0, 0x00}, ok[:1], ok[1:3], ok[3:100], ok[100:], {0xd0}, {0x00}} {
		if err := l.pass(b); err != nil {
			t.Fatalf("a good stream: %v", err)
		}
	}
	if l.inside || l.skip != 0 {
		t.Errorf("the stream did not end between packets: %+v", l)
	}
	for _, b := range [][]byte{{0x30, 0xff, 0xff, 0xff, 0x7f}, {0x30, 0xff, 0xff, 0xff, 0xff}, {0x30, 0x80, 0x80, 0x80, 0x80, 0x00}} {
		var l lengths
		if err := l.pass(b); err == nil {
			t.Errorf("% x passed", b)
		}
	}
}

// FuzzLengths compares a stream cut in two with the same stream whole.
func FuzzLengths(f *testing.F) {
	f.Add([]byte{0x30, 0x02, 1, 2, 0xd0, 0x00}, 3)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 1)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			return
		}
		var whole, cut lengths
		want := whole.pass(b)
		got := cut.pass(b[:at])
		if got == nil {
			got = cut.pass(b[at:])
		}
		if (want == nil) != (got == nil) || want == nil && whole != cut {
			t.Errorf("whole: %v %+v, cut at %d: %v %+v", want, whole, at, got, cut)
		}
		if whole.skip > maxPacket {
			t.Errorf("a packet of %d bytes passed", whole.skip)
		}
	})
}

// A refused subscription is an error, though the client library takes it for a
// success. The embedded broker refuses every shared one.
func TestDialExternalChecksItsSubscription(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{})
	_, err := DialExternal(t.Context(), ExternalConfig{URL: "mqtts://" + e.addr, TLS: e.ca.client(t, one), ClientID: one})
	if err == nil || !strings.Contains(err.Error(), "access list") {
		t.Errorf("error %v", err)
	}
}
