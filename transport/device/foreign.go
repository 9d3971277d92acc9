package device

import (
	"fmt"
	"regexp"
	"strconv"
)

// foreign is an error whose text a server may have written: it is made plain
// before anyone reads it, and its type stays reachable.
type foreign struct{ err error }

const maxForeign = 300

// Error implements error.
func (f foreign) Error() string { return plain(f.err.Error(), maxForeign) }

// Unwrap implements errors.Unwrap.
func (f foreign) Unwrap() error { return f.err }

// disconnect is SSH_MSG_DISCONNECT (RFC 4253 §11.1). What the server said with
// it is looked at, and not kept.
type disconnect struct {
	reason int
	locked bool // its words say that the account is locked
}

// Error implements error.
func (d *disconnect) Error() string {
	return fmt.Sprintf("the server ended the connection, with reason %d of SSH", d.reason)
}

// Reasons of RFC 4253 §11.1 that tell more than the phase does.
const (
	reasonTooManyConnections = 12
	reasonNoMoreMethods      = 14
)

// disconnectText is how the SSH package tells a disconnect: it has no type for it.
var disconnectText = regexp.MustCompile(`ssh: disconnect, reason (\d+): `)

// asDisconnect returns nil when err is something else.
func asDisconnect(err error) *disconnect {
	text := err.Error()
	m := disconnectText.FindStringSubmatchIndex(text)
	if m == nil {
		return nil
	}
	reason, err := strconv.Atoi(text[m[2]:m[3]])
	if err != nil {
		return nil
	}
	return &disconnect{reason, saysLocked(text[m[1]:])}
}
