package junostest

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

var errRefused = errors.New("log-in refused")

// locked is how PAM says that too many log-ins have failed.
const locked = "Account locked due to 10 failed logins\n"

// login is what an SSH server of the fleet accepts.
type login struct {
	user, password string
	fleet          *Fleet
	fault          *faultState
}

// offer adds the log-in methods to a server. ctx ends with the connection.
func (l login) offer(ctx context.Context, cfg *ssh.ServerConfig) {
	methods := l.fleet.cfg.Auth
	switch l.fault.kind() {
	case StallAuth:
		cfg.NoClientAuth = true
		cfg.NoClientAuthCallback = func(ssh.ConnMetadata) (*ssh.Permissions, error) { return l.judge(ctx, false) }
	case EndlessPrompts:
		methods = []string{"keyboard-interactive"}
	case Lockout:
		cfg.MaxAuthTries = 1
	}
	if slices.Contains(methods, "password") {
		cfg.PasswordCallback = func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			return l.judge(ctx, l.right(c.User(), p))
		}
	}
	if slices.Contains(methods, "keyboard-interactive") {
		cfg.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return l.interview(ctx, c.User(), ask)
		}
	}
	if slices.Contains(methods, "publickey") {
		cfg.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return l.judge(ctx, l.known(c, key))
		}
	}
}

// interview is a keyboard-interactive log-in.
func (l login) interview(ctx context.Context, user string, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	if l.isLocked() {
		if _, err := ask("", locked, nil, nil); err != nil {
			return nil, err
		}
		return nil, errRefused
	}
	if l.fault.kind() == EndlessPrompts {
		return nil, l.pester(ask)
	}
	answers, err := ask("", "", []string{"Password:"}, []bool{false})
	if err != nil || len(answers) != 1 {
		return nil, errRefused
	}
	return l.judge(ctx, l.right(user, []byte(answers[0])))
}

// pester asks until the client has enough.
func (l login) pester(ask ssh.KeyboardInteractiveChallenge) error {
	questions, echos := []string{"Password:"}, []bool{false}
	if l.fault.arg() == "empty" {
		questions, echos = nil, nil
	}
	for {
		if _, err := ask("", "", questions, echos); err != nil {
			return err
		}
	}
}

// right compares a password.
func (l login) right(user string, password []byte) bool {
	return user == l.user && subtle.ConstantTimeCompare(password, []byte(l.password)) == 1
}

// known says whether a public key, or a certificate of the fleet's authority, may log in.
func (l login) known(c ssh.ConnMetadata, key ssh.PublicKey) bool {
	if c.User() != l.user {
		return false
	}
	if _, ok := key.(*ssh.Certificate); !ok {
		return l.fleet.authorized[string(key.Marshal())]
	}
	authority := l.fleet.userCA.PublicKey().Marshal()
	checker := &ssh.CertChecker{IsUserAuthority: func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), authority) }}
	_, err := checker.Authenticate(c, key)
	return err == nil
}

// judge lets a good log-in pass, unless the fault of the host is against it.
func (l login) judge(ctx context.Context, good bool) (*ssh.Permissions, error) {
	switch l.fault.kind() {
	case StallAuth:
		<-ctx.Done()
		return nil, errRefused
	case SlowAuth:
		pause(ctx, l.fault.duration(10*time.Second))
		if ctx.Err() != nil {
			return nil, errRefused // a device that goes away has let nobody in
		}
	case RefuseAuth:
		return nil, errRefused
	case Lockout:
		if l.isLocked() {
			return nil, &ssh.BannerError{Err: errRefused, Message: locked}
		}
		if !good {
			l.fault.bad.Add(1)
		}
	}
	if !good {
		return nil, errRefused
	}
	return nil, nil
}

// isLocked says that the account is locked, whatever the password.
func (l login) isLocked() bool {
	return l.fault.kind() == Lockout && l.fault.bad.Load() >= int64(l.fault.count(0))
}
