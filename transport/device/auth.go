package device

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

var (
	errSpent  = errors.New("the password was refused")
	errPrompt = errors.New("the server asks for something else than a password")
)

// methodError says that the server does not offer the configured method.
type methodError struct {
	offered string
	err     error
}

// Error implements error.
func (e *methodError) Error() string {
	return fmt.Sprintf("the server does not offer the configured method, only %s: %v", e.offered, e.err)
}

// Unwrap implements errors.Unwrap.
func (e *methodError) Unwrap() error { return e.err }

// passwordPrompt is what may be answered; newPassword is what may not, though
// it looks alike: the password expired.
var (
	passwordPrompt = regexp.MustCompile(`(?i)pass(word|code)`)
	newPassword    = regexp.MustCompile(`(?i)\b(new|again|retype|change|changing)\b`)
)

// maxRounds of keyboard-interactive: one asks, others inform.
const maxRounds = 4

// login is one attempt to log in: it counts what was sent.
type login struct {
	user     string
	password []byte     // empty: none
	signer   ssh.Signer // nil: none
	ear      ear

	sent    atomic.Bool // the password, or a signature, went out
	strange atomic.Bool // the server asked what is not answered
	rounds  atomic.Int32
	method  atomic.Pointer[string]   // the last one tried
	offered atomic.Pointer[[]string] // methods of the server, as last heard
}

// methods returns exactly the configured ones.
func (l *login) methods() ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if l.signer != nil {
		methods = append(methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			l.sent.Store(true)
			l.trying("publickey")
			return []ssh.Signer{l.signer}, nil
		}))
	}
	if len(l.password) > 0 {
		methods = append(methods, ssh.KeyboardInteractive(l.answer), ssh.PasswordCallback(func() (string, error) {
			l.trying("password")
			return l.reveal()
		}))
	}
	if len(methods) == 0 {
		return nil, errNoAuth
	}
	return methods, nil
}

func (l *login) trying(method string) { l.method.Store(&method) }

// reveal gives the password once, to whichever method needs it first: each
// refusal counts towards the lock of the account.
func (l *login) reveal() (string, error) {
	if l.sent.Swap(true) {
		return "", errSpent
	}
	return string(l.password), nil
}

// answer is the keyboard-interactive side (RFC 4256). Instructions without a
// prompt are let pass; the one prompt that is answered hides its input and asks
// for a password, not for a new one.
func (l *login) answer(name, instruction string, prompts []string, echos []bool) ([]string, error) {
	l.trying("keyboard-interactive")
	l.ear.hear(name, instruction)
	l.ear.hear(prompts...)
	switch {
	case l.rounds.Add(1) > maxRounds:
		l.strange.Store(true)
		return nil, errPrompt
	case len(prompts) == 0:
		return nil, nil
	case len(prompts) > 1, echos[0], !passwordPrompt.MatchString(prompts[0]), newPassword.MatchString(prompts[0]):
		l.strange.Store(true)
		return nil, errPrompt
	}
	p, err := l.reveal()
	return []string{p}, err
}

// explain tells what is known about a refusal besides the words of the SSH
// package, and whether the server says that the account is locked.
func (l *login) explain(err error) (Kind, error) {
	kind := KindAuth
	if l.ear.saidLocked() {
		kind = KindLockedOut
	}
	offered := l.offered.Load()
	switch {
	case l.strange.Load():
		return kind, errPrompt
	case l.sent.Load() || offered == nil || len(*offered) == 0:
		return kind, err
	}
	names := slices.Compact(slices.Sorted(slices.Values(*offered)))
	return kind, &methodError{plain(strings.Join(names, ", "), maxDetail), err}
}
