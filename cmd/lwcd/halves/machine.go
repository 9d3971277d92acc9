package halves

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"lwc/transport/wire"
)

// Machine is what the collector half can ask for of the machine. Errors that are
// ErrRefused say in words why a thing is not done here; nothing has been tried then.
type Machine interface {
	// Restart ends this half cleanly and starts another one, for the sake of that
	// job. When it was done for that job already, it says so instead.
	Restart(ctx context.Context, job string) (Restarted, error)
	// Update hands that job to the updater, once, and waits until it has said more
	// than After lines, or has ended.
	Update(context.Context, Update) (Progress, error)
	// SetClock sets the machine's clock by the cloud's, which differs from it by
	// that much, where nothing better keeps it.
	SetClock(ctx context.Context, ahead time.Duration) (ClockSet, error)
}

// ErrRefused: the supervisor does not do that here.
var ErrRefused = errors.New("refused")

// Restarted tells what became of a restart.
type Restarted struct {
	// Done is when the half that was asked for came up; zero: it is still to come,
	// and the half that asked is about to be stopped.
	Done time.Time `json:"done,omitzero"`
}

// Update is one job for the updater, and what is known of it.
type Update struct {
	Job     string `json:"job"`
	Release string `json:"release,omitempty"` // wanted; empty: the newest
	Source  string `json:"source,omitempty"`  // URL of its manifest; empty: the updater's own
	// Files says that the half has put the release into its spool, as the updater
	// asked by Progress.Fetch. Where the spool lies the supervisor knows by itself.
	Files    bool      `json:"files,omitempty"`
	RebootAt time.Time `json:"reboot_at,omitzero"` // when what is installed is started; zero: at once
	// RebootBefore is until when it is installed; zero: for ever.
	RebootBefore time.Time `json:"reboot_before,omitzero"`
	// Reset asks for something else: that the machine forgets its identity and its
	// settings. No other field but the job counts then.
	Reset bool `json:"reset,omitempty"`
	After int  `json:"after"` // lines that were heard already
}

// release is a word that is safe in any file name: it comes from outside.
var release = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// maxSource bounds the URL of a release.
const maxSource = 500

// Check returns an error unless the fields have the form that they must have. Who
// signed them is for the updater to ask.
func (u Update) Check() error {
	if err := wire.CheckID(u.Job); err != nil {
		return fmt.Errorf("%w: the job: %w", ErrRefused, err)
	}
	if u.Release != "" && !release.MatchString(u.Release) {
		return fmt.Errorf("%w: the release %.80q is no word of letters, digits and . _ + -", ErrRefused, u.Release)
	}
	if u.Source == "" {
		return nil
	}
	at, err := url.Parse(u.Source)
	if err != nil || len(u.Source) > maxSource || at.Scheme != "https" || at.Host == "" || at.User != nil {
		return fmt.Errorf("%w: the source %.80q is no address that begins with https://", ErrRefused, u.Source)
	}
	return nil
}

// Progress is how far the updater is.
type Progress struct {
	Lines int    `json:"lines"`          // that it has said
	Text  string `json:"text,omitempty"` // the last one
	Ended bool   `json:"ended,omitempty"`
	OK    bool   `json:"ok,omitempty"` // how it ended; Text tells the result, or why not
	// Fetch: it ended because it has to be asked again, with Files.
	Fetch bool `json:"fetch,omitempty"`
	// Waiting: it ended, the job has not: a restart of the machine is to come, and what
	// becomes of it is told after that.
	Waiting bool `json:"waiting,omitempty"`
}

// ClockSet tells what became of the machine's clock.
type ClockSet struct {
	Set  bool   `json:"set"`
	Text string `json:"text,omitempty"` // where not: why
}

type jobArgs struct {
	Job string `json:"job"`
}

type clockArgs struct {
	Ahead time.Duration `json:"ahead"`
}

// machine answers a request about the machine.
func (o Offer) machine(ctx context.Context, call string, args json.RawMessage) (any, error) {
	switch call {
	case callRestart:
		a, err := reads[jobArgs](args)
		if err == nil && wire.CheckID(a.Job) != nil {
			err = ErrProtocol
		}
		if err != nil {
			return nil, err
		}
		return o.Machine.Restart(ctx, a.Job)
	case callUpdate:
		u, err := reads[Update](args)
		if err != nil {
			return nil, err
		}
		if err := u.Check(); err != nil {
			return nil, err
		}
		return o.Machine.Update(ctx, u)
	}
	a, err := reads[clockArgs](args)
	if err != nil {
		return nil, err
	}
	return o.Machine.SetClock(ctx, a.Ahead)
}

// Restart implements Machine.
func (s *Supervisor) Restart(ctx context.Context, job string) (Restarted, error) {
	var out Restarted
	err := s.peer.call(ctx, quickLimit, callRestart, jobArgs{job}, &out)
	return out, err
}

// Update implements Machine.
func (s *Supervisor) Update(ctx context.Context, u Update) (Progress, error) {
	for {
		var out Progress
		err := s.peer.call(ctx, pollLimit+grace, callUpdate, u, &out)
		if !pollAgain(ctx, err) {
			return out, err
		}
	}
}

// SetClock implements Machine.
func (s *Supervisor) SetClock(ctx context.Context, ahead time.Duration) (ClockSet, error) {
	var out ClockSet
	err := s.peer.call(ctx, quickLimit, callClock, clockArgs{ahead}, &out)
	return out, err
}
