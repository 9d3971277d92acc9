package device

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

var (
	errSpent  = errors.New("the password was refused")
	errPrompt = errors.New("the server asks for something else than a password")
	errOver   = errors.New("the log-in was given up")
	errWeak   = errors.New("the server takes the key only with a signature by SHA-1")
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
	legacy bool
	ear    ear

	mu       sync.Mutex // guards password and signer, which are gone when the log-in is over
	password []byte     // empty: none
	signer   ssh.Signer // nil: none

	weak    atomic.Bool // the server wants a signature that only Legacy allows
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
			l.trying("publickey")
			return l.key()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.password) == 0:
		return "", errOver
	case l.sent.Swap(true):
		return "", errSpent
	}
	return string(l.password), nil
}

// key gives the private key.
func (l *login) key() ([]ssh.Signer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.signer.(ssh.AlgorithmSigner)
	switch {
	case l.signer == nil:
		return nil, errOver
	case ok && !l.legacy:
		l.sent.Store(true)
		return []ssh.Signer{strong{s, l}}, nil
	}
	l.sent.Store(true)
	return []ssh.Signer{l.signer}, nil
}

// end forgets the credential. A log-in that was given up may go on in a goroutine
// for a while, and a connection that stands keeps what it was made with; the
// password may be wiped by its owner then.
func (l *login) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.password, l.signer = nil, nil
}

// strong is a private key that does not sign by SHA-1. The SSH package falls back
// to that by itself where a server does not say what it takes.
type strong struct {
	ssh.AlgorithmSigner
	login *login
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s strong) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if isWeak(algorithm) {
		s.login.weak.Store(true)
		return nil, errWeak
	}
	return s.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}

// isWeak tells a signature algorithm that rests on SHA-1.
func isWeak(algorithm string) bool { return algorithm == ssh.KeyAlgoRSA || algorithm == dsa }

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
	if l.weak.Load() {
		return KindAlgorithms, &algorithmError{"signature by the private key", "SHA-1 only", true}
	}
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
