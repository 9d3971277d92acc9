package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/image/sitefile"
	"lwc/transport/boxkey"
	"lwc/transport/secret"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// membership is the task that makes the box a collector: it loads the identity,
// or enrols with the token that somebody puts on the box.
type membership struct {
	conf   config
	ports  task
	tokens halves.Tokens
	dial   uplink.DialFunc // to the cloud
	log    *slog.Logger
	ready  chan struct{}
	// keyless: there is an identity, and its key cannot be used.
	keyless atomic.Bool

	mu   sync.Mutex // guards what follows
	id   uplink.Identity
	text string    // status
	beat time.Time // of the last progress; zero: the ports are waited for
}

const (
	// tokenPoll is how often the token file is looked at.
	tokenPoll = time.Second
	// maxBeat is how old the last look at the token file may be.
	maxBeat = 30 * time.Second
	// The first and the longest pause after a failure that may pass.
	firstPause, lastPause = time.Second, time.Minute
)

func newMembership(conf config, p task, tokens halves.Tokens, dial uplink.DialFunc, log *slog.Logger) *membership {
	return &membership{conf: conf, ports: p, tokens: tokens, dial: dial, log: log, ready: make(chan struct{})}
}

func (m *membership) String() string         { return "enrolment" }
func (m *membership) Ready() <-chan struct{} { return m.ready }

// Alive says whether the wait for a token, or an attempt to enrol, goes on.
func (m *membership) Alive(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.beat.IsZero() {
		return nil
	}
	if age := time.Since(m.beat); !isReady(m) && age > maxBeat {
		return fmt.Errorf("no progress for %s", age.Round(time.Second))
	}
	return nil
}

func (m *membership) status() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text
}

// say sets the status, and counts as progress.
func (m *membership) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text, m.beat = fmt.Sprintf(format, args...), time.Now()
}

// identity is what was loaded or issued. It is used after Ready.
func (m *membership) identity() uplink.Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Run returns when the box has an identity.
func (m *membership) Run(ctx context.Context) error {
	if !await(ctx, m.ports) {
		return nil
	}
	m.progress()
	id, err := m.load(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		m.log.Info("identity loaded", "collector", id.Collector, "key", string(boxkey.PlaceOf(id.Key)))
		// A power cut after the identity was saved leaves a second copy of its key.
		if err := dropPending(m.conf.stateDir); err != nil {
			m.log.Warn("removing the key of the enrolment that is over", "error", err)
		}
		if _, err := m.tokens.Stamp(ctx); err == nil {
			m.log.Warn("the enrolment token is ignored: this box has an identity; to enrol it anew, empty the state folder",
				"token_file", m.conf.tokenFile, "state_dir", m.conf.stateDir)
		}
	case errors.Is(err, uplink.ErrIdentity), errors.Is(err, fs.ErrNotExist):
		if errors.Is(err, uplink.ErrIdentity) {
			m.log.Error("loading the identity", "error", err)
		}
		if id, err = m.enrol(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	default:
		return fmt.Errorf("loading the identity from %s: %w", m.conf.stateDir, err)
	}
	m.mu.Lock()
	m.id = id
	m.mu.Unlock()
	close(m.ready)
	return nil
}

// enrol takes token after token until one works. Each is tried until it worked
// or was refused for good; then the next one is waited for. The error is about
// this box alone.
func (m *membership) enrol(ctx context.Context) (uplink.Identity, error) {
	for used := (halves.Stamp{}); ; {
		token, seen, ok := m.awaitToken(ctx, used)
		if !ok {
			return uplink.Identity{}, nil
		}
		used = seen
		id, err := m.useToken(ctx, token, seen)
		token.Secret.Wipe()
		var local *stateError
		switch {
		case err == nil:
			return id, m.keep(ctx, &id)
		case ctx.Err() != nil:
			return uplink.Identity{}, nil
		case errors.As(err, &local):
			return uplink.Identity{}, err
		case errors.Is(err, errTokenChanged):
			used = halves.Stamp{}
		default:
			m.refused(err)
		}
	}
}

// keep saves the identity, and only then erases what led to it.
func (m *membership) keep(ctx context.Context, id *uplink.Identity) error {
	if err := id.Save(m.conf.stateDir); err != nil {
		return fmt.Errorf("saving the identity to %s: %w", m.conf.stateDir, err)
	}
	m.log.Info("enrolled", "collector", id.Collector, "cloud", id.URL)
	if err := errors.Join(m.tokens.Erase(ctx), dropPending(m.conf.stateDir)); err != nil {
		// The token is used up at the cloud in any case.
		m.log.Warn("erasing the used enrolment token", "error", err)
	}
	return nil
}

// refused tells of a token that will not work.
func (m *membership) refused(err error) {
	m.log.Error("enrolling", "error", err, "advice", m.newToken())
	m.say("not enrolled: %v; %s", err, m.newToken())
}

// newToken says how a box gets one: on the appliance in a new file of its site.
func (m *membership) newToken() string {
	if m.conf.tokenFile == sitefile.TokenPath {
		return "get a new " + sitefile.Name + " from the portal and plug it in"
	}
	return "put a new token into " + m.conf.tokenFile
}

// awaitToken waits for a token file other than the one already used.
func (m *membership) awaitToken(ctx context.Context, used halves.Stamp) (wire.Token, halves.Stamp, bool) {
	if used == (halves.Stamp{}) {
		m.say("not enrolled: waiting for an enrolment token (%s)", m.newToken())
	}
	for told := used; ; {
		seen, err := m.tokens.Stamp(ctx)
		if err == nil && seen.Size > 0 && seen != told {
			token, read, err := m.readToken(ctx)
			if err == nil {
				return token, read, true
			}
			told = seen
			m.refused(err)
		} else if err != nil && ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) && told == (halves.Stamp{}) {
			told = halves.Stamp{Size: -1}
			m.refused(err)
		}
		m.progress()
		if !sleep(ctx, tokenPoll) {
			return wire.Token{}, halves.Stamp{}, false
		}
	}
}

