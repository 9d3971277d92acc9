package junos

import (
	"errors"
	"fmt"
)

// Kind is what went wrong with a session, in the closed set that operators and
// schedulers act on.
type Kind string

// Kinds of Error.
const (
	KindHello      Kind = "hello"       // no hello, or not a NETCONF one
	KindFraming    Kind = "framing"     // bytes that RFC 6242 does not allow
	KindClosed     Kind = "closed"      // the session is over
	KindRPCTimeout Kind = "rpc-timeout" // no byte of the reply came in time
	KindStalled    Kind = "stalled"     // the reply began and stopped
	KindTooLarge   Kind = "too-large"   // the reply is larger than the limit
	KindMessageID  Kind = "message-id"  // the reply answers another request
	KindCancelled  Kind = "cancelled"   // the caller's context ended
)

// Phases of an Error.
const (
	PhaseHello = "hello"
	PhaseRPC   = "rpc"
)

// Error is a failure of a session. What a device says in a well-formed reply is
// no Error: it is in the Result.
type Error struct {
	Kind  Kind
	Phase string // PhaseHello or PhaseRPC
	Item  string // name of the item asked for, empty during the hello
	// Pipelined: another request was under way during this one's time, and the
	// device may not bear that. The caller may try again one at a time.
	Pipelined bool
	Err       error
}

// pipelining tells whether a device that does not bear several requests may be
// the reason for an error of that kind.
func pipelining(k Kind) bool {
	switch k {
	case KindFraming, KindClosed, KindRPCTimeout, KindStalled, KindMessageID:
		return true
	}
	return false
}

// Error implements error.
func (e *Error) Error() string {
	what := "exchanging hellos"
	if e.Phase == PhaseRPC {
		what = "asking for " + e.Item
	}
	return fmt.Sprintf("%s: %s: %v", what, e.Kind, e.Err)
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Diagnosis says for an operator in which phase it happened, of which kind it
// is, and what to do.
func (e *Error) Diagnosis() (phase, kind, advice string) {
	return e.Phase, string(e.Kind), e.advice()
}

func (e *Error) advice() string {
	switch e.Kind {
	case KindHello:
		return "The device accepted the log-in but did not answer with a NETCONF hello. Check that the address and port lead to a Junos device and that \"set system services netconf ssh\" is configured."
	case KindFraming:
		return "The device sent bytes that NETCONF framing does not allow. Try again; if it happens again, collect the Junos release and open a case."
	case KindClosed:
		return e.closedAdvice()
	case KindRPCTimeout:
		return "The device did not answer this command in time. It may be busy: check the load of its routing engine, or leave the command out of its profile."
	case KindStalled:
		return "The device began to answer and then stopped, or next to stopped. Check the path to it (packet loss, MTU, an idle timer of a firewall) and the load of its routing engine."
	case KindTooLarge:
		return "The reply is larger than the limit for one document. Raise max_document_bytes in the limits of its collector, or leave the command out of its profile."
	case KindMessageID:
		return "The device answered with the number of another request, so its reply was refused and the session closed. Try again; if it happens again, open a case with the Junos release."
	case KindCancelled:
		return "The collection was stopped before the device had answered. Nothing is wrong with the device."
	}
	return "The session with the device failed. Try again later."
}

// closedAdvice tells apart who closed the session and why.
func (e *Error) closedAdvice() string {
	switch {
	case errors.Is(e.Err, errUnended):
		return "This command was not asked: the reply to the one before did not end, so the session was closed. It is asked in the next session. If it happens again, look for the command before that takes too long, and at the load of the routing engine."
	case errors.Is(e.Err, errClosed), errors.Is(e.Err, errAbandoned):
		return "The collector ended the session before the device had answered. Nothing is wrong with the device."
	case e.Phase == PhaseHello:
		return "The device accepted the log-in and closed the session before its NETCONF hello. It may have reached its session limit (\"system services netconf ssh connection-limit\"), or be short of processes; try again later. If it always does, look at its log."
	case e.Pipelined:
		return "The device closed the session while several requests were under way. It may not bear that: set pipeline to 1 for it. If it closes the session then too, look at its session limit (\"system services netconf ssh connection-limit\") and its log."
	}
	return "The device closed the session early. It may have restarted or be short of processes, an administrator may have closed the session, or a firewall on the path may have cut it. Try again later; if it happens at the same command again, look for core dumps."
}
