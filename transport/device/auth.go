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
	errNoAuth = errors.New("neither password nor private key is configured")
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
	auth    Auth
	sent    atomic.Bool // the password, or a signature, went out
	rounds  atomic.Int32
	offered []string // methods of the server, as last heard
}

// methods returns exactly the configured ones.
func (l *login) methods() ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if !l.auth.PrivateKey.Empty() {
		signer, err := parseKey(l.auth)
		if err != nil {
			return nil, err
		}
		methods = append(methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			l.sent.Store(true)
			return []ssh.Signer{signer}, nil
		}))
	}
	if !l.auth.Password.Empty() {
		methods = append(methods, ssh.KeyboardInteractive(l.answer), ssh.PasswordCallback(l.password))
	}
	if len(methods) == 0 {
		return nil, errNoAuth
	}
	return methods, nil
}

func parseKey(a Auth) (ssh.Signer, error) {
	var signer ssh.Signer
	var err error
	if a.Passphrase.Empty() {
		signer, err = ssh.ParsePrivateKey(a.PrivateKey.Reveal())
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(a.PrivateKey.Reveal(), a.Passphrase.Reveal())
	}
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	return signer, nil
}

// password is asked once, by whichever method needs it first: each refusal
// counts towards the lock of the account.
func (l *login) password() (string, error) {
	if l.sent.Swap(true) {
		return "", errSpent
	}
	return string(l.auth.Password.Reveal()), nil
}

// answer is the keyboard-interactive side (RFC 4256). Instructions without a
// prompt are let pass; the one prompt that is answered hides its input and asks
// for a password, not for a new one.
func (l *login) answer(_, _ string, prompts []string, echos []bool) ([]string, error) {
	switch {
	case l.rounds.Add(1) > maxRounds:
		return nil, errPrompt
	case len(prompts) == 0:
		return nil, nil
	case len(prompts) > 1, echos[0], !passwordPrompt.MatchString(prompts[0]), newPassword.MatchString(prompts[0]):
		return nil, errPrompt
	}
	p, err := l.password()
	return []string{p}, err
}

// listen keeps what the server offers.
func (l *login) listen(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.offered = c.AllowedMethods
	return nil, nil
}

// explain adds to a refusal what the server would have taken.
func (l *login) explain(err error) error {
	if l.sent.Load() || len(l.offered) == 0 || errors.Is(err, errPrompt) {
		return err
	}
	offered := slices.Compact(slices.Sorted(slices.Values(l.offered)))
	return &methodError{strings.Join(offered, ", "), err}
}
