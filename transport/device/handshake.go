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
// text, so the callbacks record how far it came and a watch closes the
// connection when a phase takes too long.
type handshake struct {
	hop   Hop
	pins  pins
	wrong []string // host key types that are not to be offered
	times Timeouts
	login login

	greeting *greeting

	// mu is held for what follows: the callback and the watch run in goroutines
	// that may outlive a handshake that was cut.
	mu       sync.Mutex
	phase    Phase
	late     bool          // the watch closed the connection
	key      ssh.PublicKey // the verified key
	firstUse bool
	badType  string // of a key that is not pinned
	keyErr   error
}

// run returns a client, or an *Error after closing the connection.
func (h *handshake) run(ctx context.Context, conn net.Conn) (*ssh.Client, *Error) {
	config, err := h.config()
	if err != nil {
		conn.Close()
		return nil, &Error{Phase: PhaseConfig, Kind: KindConfig, Err: err}
	}
	h.phase = PhaseKeyExchange
	watch := time.AfterFunc(h.times.KeyExchange, func() { h.expire(conn) })
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	config.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error { return h.check(key, watch) }
	h.greeting = &greeting{Conn: conn}
	c, channels, requests, err := ssh.NewClientConn(h.greeting, h.hop.name(), config)
	watch.Stop()
	cancelled := !stop()
	if err != nil {
		return nil, h.failure(ctx, err)
	}
	client := ssh.NewClient(c, channels, requests)
	if cancelled || h.isLate() {
		client.Close()
		client.Wait()
		return nil, h.failure(ctx, errTime)
	}
	return client, nil
}

// config offers the secure algorithms, ECDSA and Ed25519 host keys before RSA.
func (h *handshake) config() (*ssh.ClientConfig, error) {
	h.login.auth = h.hop.Auth
	methods, err := h.login.methods()
	if err != nil {
		return nil, err
	}
	types := h.pins.types(h.wrong, h.hop.Legacy)
	if len(types) == 0 {
		return nil, errors.New("the pinned host keys are of no supported type")
	}
	config := &ssh.ClientConfig{
		User: h.hop.Auth.User, Auth: methods, AuthCallback: h.login.listen,
		ClientVersion:     "SSH-2.0-lwc",
		HostKeyAlgorithms: algorithms(types, h.hop.Legacy),
	}
	if h.hop.Legacy {
		config.Config = legacyConfig()
	}
	return config, nil
}

// legacyConfig adds what is insecure behind what is not.
func legacyConfig() ssh.Config {
	good, bad := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	return ssh.Config{
		KeyExchanges: append(good.KeyExchanges, bad.KeyExchanges...),
		Ciphers:      append(good.Ciphers, bad.Ciphers...),
		MACs:         append(good.MACs, bad.MACs...),
	}
}

// check verifies the host key. The log-in phase begins with it.
func (h *handshake) check(key ssh.PublicKey, watch *time.Timer) error {
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key != nil { // key exchange again, in the session
		if string(h.key.Marshal()) != string(key.Marshal()) {
			return errChanged
		}
		return nil
	}
	h.firstUse, h.keyErr = h.pins.verify(key, h.hop.TrustFirst)
	if h.keyErr != nil {
		h.badType = key.Type()
		return h.keyErr
	}
	h.key = key
	watch.Reset(h.times.Auth)
	h.phase = PhaseAuth
	return nil
}

func (h *handshake) expire(conn net.Conn) {
	h.mu.Lock()
	h.late = true
	h.mu.Unlock()
	conn.Close()
}

func (h *handshake) isLate() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.late
}

// failure decides the kind by the phase in which the handshake ended.
func (h *handshake) failure(ctx context.Context, err error) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &Error{Phase: h.phase, Err: err}
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case h.keyErr != nil:
		e.Kind, e.Err = keyKind(h.keyErr), h.keyErr
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
		e.Kind = linkKind(e.Err)
	case h.late:
		e.Kind, e.Err = KindTimeout, fmt.Errorf("%w: %w", errTime, err)
	case errors.As(err, &negotiation):
		e.Kind = KindAlgorithms
	case isCut(err), tooMany(err):
		e.Kind = h.cutKind()
	case h.phase == PhaseAuth:
		e.Kind, e.Err = KindAuth, h.login.explain(err)
	default:
		e.Kind = KindProtocol
	}
	return e
}

// tooMany tells the disconnect reason SSH_DISCONNECT_TOO_MANY_CONNECTIONS (RFC
// 4253 §11.1), which has no type of its own.
func tooMany(err error) bool { return strings.Contains(err.Error(), "disconnect, reason 12") }

func keyKind(err error) Kind {
	if errors.Is(err, errUnpinned) {
		return KindHostKeyUnknown
	}
	return KindHostKeyChanged
}

// cutKind: servers at their limit cut new connections before the key exchange
// is done; one that cuts after the password was sent refused it (a locked
// account, too many failures).
func (h *handshake) cutKind() Kind {
	switch {
	case h.phase == PhaseKeyExchange && h.greeting.foreign():
		return KindProtocol
	case h.phase == PhaseKeyExchange:
		return KindThrottled
	case h.login.sent.Load():
		return KindAuth
	}
	return KindClosed
}
