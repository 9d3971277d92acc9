package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// finish ends the last stage and hands the record to the caller.
func (h *handshake) finish(stage, detail string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(stage, detail, err)
}

func (h *handshake) end(stage, detail string, err error) {
	if h.over {
		return
	}
	h.rec.step(stage, h.since, detail, err)
	h.over = true
}

// failure decides the kind by the phase in which the handshake ended.
func (h *handshake) failure(err error, timed context.Context) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &Error{Phase: h.phase}
	e.Kind, e.Err = h.kind(err, timed)
	h.end(h.stage, "", e.Err)
	return e
}

func (h *handshake) kind(err error, timed context.Context) (Kind, error) {
	cause := context.Cause(timed)
	d := asDisconnect(err)
	switch {
	case h.keyErr != nil:
		return keyKind(h.keyErr), h.keyErr
	case errors.Is(cause, errFlood), errors.Is(err, errNoise):
		return KindProtocol, foreign{err}
	case cause != nil:
		return causeKind(cause), cause
	case d != nil:
		return h.disconnectKind(d), d
	case isCut(err):
		return h.cutKind(), foreign{err}
	}
	if negotiation, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
		return KindAlgorithms, newAlgorithmError(negotiation)
	}
	if h.phase == PhaseAuth {
		return h.login.explain(foreign{err})
	}
	return KindProtocol, foreign{err}
}

func keyKind(err error) Kind {
	if errors.Is(err, errChanged) {
		return KindHostKeyChanged
	}
	return KindHostKeyUnknown
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
	case h.login.ear.saidLocked():
		return KindLockedOut
	case h.login.sent.Load():
		return KindAuth
	}
	return KindClosed
}

func (h *handshake) disconnectKind(d *disconnect) Kind {
	switch {
	case d.reason == reasonTooManyConnections:
		return KindThrottled
	case h.phase == PhaseAuth && d.locked:
		return KindLockedOut
	case d.reason == reasonNoMoreMethods:
		return KindAuth
	}
	return h.cutKind()
}

// algorithmError is a server with which the collector has no algorithm in common.
type algorithmError struct {
	what    string
	offered string
	legacy  bool // Hop.Legacy would find one
}

func newAlgorithmError(n *ssh.AlgorithmNegotiationError) *algorithmError {
	bad := ssh.InsecureAlgorithms()
	old := slices.Concat(bad.KeyExchanges, bad.Ciphers, bad.MACs, bad.HostKeys)
	return &algorithmError{plain(n.What, maxDetail), plain(strings.Join(n.RequestedAlgorithms, ", "), maxForeign),
		slices.ContainsFunc(n.RequestedAlgorithms, func(a string) bool {
			return slices.Contains(old, a) && !slices.Contains(n.SupportedAlgorithms, a)
		})}
}

// Error implements error.
func (e *algorithmError) Error() string {
	return fmt.Sprintf("nothing in common for %s, of which it offers %s", e.what, e.offered)
}
