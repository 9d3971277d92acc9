package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"lwc/cmd/lwcd/halves"
)

const (
	// What is believed of an updater: longer lines, or more of them, end it.
	maxSaidLine = 4 << 10
	maxSaid     = 10000
	// maxSaidText bounds the words of a line.
	maxSaidText = 300
	// An updater is begun this often within updateSpan at most, whatever jobs the
	// collector half asks with.
	maxUpdates = 6
	updateSpan = time.Hour
	// maxResults is how many jobs that have ended are remembered.
	maxResults = 64
)

// updater hands update jobs to the program of the configuration, one at a time.
// What the collector half asks with is checked for its form alone: whether a
// release may be installed is for the program to find out, by its signature.
type updater struct {
	conf updating
	who  identity
	log  *slog.Logger
	jobs chan order // capacity 1: the one to begin next

	mu     sync.Mutex    // guards what follows
	known  []*updateJob  // oldest first; only the last one may not have ended
	more   chan struct{} // closed when there is more to tell
	begins []time.Time   // of the newest
}

// updateJob is a job that was begun.
type updateJob struct {
	id    string
	state halves.Progress
}

// updating is how updates are made; no program means that they are not.
type updating struct {
	program string
	timeout time.Duration
	// spool is the folder that the half downloads to; none: the program downloads
	// by itself. keys is the file of the keys that a release is signed by.
	spool, keys string
}

// order is what the program reads: one object of JSON.
type order struct {
	V       int    `json:"v"`
	Job     string `json:"job"`
	Release string `json:"release,omitempty"`
	Source  string `json:"source,omitempty"`
	Running string `json:"running"` // the release that runs now
}

// said is one line that it answers with.
type said struct {
	State string `json:"state"`
	Text  string `json:"text"`
}

// The states of said.
const (
	saidRunning = "running"
	saidDone    = "done"
	saidFailed  = "failed"
)

func newUpdater(conf updating, who identity, log *slog.Logger) *updater {
	return &updater{conf: conf, who: who, log: log, jobs: make(chan order, 1), more: make(chan struct{})}
}

// ask begins a job unless that was done before, and waits until the program has
// said more than u.After lines, or has ended.
func (u *updater) ask(ctx context.Context, j halves.Update) (halves.Progress, error) {
	if err := u.begin(j); err != nil {
		return halves.Progress{}, err
	}
	for {
		state, more := u.progress(j.Job)
		if state.Ended || state.Lines > j.After {
			return state, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return halves.Progress{}, ctx.Err()
		}
	}
}

// find returns a job that is remembered, else nil. The caller holds mu.
func (u *updater) find(job string) *updateJob {
	if i := slices.IndexFunc(u.known, func(k *updateJob) bool { return k.id == job }); i >= 0 {
		return u.known[i]
	}
	return nil
}

func (u *updater) begin(j halves.Update) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.known)
	switch {
	case u.conf.program == "":
		return fmt.Errorf("%w: this machine has no updater (update.program of lwcd.toml names one): update it by its own means", halves.ErrRefused)
	case u.find(j.Job) != nil:
		return nil
	case n > 0 && !u.known[n-1].state.Ended:
		return fmt.Errorf("%w: the update %s is under way", halves.ErrRefused, u.known[n-1].id)
	case u.tooMany():
		return fmt.Errorf("%w: %d updates were begun within %v: try again later", halves.ErrRefused, maxUpdates, updateSpan)
	}
	u.begins = append(u.begins, time.Now())
	u.known = append(u.known, &updateJob{id: j.Job})
	u.known = slices.Delete(u.known, 0, max(0, len(u.known)-maxResults))
	u.jobs <- order{V: 1, Job: j.Job, Release: j.Release, Source: j.Source, Running: release()} // the one before has been taken
	return nil
}

func (u *updater) tooMany() bool {
	for len(u.begins) > 0 && time.Since(u.begins[0]) > updateSpan {
		u.begins = u.begins[1:]
	}
	return len(u.begins) >= maxUpdates
}

// progress returns how far a job is.
func (u *updater) progress(job string) (halves.Progress, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := u.find(job)
	if k == nil {
		return halves.Progress{Ended: true, Text: "too many updates came after it: its result is forgotten"}, u.more
	}
	return k.state, u.more
}