func (m *membership) progress() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beat = time.Now()
}

// stateError says that the state folder cannot be used: no token helps.
type stateError struct{ err error }

func (e *stateError) Error() string { return e.err.Error() }
func (e *stateError) Unwrap() error { return e.err }

var errTokenChanged = errors.New("the token file has changed")

// useToken enrols, and tries again while the failure may pass: the cloud is not
// reachable yet, or an administrator has still to approve. The key stays the
// same, so that the cloud knows who asks again. It ends with errTokenChanged
// when the file holds another token.
func (m *membership) useToken(ctx context.Context, token wire.Token, seen halves.Stamp) (uplink.Identity, error) {
	key, err := m.newKey(ctx)
	if err != nil {
		return uplink.Identity{}, err
	}
	watched, stop := m.untilChanged(ctx, seen)
	defer stop()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		m.say("enrolling at %s", token.URL)
		id, err := uplink.Enrol(watched, uplink.EnrolConfig{Token: token, CollectorID: m.conf.collectorID, Key: key,
			Dial: m.dial, Logger: m.log})
		if err == nil || final(err) {
			return id, err
		}
		if watched.Err() != nil {
			return id, context.Cause(watched)
		}
		wait := pause/2 + rand.N(pause/2)
		m.log.Warn("enrolling failed and is tried again", "error", err, "retry_in", wait.String())
		m.say("not enrolled yet: %v; trying again", err)
		if !sleep(watched, wait) {
			return id, context.Cause(watched)
		}
	}
}

// untilChanged returns a context that ends when the token file changes.
func (m *membership) untilChanged(ctx context.Context, seen halves.Stamp) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for sleep(ctx, tokenPoll) {
			m.progress()
			now, err := m.tokens.Stamp(ctx)
			if ctx.Err() == nil && (err != nil || now != seen) {
				cancel(errTokenChanged)
			}
		}
	})
	return ctx, func() {
		cancel(context.Canceled)
		watch.Wait()
	}
}

// final tells whether the same token cannot work later.
func final(err error) bool {
	var r *uplink.RefusedError
	return errors.As(err, &r) || errors.Is(err, uplink.ErrWrongCA)
}

// readToken asks for the token that is there.
func (m *membership) readToken(ctx context.Context) (wire.Token, halves.Stamp, error) {
	given, err := m.tokens.Read(ctx)
	if err != nil {
		return wire.Token{}, halves.Stamp{}, err
	}
	text := secret.New(given.Text)
	defer text.Wipe()
	token, err := wire.ParseToken(wire.EnrolToken, text)
	return token, given.Stamp, err
}
