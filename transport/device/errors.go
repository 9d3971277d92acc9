package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// Phase is how far the way to a device was gone.
type Phase string

// Phases of a Dial, for each hop.
const (
	PhaseConfig      Phase = "config"       // before any packet
	PhaseResolve     Phase = "resolve"      // the name of the first hop
	PhaseConnect     Phase = "connect"      // TCP to the first hop
	PhaseForward     Phase = "forward"      // TCP by the bastion before
	PhaseKeyExchange Phase = "key-exchange" // up to the verified host key
	PhaseAuth        Phase = "auth"
	PhaseSubsystem   Phase = "subsystem" // netconf, or what stands in for it
	PhaseSession     Phase = "session"   // after the Dial: of what Conn returns
)

// Kind is what went wrong, in the closed set that operators and schedulers act on.
type Kind string

// Kinds of Error. The hop they happened at is in the Error.
const (
	KindConfig         Kind = "config"           // the target is incomplete, a key or pin unreadable
	KindResolve        Kind = "resolve"          // the name is not known
	KindConnect        Kind = "connect"          // no answer, or no route
	KindRefused        Kind = "refused"          // nothing listens on the port
	KindThrottled      Kind = "throttled"        // connection or session limit: wait at least a minute
	KindProtocol       Kind = "protocol"         // what answers does not speak SSH properly
	KindHostKeyUnknown Kind = "host-key-unknown" // no key is pinned
	KindHostKeyChanged Kind = "host-key-changed" // not the pinned key
	KindAlgorithms     Kind = "algorithms"       // nothing in common
	KindAuth           Kind = "auth"             // log-in refused: do not repeat it
	KindLockedOut      Kind = "auth-locked-out"  // the server says that the account is locked: do not repeat it
	KindForwardRefused Kind = "forward-refused"  // the bastion does not forward: always a bastion's, so that it takes no "bastion-"
	KindSubsystem      Kind = "subsystem"        // no netconf subsystem
	KindTimeout        Kind = "timeout"          // connected, then silence
	KindClosed         Kind = "closed"           // connected, then cut
	KindCancelled      Kind = "cancelled"        // the caller's context ended
)

// Error is a Dial that failed. Hop names where: the device or a bastion.
type Error struct {
	Phase   Phase
	Kind    Kind
	Hop     string
	Bastion bool // Hop is a bastion
	Err     error
	// Trusted has the fingerprints ("SHA256:…") of keys that were trusted on
	// first use before it failed, by hop: credentials went to these hosts.
	Trusted map[string]string
	Steps   []Step // up to and with the one that failed

	at      int      // counts the hops from 1; zero: not decided
	stale   bool     // a connection that stood was found dead before it was used
	records []record // of the bastions
}

// FirstUse returns Trusted.
func (e *Error) FirstUse() map[string]string { return e.Trusted }

// Error implements error.
func (e *Error) Error() string {
	role := "device"
	if e.Bastion {
		role = "bastion"
	}
	return fmt.Sprintf("dialing %s %q: %s: %s: %v", role, e.Hop, e.Phase, e.Kind, e.Err)
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// blame names the hop by its place in the chain, unless one is named already.
func (e *Error) blame(depth int) *Error {
	if e.at == 0 {
		e.at = depth + 1
	}
	return e
}

// clone is for one of many who get the same error.
func (e *Error) clone() *Error {
	c := *e
	c.records = slices.Clip(c.records)
	return &c
}

// refused tells whether the credential was.
func (e *Error) refused() bool { return e.Kind == KindAuth || e.Kind == KindLockedOut }

var errTime = errors.New("no answer in time")

// connectKind decides what a TCP dial ended with.
func connectKind(err error) (Phase, Kind) {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return PhaseConnect, KindCancelled
	case errors.As(err, &dns):
		return PhaseResolve, KindResolve
	case errors.Is(err, syscall.ECONNREFUSED):
		return PhaseConnect, KindRefused
	case isCut(err):
		return PhaseConnect, KindThrottled
	}
	return PhaseConnect, KindConnect
}

// forwardKind decides what a bastion answered to direct-tcpip (RFC 4254 §5.1).
// ours says that it is the bastion that is at fault, not the hop behind it.
// OpenSSH tells why it could not connect in words only.
func forwardKind(open *ssh.OpenChannelError) (kind Kind, ours bool) {
	switch open.Reason {
	case ssh.ConnectionFailed:
		return connectWords(open.Message), false
	case ssh.ResourceShortage:
		return KindThrottled, true
	}
	return KindForwardRefused, true
}

func connectWords(message string) Kind {
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "refused"):
		return KindRefused
	case strings.Contains(m, "not known"), strings.Contains(m, "name resolution"),
		strings.Contains(m, "unknown host"), strings.Contains(m, "no such host"):
		return KindResolve
	}
	return KindConnect
}

// linkKind decides what an established connection ended with.
func linkKind(err error) Kind {
	switch {
	case errors.Is(err, context.Canceled):
		return KindCancelled
	case errors.Is(err, errTime), errors.Is(err, context.DeadlineExceeded):
		return KindTimeout
	}
	return KindClosed
}

// causeKind decides what the end of a context means: a caller may give a cause of
// his own to a cancel.
func causeKind(cause error) Kind {
	if errors.Is(cause, errTime) || errors.Is(cause, context.DeadlineExceeded) {
		return KindTimeout
	}
	return KindCancelled
}

// isCut tells whether the other side ended the connection without a word. The
// SSH package closes its side when a write fails, and may report that instead.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
