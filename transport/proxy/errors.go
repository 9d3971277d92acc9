package proxy

import (
	"fmt"
	"strings"
)

// Kind is what sort of failure a proxy caused.
type Kind string

// The kinds of an Error.
const (
	KindUnreachable Kind = "unreachable" // no connection to the proxy, or none with TLS
	KindCredentials Kind = "credentials" // 407 (or 401): it wants to know who asks, or does not know who does
	KindRefused     Kind = "refused"     // 403 and other 4xx: it does not let this destination be reached
	KindDestination Kind = "destination" // 5xx: it could not reach the destination
	KindProtocol    Kind = "protocol"    // what answers is no HTTP proxy
	KindTimeout     Kind = "timeout"     // it did not answer in time
)

// Error is a dial that failed at the proxy.
type Error struct {
	Kind   Kind
	Proxy  string // its URL
	Target string // what was dialled through it
	Status int    // of its answer; 0 when there is none
	Detail string // what it said, printable and bounded
	// Schemes are those by which the proxy wants to be told who asks, of a 407.
	Schemes []string
	Sent    bool  // credentials were sent
	Err     error // the cause, of those without a status
}

// Error names the proxy, the destination, what happened and what to do.
func (e *Error) Error() string {
	what := e.Detail
	switch {
	case e.Status != 0 && e.Detail != "":
		what = fmt.Sprintf("%d %s", e.Status, e.Detail)
	case e.Status != 0:
		what = fmt.Sprint(e.Status)
	case e.Err != nil:
		what = e.Err.Error()
	}
	return fmt.Sprintf("dialing %s through the proxy %s: %s: %s", e.Target, e.Proxy, what, e.Advice())
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// Advice says what to do.
func (e *Error) Advice() string {
	switch e.Kind {
	case KindCredentials:
		return e.aboutCredentials()
	case KindRefused:
		return "have the proxy allow CONNECT to this host and port"
	case KindDestination:
		return "the proxy cannot reach the destination: check its name, its port and the proxy's own way out"
	case KindProtocol:
		return "this is no HTTP proxy: check the address, and whether it is http or https"
	case KindTimeout:
		return "the proxy does not answer: check that it lets this machine in"
	}
	return "check the address of the proxy and that it runs"
}

func (e *Error) aboutCredentials() string {
	basic := len(e.Schemes) == 0
	for _, s := range e.Schemes {
		basic = basic || strings.EqualFold(s, "basic")
	}
	switch {
	case !basic:
		return fmt.Sprintf("it takes %s only, this version speaks Basic: allow that on the proxy, or let this machine pass without", strings.Join(e.Schemes, ", "))
	case e.Sent:
		return "it does not take the user and password given: correct them"
	}
	return "it wants a user and a password: give both"
}
