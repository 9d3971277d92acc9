package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// The window of the clients that stand beside the uplink is that of the cloud's
// welcome.
const (
	pahoWindow   = 16 << 20
	pahoMessages = 64
)

// framesOf makes the frames that the uplink makes of documents: small ones of a
// device share them. emit takes each.
func framesOf(collector, boot, run, device string, docs []document, emit func([]byte) error) error {
	h := wire.Header{Type: wire.KindFact, Collector: collector, Boot: boot, Run: run, Device: device, CollectedAt: time.Now()}
	var small []wire.Doc
	var plain []byte
	flush := func() error {
		if len(small) == 0 {
			return nil
		}
		h.ID = wire.NewID()
		f, err := wire.SplitDocs(h, small, plain, wire.Packing{})
		if err != nil {
			return err
		}
		small, plain = nil, plain[:0]
		return emit(f)
	}
	for _, d := range docs {
		if len(plain)+len(d.body) > uplink.SmallDocument || len(small) == wire.MaxDocs {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(d.body) <= uplink.SmallDocument {
			small = append(small, wire.Doc{ID: wire.NewID(), Item: d.item, CollectedAt: h.CollectedAt, Outcome: "ok", SHA256: d.sha, Size: int64(len(d.body))})
			plain = append(plain, d.body...)
			continue
		}
		if err := largeFrames(h, d, emit); err != nil {
			return err
		}
	}
	return flush()
}

func largeFrames(h wire.Header, d document, emit func([]byte) error) error {
	h.ID, h.Item = wire.NewID(), d.item
	s, err := wire.NewSplitter(h, wire.Packing{}, emit)
	if err != nil {
		return err
	}
	defer s.Abort()
	if _, err := s.Write(d.body); err != nil {
		return err
	}
	return s.Finish(wire.Header{Outcome: "ok", SHA256: d.sha})
}

// prepared makes the frames of all devices before the clock starts.
func prepared(o order, collector string, corpus [][]document) (frames [][]byte, plain int64, err error) {
	boot, run := wire.NewID(), wire.NewID()
	for i := range o.Times {
		docs := corpus[i%len(corpus)]
		for _, d := range docs {
			plain += int64(len(d.body))
		}
		err := framesOf(collector, boot, run, fmt.Sprintf("device-%05d", i), docs, func(f []byte) error {
			frames = append(frames, f)
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return frames, plain, nil
}

// clocked measures what sends the frames.
func clocked(o order, frames [][]byte, plain int64, send func() error) (measure, error) {
	settle()
	m := measure{Devices: o.Times, Bytes: plain, RestMiB: resident("VmRSS:")}
	for _, f := range frames {
		m.Sent += int64(len(f))
	}
	began, used := time.Now(), cpuTime()
	err := send()
	m.Seconds, m.CPU, m.PeakMiB = time.Since(began).Seconds(), (cpuTime() - used).Seconds(), resident("VmHWM:")
	return m, err
}

// pahoAll publishes ready frames with a window and waits for the broker's
// acknowledgements alone.
func pahoAll(ctx context.Context, o order) (measure, error) {
	id, err := enrolled(ctx, o.Token)
	if err != nil {
		return measure{}, err
	}
	corpus, err := gather(ctx, o)
	if err != nil {
		return measure{}, err
	}
	frames, plain, err := prepared(o, id.Collector, corpus)
	if err != nil {
		return measure{}, err
	}
	client, err := pahoConnect(ctx, id)
	if err != nil {
		return measure{}, err
	}
	defer client.Disconnect(250)
	topic := wire.Topics{Prefix: id.Bootstrap.Prefix}.Name(id.Collector, wire.Up, wire.KindFact)
	return clocked(o, frames, plain, func() error { return publishAll(ctx, client, topic, frames) })
}

func publishAll(ctx context.Context, client mqtt.Client, topic string, frames [][]byte) error {
	type flight struct {
		token mqtt.Token
		size  int
	}
	var owed []flight
	held := 0
	reap := func() error {
		select {
		case <-owed[0].token.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		held -= owed[0].size
		err := owed[0].token.Error()
		owed = owed[1:]
		return err
	}
	for _, f := range frames {
		for len(owed) > 0 && (len(owed) >= pahoMessages || held+len(f) > pahoWindow) {
			if err := reap(); err != nil {
				return err
			}
		}
		owed = append(owed, flight{client.Publish(topic, 1, false, f), len(f)})
		held += len(f)
	}
	for len(owed) > 0 {
		if err := reap(); err != nil {
			return err
		}
	}
	return nil
}

func pahoConnect(ctx context.Context, id uplink.Identity) (mqtt.Client, error) {
	if len(id.Bootstrap.Endpoints) == 0 {
		return nil, errors.New("connecting paho: the bootstrap answer names no endpoint")
	}
	pool := x509.NewCertPool()
	for _, c := range id.CA {
		pool.AddCert(c)
	}
	o := mqtt.NewClientOptions().AddBroker("ssl://" + id.Bootstrap.Endpoints[0].Host)
	o.SetTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.Certificate}, RootCAs: pool, NextProtos: []string{wire.ALPN}})
	o.SetClientID(id.Collector).SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetOrderMatters(false).SetWriteTimeout(time.Minute)
	c := mqtt.NewClient(o)
	t := c.Connect()
	select {
	case <-t.Done():
		return c, t.Error()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// tlsAll copies ready frames through TLS to a process that throws them away.
func tlsAll(ctx context.Context, o order) (measure, error) {
	corpus, err := gather(ctx, o)
	if err != nil {
		return measure{}, err
	}
	frames, plain, err := prepared(o, benchCollector, corpus)
	if err != nil {
		return measure{}, err
	}
	conn, stop, err := dialSink(ctx)
	if err != nil {
		return measure{}, err
	}
	defer stop()
	return clocked(o, frames, plain, func() error {
		for _, f := range frames {
			if _, err := conn.Write(f); err != nil {
				return err
			}
		}
		if err := conn.CloseWrite(); err != nil {
			return err
		}
		_, err := io.ReadAll(conn) // its end says that all was read
		return err
	})
}

// sinkAddress is what a sink says of itself.
type sinkAddress struct {
	Addr string
	Cert []byte // PEM
}

// dialSink starts a sink on the other core and connects to it.
func dialSink(ctx context.Context) (*tls.Conn, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, "sink")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := startOn(simCore, cmd); err != nil {
		return nil, nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	var at sinkAddress
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		stop()
		return nil, nil, fmt.Errorf("starting the sink: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(at.Cert)
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}}
	conn, err := d.DialContext(ctx, "tcp", at.Addr)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return conn.(*tls.Conn), func() { conn.Close(); stop() }, nil
}

// runSink reads one connection to its end.
func runSink(ctx context.Context, stdout io.Writer) error {
	cert, err := sinkCert()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		return err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := json.NewEncoder(stdout).Encode(sinkAddress{l.Addr().String(), text}); err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(io.Discard, conn)
	return err
}

func sinkCert() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
