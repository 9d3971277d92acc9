package netguard

import (
	"errors"
	"fmt"
	"time"
)

// What a caller may tell apart with errors.Is.
var (
	// ErrBlocked: the last verification found a violation; nothing is dialled.
	ErrBlocked = errors.New("ports are blocked")
	// ErrClosed: the guard was closed.
	ErrClosed = errors.New("guard is closed")
	// ErrNotAllowed: this port must not reach that address.
	ErrNotAllowed = errors.New("address not allowed")
	// ErrWrongNamespace: a socket or thread is not in the namespace it must be in.
	ErrWrongNamespace = errors.New("wrong network namespace")
	// ErrExtraInterface: there is an interface where none may be.
	ErrExtraInterface = errors.New("extra interface")
	// ErrNoInterface: the interface of a port is not there (yet).
	ErrNoInterface = errors.New("no such interface")
	// ErrSameInterface: one interface is named for both ports.
	ErrSameInterface = errors.New("same interface for both ports")
	// ErrInterfaceInUse: the interface carries or is part of another one.
	ErrInterfaceInUse = errors.New("interface in use")
	// ErrSameSegment: a frame sent by one port arrives at the other.
	ErrSameSegment = errors.New("both ports are in one network segment")
	// ErrInUse: another process guards these namespaces.
	ErrInUse = errors.New("ports are guarded by another process")
	// ErrPrivilege: the process may not do what the mode needs.
	ErrPrivilege = errors.New("missing privilege")
	// ErrUnsupported: the kernel lacks a feature that the mode needs.
	ErrUnsupported = errors.New("unsupported by this kernel")
	// ErrUnprotected: there is nothing to verify in mode unprotected.
	ErrUnprotected = errors.New("ports are not protected")
	// ErrNoDNS: a name was dialled from a port without DNS servers.
	ErrNoDNS = errors.New("no dns servers configured")
)

// ConfigError is one thing wrong with a Config.
type ConfigError struct {
	Port    Side   // empty when it is not about one port
	Field   string // as in Port, lower case: interface, mac, address, gateway, route, dns, mtu
	Value   string // empty when it is missing
	Problem string
	Advice  string
	Err     error // optional
}

// Error names the port, the value, the problem and what to do.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s%s%s %s: %s", portPrefix(e.Port), e.Field, quoted(e.Value), e.Problem, e.Advice)
}

// Unwrap returns the cause, if there is one.
func (e *ConfigError) Unwrap() error { return e.Err }

// OverlapError says that something of one port lies in something of the other.
type OverlapError struct {
	Port  Side
	Value string // "address 10.0.0.2/24" or "route 10.0.0.0/8"
	Other Side
	// OtherValue has the form of Value.
	OtherValue string
	// Relation is how Value lies to OtherValue: "equals", "lies inside" or "covers".
	Relation string
}

// Error names both ports, both values and what to do.
func (e *OverlapError) Error() string {
	return fmt.Sprintf("%s port: %s %s %s of the %s port: the two ports need separate subnets, change one of them",
		e.Port, e.Value, e.Relation, e.OtherValue, e.Other)
}

// LinkError is something wrong with the link of a port.
type LinkError struct {
	Port   Side
	Link   string
	Detail string
	Advice string
	Err    error // one of the sentinels of this package, or the kernel's
}

// Error names the port, the link, what is wrong and what to do.
func (e *LinkError) Error() string {
	s := fmt.Sprintf("%s port: interface%s: %v", e.Port, quoted(e.Link), e.Err)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Advice != "" {
		s += ": " + e.Advice
	}
	return s
}

// Unwrap returns the sentinel or the kernel's error.
func (e *LinkError) Unwrap() error { return e.Err }

// Kind is what sort of violation was found.
type Kind string

// The kinds of a Violation.
const (
	KindNamespace      Kind = "namespace"       // a namespace is not the one that was opened
	KindHomeHoldsPort  Kind = "home-holds-port" // a port is in the namespace of the process
	KindExtraInterface Kind = "extra-interface"
	KindLink           Kind = "link"    // the link is missing, replaced, down, enslaved or redirected
	KindAddress        Kind = "address" // an address is missing, foreign or used by another host
	KindRoute          Kind = "route"   // a route is missing or foreign
	KindRule           Kind = "rule"    // a routing rule is missing or foreign
	KindSysctl         Kind = "sysctl"
	KindOverlap        Kind = "overlap"         // the ports share addresses
	KindFilter         Kind = "nftables"        // a table of ours was changed, or a foreign one is there
	KindQueue          Kind = "traffic-control" // a queueing discipline that can redirect frames
	KindSegment        Kind = "same-segment"    // ErrSameSegment
	KindWatch          Kind = "watch"           // what happens in the kernel cannot be followed
)

// Violation is one way in which the kernel differs from what was configured.
type Violation struct {
	Kind   Kind
	Port   Side // empty when it is about the namespace of the process
	Detail string
	Healed bool
	At     time.Time
	cure   remedy
	cause  error // optional: what Unwrap returns
}

// Error says where and what.
func (v *Violation) Error() string {
	return fmt.Sprintf("%s%s: %s", portPrefix(v.Port), v.Kind, v.Detail)
}

// Unwrap returns the *OverlapError of a lease that was refused, and the sentinel
// of the violations that have one.
func (v *Violation) Unwrap() error {
	if v.cause != nil {
		return v.cause
	}
	switch v.Kind {
	case KindSegment:
		return ErrSameSegment
	case KindExtraInterface:
		return ErrExtraInterface
	case KindNamespace:
		return ErrWrongNamespace
	}
	return nil
}

func portPrefix(s Side) string {
	if s == "" {
		return ""
	}
	return string(s) + " port: "
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf(" %q", s)
}
