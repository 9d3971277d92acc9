package junostest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	handshakeTimeout = 30 * time.Second
	version          = "SSH-2.0-OpenSSH_9.7"
)

// door is the SSH server of a device or bastion up to the log-in, with the
// faults that come before it and in it.
type door struct {
	fleet  *Fleet
	signer ssh.Signer
	login  login
	banner string
	names  []string // principals of the host certificate
	fault  *faultState
}

// visit is a connection that has logged in.
type visit struct {
	ssh      *ssh.ServerConn
	conn     net.Conn
	channels <-chan ssh.NewChannel
}

// reset drops the connection as a crash does, without a word.
func (v *visit) reset() {
	resetConn(v.conn)
}

// resetConn closes a TCP connection so that the peer sees a reset.
func resetConn(conn net.Conn) {
	if c, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = c.SetLinger(0) // the peer sees an end instead where it fails
	}
	conn.Close()
}

// serve takes one connection through the door and has run serve it, until it
// ends or ctx does.
func (dr *door) serve(ctx context.Context, conn net.Conn, run func(context.Context, *visit)) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	leave, ok := dr.fault.admit()
	defer leave()
	if !ok || dr.turnedAway(ctx, conn) {
		if dr.fault.arg() == "rst" {
			resetConn(conn)
		}
		return
	}
	cfg, err := dr.config(ctx)
	if err != nil {
		return // a host key that cannot be made: the client sees the end
	}
	v, requests := dr.handshake(&watched{conn, cancel}, cfg)
	if v == nil {
		return
	}
	defer v.ssh.Close()
	v.conn = conn
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { ssh.DiscardRequests(requests) })
	run(ctx, v)
}

// watched ends a context when the connection ends, which nobody sees who waits
// for something else.
type watched struct {
	net.Conn
	ended context.CancelFunc
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.ended()
	}
	return n, err
}

// turnedAway plays the faults that come before SSH.
func (dr *door) turnedAway(ctx context.Context, conn net.Conn) bool {
	switch dr.fault.kind() {
	case Unreachable:
		resetConn(conn)
	case Silent:
		hold(ctx, conn, "")
	case StallBanner:
		hold(ctx, conn, version[:12])
	case StallKex:
		hold(ctx, conn, version+"\r\n")
	case BannerFlood:
		if dr.fault.arg() != "lines" {
			return false
		}
		flood(conn)
	default:
		return false
	}
	return true
}

// hold says something and nothing after it, until the peer leaves or ctx ends.
func hold(ctx context.Context, conn net.Conn, word string) {
	if _, err := io.WriteString(conn, word); err != nil {
		return
	}
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, conn) }()
	select {
	case <-done:
	case <-ctx.Done():
		conn.Close()
		<-done
	}
}

// flood writes lines that are no SSH version (RFC 4253 section 4.2 lets a server
// do that before its own) until the peer leaves.
func flood(conn net.Conn) {
	lines := strings.Repeat(strings.Repeat("authorized access only ", 3)+"\r\n", 400)
	for {
		if _, err := io.WriteString(conn, lines); err != nil {
			return
		}
	}
}

// config makes the SSH side of the host.
func (dr *door) config(ctx context.Context) (*ssh.ServerConfig, error) {
	cfg := &ssh.ServerConfig{ServerVersion: version, BannerCallback: func(ssh.ConnMetadata) string { return dr.banner }}
	dr.login.offer(ctx, cfg)
	signer, err := dr.signer, error(nil)
	switch dr.fault.kind() {
	case NewHostKey:
		signer, err = dr.fault.changed(signer)
	case OldAlgorithms:
		signer, err = dr.fleet.oldSigner()
		cfg.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1}
		cfg.Ciphers = []string{ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC}
		cfg.MACs = []string{ssh.HMACSHA1}
	case BannerFlood:
		cfg.PreAuthConnCallback = dr.bannerFlood
	}
	if err != nil {
		return nil, err
	}
	cfg.AddHostKey(signer)
	if dr.fleet.cfg.HostCA && dr.fault.kind() != OldAlgorithms {
		err = dr.certify(cfg, signer)
	}
	return cfg, err
}

// certify adds the certificate of a host key.
func (dr *door) certify(cfg *ssh.ServerConfig, signer ssh.Signer) error {
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.HostCert, KeyId: dr.names[0], ValidPrincipals: dr.names,
		ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, dr.fleet.hostCA); err != nil {
		return fmt.Errorf("signing a host certificate: %w", err)
	}
	s, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return fmt.Errorf("making a host certificate: %w", err)
	}
	cfg.AddHostKey(s)
	return nil
}

// bannerFlood sends the banner in as many messages as its size takes.
func (dr *door) bannerFlood(c ssh.ServerPreAuthConn) {
	page := strings.Repeat(strings.Repeat("*", 78)+"\r\n", 400) // 32,000 bytes: a message holds up to 256 KiB
	for left := dr.fault.size(4 << 20); left > 0; left -= int64(len(page)) {
		if c.SendAuthBanner(page) != nil {
			return
		}
	}
}

// handshake does the SSH handshake within a time limit. It returns nils where
// the peer fails it.
func (dr *door) handshake(conn net.Conn, cfg *ssh.ServerConfig) (*visit, <-chan *ssh.Request) {
	switch dr.fault.kind() {
	case StallAuth, SlowAuth, EndlessPrompts, BannerFlood: // the client is who loses patience
	default:
		if conn.SetDeadline(time.Now().Add(handshakeTimeout)) != nil {
			return nil, nil
		}
	}
	sc, channels, requests, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return nil, nil
	}
	if conn.SetDeadline(time.Time{}) != nil {
		sc.Close()
		return nil, nil
	}
	return &visit{ssh: sc, channels: channels}, requests
}
