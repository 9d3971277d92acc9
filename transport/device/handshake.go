package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshake is one SSH log-in at one hop over a connection that exists. The
// package that does it blocks without a time-out and reports most failures as
// text, so the callbacks record how far it came, and it runs in a goroutine that
// is left behind when a phase takes too long.
type handshake struct {
	hop    *hop
	wrong  []string // host key types that are not to be offered
	times  Timeouts
	login  login
	cancel context.CancelCauseFunc
	watch  *time.Timer

	greeting *greeting

	// mu is held for what follows: the callbacks run in a goroutine that may
	// outlive a handshake that was cut.
	mu      sync.Mutex
	over    bool // rec belongs to the caller now
	rec     *record
	phase   Phase
	stage   string
	since   time.Time
	badType string // of a key that is not pinned
	keyErr  error
}

// shaken is how a handshake ended.
type shaken struct {
	conn     ssh.Conn
	channels <-chan ssh.NewChannel
	requests <-chan *ssh.Request
	err      error
}

// run returns a client, or an *Error after closing the connection. It returns
// when ctx ends, whatever the connection does.
func (h *handshake) run(ctx context.Context, l *line) (*client, *Error) {
	defer h.forget()
	config, err := h.config()
	if err != nil {
		l.Close()
		return nil, &Error{Phase: PhaseConfig, Kind: KindConfig, Err: err}
	}
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.cancel, h.phase, h.stage, h.since = cancel, PhaseKeyExchange, StageVersion, time.Now()
	h.watch = time.AfterFunc(h.times.KeyExchange, func() { cancel(errTime) })
	defer h.watch.Stop()
	stop := context.AfterFunc(timed, func() { l.Close() })
	h.greeting = &greeting{Conn: l, heard: h.heard}
	done := make(chan shaken, 1)
	key, name := h.hop.key, h.hop.name()
	key.hold()
	go func() { // it ends when the connection is closed, at the latest
		defer key.drop()
		c, channels, requests, err := ssh.NewClientConn(h.greeting, name, config)
		done <- shaken{c, channels, requests, err}
	}()
	var s shaken
	select {
	case s = <-done:
	case <-timed.Done():
		discard(l, <-done)
		return nil, h.failure(context.Cause(timed), timed)
	}
	if !stop() {
		discard(l, s)
		return nil, h.failure(context.Cause(timed), timed)
	}
	if s.err != nil {
		return nil, h.failure(s.err, timed)
	}
	h.finish(StageAuth, h.used(), nil)
	return newClient(s, l), nil
}

// forget drops the credential: a connection keeps the handshake it was made with.
func (h *handshake) forget() {
	h.login.end()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hop = h.hop.bare()
}

// discard ends a connection whose handshake nobody waits for any more.
func discard(l *line, s shaken) {
	l.Close()
	if s.err == nil {
		newClient(s, l).end()
	}
}

// config offers the secure algorithms, ECDSA and Ed25519 host keys before RSA.
func (h *handshake) config() (*ssh.ClientConfig, error) {
	h.login.password, h.login.signer, h.login.legacy = h.hop.Auth.Password.Reveal(), h.hop.key.signer, h.hop.Legacy
	methods, err := h.login.methods()
	if err != nil {
		return nil, err
	}
	types := h.hop.pins.types(h.wrong, h.hop.Legacy)
	if len(types) == 0 {
		return nil, errors.New("the pinned host keys are of no supported type")
	}
	config := &ssh.ClientConfig{
		User: h.hop.Auth.User, Auth: methods, AuthCallback: h.listen, BannerCallback: h.banner,
		ClientVersion:     "SSH-2.0-lwc",
		HostKeyAlgorithms: h.hop.pins.algorithms(types, h.hop.Legacy),
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return h.check(key) },
	}
	config.Config = goodConfig()
	if h.hop.Legacy {
		config.Config = legacyConfig()
	}
	return config, nil
}

// goodConfig names the secure algorithms only, in the order of the SSH package:
// the post-quantum key exchange first, then the fast curves; AES-GCM first, which
// costs least where the processor has it.
func goodConfig() ssh.Config {
	good := ssh.SupportedAlgorithms()
	return ssh.Config{KeyExchanges: good.KeyExchanges, Ciphers: good.Ciphers, MACs: good.MACs}
}

// legacyConfig adds what is insecure behind what is not.
func legacyConfig() ssh.Config {
	c, bad := goodConfig(), ssh.InsecureAlgorithms()
	c.KeyExchanges = append(c.KeyExchanges, bad.KeyExchanges...)
	c.Ciphers = append(c.Ciphers, bad.Ciphers...)
	c.MACs = append(c.MACs, bad.MACs...)
	return c
}

// heard notes the version of the server.
func (h *handshake) heard(version string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next(StageKeyExchange, plain(version, maxDetail))
}

// next ends a stage and begins another. mu is held.
func (h *handshake) next(stage, detail string) {
	if h.over {
		return
	}
	h.rec.step(h.stage, h.since, detail, nil)
	h.stage, h.since = stage, time.Now()
}

// check verifies the host key. The log-in phase begins with it.
func (h *handshake) check(key ssh.PublicKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.over: // key exchange again, in the session
		if h.rec.key == nil || string(h.rec.key.Marshal()) != string(key.Marshal()) {
			return errChanged
		}
		return nil
	}
	h.next(StageHostKey, "")
	if _, h.keyErr = h.hop.pins.verify(key, h.hop.TrustFirst); h.keyErr != nil {
		h.badType = bare(key).Type()
		return h.keyErr
	}
	h.rec.key = key
	h.watch.Reset(h.times.Auth)
	h.phase = PhaseAuth
	h.next(StageAuth, describeKey(key))
	return nil
}

func describeKey(key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		return fmt.Sprintf("%s %s, certified for %s", cert.Key.Type(), ssh.FingerprintSHA256(cert.Key),
			plain(fmt.Sprint(cert.ValidPrincipals), maxDetail))
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// listen keeps what the server offers, and what was negotiated.
func (h *handshake) listen(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	offered := c.AllowedMethods
	h.login.offered.Store(&offered)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.learn(c.Algorithms)
	return nil, nil
}

func (h *handshake) learn(a ssh.NegotiatedAlgorithms) {
	if h.over {
		return
	}
	found := Algorithms{KeyExchange: a.KeyExchange, HostKey: a.HostKey, Cipher: a.Write.Cipher, MAC: a.Write.MAC}
	h.rec.algorithms = found
	for i, s := range h.rec.steps { // the server's choice is told only now
		if s.Stage == StageKeyExchange {
			h.rec.steps[i].Detail = strings.TrimRight(found.KeyExchange+", "+found.Cipher+", "+found.MAC, ", ")
		}
	}
}

// banner ends the handshake when banners come without end. The SSH package goes
// on until the connection is closed: when it gives up by itself, it leaves a
// goroutine behind that waits for ever to hand on the next of them.
func (h *handshake) banner(text string) error {
	if err := h.login.ear.banner(text); err != nil {
		h.cancel(err)
	}
	return nil
}

// used names the method of the log-in.
func (h *handshake) used() string {
	if m := h.login.method.Load(); m != nil {
		return *m
	}
	return "none was asked for"
}