// tell changes the state of the newest job, which is the one that works.
func (u *updater) tell(change func(*halves.Progress)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.known[len(u.known)-1].state)
	close(u.more)
	u.more = make(chan struct{})
}

// run carries out what is asked for until ctx ends; a program that works is asked
// to end then.
func (u *updater) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-u.jobs:
			u.log.Info("update begun", "job", o.Job, "release", o.Release, "program", u.conf.program)
			result, err := u.carryOut(ctx, o)
			if ctx.Err() != nil {
				return nil // the job stays open: the next lwcd hands it over again
			}
			u.conclude(o, result, err)
		}
	}
}

func (u *updater) conclude(o order, result string, err error) {
	if err != nil {
		u.log.Error("update failed", "job", o.Job, "release", o.Release, "error", err)
		u.tell(func(p *halves.Progress) { p.Ended, p.Text = true, clean(err.Error()) })
		return
	}
	u.log.Info("update done", "job", o.Job, "release", o.Release, "result", result)
	u.tell(func(p *halves.Progress) { p.Ended, p.OK, p.Text = true, true, result })
}

// carryOut runs the program once, and returns its last word.
func (u *updater) carryOut(ctx context.Context, o order) (string, error) {
	if err := u.trusted(); err != nil {
		return "", err
	}
	in, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, u.conf.timeout, fmt.Errorf("the updater took longer than %v and was ended", u.conf.timeout))
	defer cancel()
	listener := &saying{each: func(text string) { u.tell(func(p *halves.Progress) { p.Lines++; p.Text = text }) }}
	complaint, err := runProgram(ctx, u.conf.program, append(in, '\n'), listener.read)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case listener.failed != "":
		return "", errors.New(listener.failed)
	case err != nil && complaint != "":
		return "", fmt.Errorf("running the updater: %w: %s", err, clean(complaint))
	case err != nil:
		return "", fmt.Errorf("running the updater: %w", err)
	case !listener.done:
		return "", errors.New("the updater ended without saying that it is done")
	}
	return listener.last, nil
}

// trusted looks at the program each time anew: only root may be able to change it.
func (u *updater) trusted() error {
	f, info, err := openPlain(u.conf.program, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("looking at the updater: %w", err)
	}
	defer f.Close()
	if info.Mode()&0o022 != 0 {
		return fmt.Errorf("looking at the updater: others than root may write %s: chmod go-w", u.conf.program)
	}
	if err := u.who.kept(u.conf.program); err != nil {
		return fmt.Errorf("looking at the updater: %w", err)
	}
	return nil
}

// saying reads what an updater says.
type saying struct {
	each func(text string)

	done         bool
	failed, last string
}

// read takes lines until their end. An error says that the program breaks the
// rules, and is to be ended.
func (s *saying) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxSaidLine), maxSaidLine)
	for n := 1; lines.Scan(); n++ {
		if n > maxSaid {
			return fmt.Errorf("it said more than %d lines", maxSaid)
		}
		one, err := parseSaid(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		s.hear(one)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading what it says: %w", err)
	}
	return nil
}

func (s *saying) hear(one said) {
	s.last = one.Text
	switch one.State {
	case saidDone:
		s.done = true
	case saidFailed:
		s.failed = "the updater says: " + one.Text
	default:
		s.each(one.Text)
	}
}

// parseSaid reads one line of an updater. Fields that are not known are passed
// over; the text is made fit to be shown.
func parseSaid(line []byte) (said, error) {
	var one said
	if err := json.Unmarshal(bytes.TrimSpace(line), &one); err != nil {
		return said{}, errors.New(`it is not {"state": "…", "text": "…"}`)
	}
	switch one.State {
	case saidRunning, saidDone, saidFailed:
	default:
		return said{}, fmt.Errorf("the state %.20q is none of %s, %s, %s", one.State, saidRunning, saidDone, saidFailed)
	}
	one.Text = clean(one.Text)
	return one, nil
}

// clean bounds a text from outside and takes out what could not be printed.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxSaidText {
		s = strings.ToValidUTF8(s[:maxSaidText], "") + "…"
	}
	return s
}
