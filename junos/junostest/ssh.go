package junostest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	handshakeTimeout = 30 * time.Second
	maxSessions      = 10 // sessions on one connection to a device
)

var errRefused = errors.New("log-in refused")

// login is what an SSH server of the fleet accepts.
type login struct {
	user, password string
	key            ssh.PublicKey
	methods        []string
	refuse         bool
}

// serverConfig makes the SSH side of a device or bastion.
func (l login) serverConfig(signer ssh.Signer, banner string) *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{ServerVersion: "SSH-2.0-OpenSSH_9.7", BannerCallback: func(ssh.ConnMetadata) string { return banner }}
	if slices.Contains(l.methods, "password") {
		cfg.PasswordCallback = func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return l.check(c.User(), p) }
	}
	if slices.Contains(l.methods, "keyboard-interactive") {
		cfg.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password:"}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errRefused
			}
			return l.check(c.User(), []byte(answers[0]))
		}
	}
	if slices.Contains(l.methods, "publickey") {
		cfg.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if l.refuse || c.User() != l.user || !bytes.Equal(key.Marshal(), l.key.Marshal()) {
				return nil, errRefused
			}
			return nil, nil
		}
	}
	cfg.AddHostKey(signer)
	return cfg
}

func (l login) check(user string, password []byte) (*ssh.Permissions, error) {
	good := subtle.ConstantTimeCompare(password, []byte(l.password)) == 1
	if l.refuse || user != l.user || !good {
		return nil, errRefused
	}
	return nil, nil
}

// handshake does the SSH handshake within a time limit. It returns nils where
// the peer fails it.
func handshake(conn net.Conn, cfg *ssh.ServerConfig) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, nil, nil
	}
	sc, channels, requests, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return nil, nil, nil
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		sc.Close()
		return nil, nil, nil
	}
	return sc, channels, requests
}

// serveConn serves one connection to the device until it ends or ctx does.
func (d *Device) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if turnedAway(ctx, conn, d.Fault()) {
		return
	}
	l := login{user: d.User, password: d.Password, key: d.fleet.clientPub, methods: d.fleet.cfg.Auth, refuse: d.Fault() == RefuseAuth}
	banner := "*** " + d.HostName + ": authorized access only ***\n"
	sc, channels, requests := handshake(conn, l.serverConfig(d.signer, banner))
	if sc == nil {
		return
	}
	defer sc.Close()
	d.serveChannels(ctx, sc, channels, requests)
}

// turnedAway plays the faults that come before SSH.
func turnedAway(ctx context.Context, conn net.Conn, f Fault) bool {
	switch f {
	case Unreachable, Throttle:
		return true
	case Silent:
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(io.Discard, conn) }()
		select {
		case <-done:
		case <-ctx.Done():
			conn.Close()
			<-done
		}
		return true
	}
	return false
}

// serveChannels runs the sessions of one connection and waits for them.
func (d *Device) serveChannels(ctx context.Context, sc *ssh.ServerConn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { ssh.DiscardRequests(requests) })
	slots := make(chan struct{}, maxSessions)
	for nc := range channels {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.Prohibited, "administratively prohibited")
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = nc.Reject(ssh.ResourceShortage, "no more sessions")
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if d.serveSession(ctx, nc) {
				sc.Close()
			}
		})
	}
}

// serveSession runs what a session channel asks for. hangUp says that the
// device drops the whole connection after it, as one that crashes does.
func (d *Device) serveSession(ctx context.Context, nc ssh.NewChannel) (hangUp bool) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return false
	}
	defer ch.Close()
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	run := d.awaitProgram(requests)
	if run == nil {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); ssh.DiscardRequests(requests); cancel() }()
	status, err := run(ctx, ch)
	_ = ch.CloseWrite()
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	ch.Close()
	<-done
	return errors.Is(err, errFault)
}

// program runs on a session channel and returns its exit status.
type program func(ctx context.Context, ch ssh.Channel) (uint32, error)

// awaitProgram answers requests until one of them starts a program.
func (d *Device) awaitProgram(requests <-chan *ssh.Request) program {
	for req := range requests {
		run := d.program(req)
		_ = req.Reply(run != nil, nil)
		if run != nil {
			return run
		}
	}
	return nil
}

// program is what a request starts, nil where it is refused.
func (d *Device) program(req *ssh.Request) program {
	var p struct{ Value string }
	if req.Type != "subsystem" && req.Type != "exec" || ssh.Unmarshal(req.Payload, &p) != nil {
		return nil
	}
	netconf := func(ctx context.Context, ch ssh.Channel) (uint32, error) { return 0, d.serveNETCONF(ctx, ch) }
	switch {
	case req.Type == "subsystem" && p.Value == "netconf", req.Type == "exec" && p.Value == "xml-mode netconf need-trailer":
		if d.Fault() == NoNETCONF {
			return nil
		}
		return netconf
	case req.Type == "exec":
		return func(ctx context.Context, ch ssh.Channel) (uint32, error) { return d.runCLI(ctx, p.Value, ch) }
	}
	return nil
}
