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
	V            int       `json:"v"`
	Job          string    `json:"job"`
	Release      string    `json:"release,omitempty"`
	Source       string    `json:"source,omitempty"`
	Running      string    `json:"running"`         // the release that runs now
	Files        string    `json:"files,omitempty"` // the folder that the release was downloaded to
	RebootAt     time.Time `json:"reboot_at,omitzero"`
	RebootBefore time.Time `json:"reboot_before,omitzero"`
	Reset        bool      `json:"factory_reset,omitempty"`
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
	saidFetch   = "fetch"   // it wants the files of the release in the spool
	saidWaiting = "waiting" // a restart is to come; the result is told after it
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
	case u.conf.spool == "" && (j.Files || j.Reset):
		return fmt.Errorf("%w: this machine has no spool for releases (update.spool of lwcd.toml): it cannot do that", halves.ErrRefused)
	case u.again(j):
		return nil
	case n > 0 && !u.known[n-1].state.Ended:
		return fmt.Errorf("%w: the update %s is under way", halves.ErrRefused, u.known[n-1].id)
	case u.tooMany():
		return fmt.Errorf("%w: %d updates were begun within %v: try again later", halves.ErrRefused, maxUpdates, updateSpan)
	}
	u.begins = append(u.begins, time.Now())
	u.start(j)
	return nil
}

// again tells whether a job was begun before. One that wants files is begun once more
// when they are there. The caller holds mu.
func (u *updater) again(j halves.Update) bool {
	k := u.find(j.Job)
	if k == nil {
		return false
	}
	if !k.state.Fetch || !j.Files || !u.known[len(u.known)-1].state.Ended {
		return true
	}
	u.known = slices.DeleteFunc(u.known, func(o *updateJob) bool { return o == k })
	u.start(j)
	return true
}

// start hands a job to run. The caller holds mu, and no other job is at work.
func (u *updater) start(j halves.Update) {
	o := order{V: 1, Job: j.Job, Release: j.Release, Source: j.Source, Running: release(), RebootAt: j.RebootAt, RebootBefore: j.RebootBefore, Reset: j.Reset}
	if j.Files {
		o.Files = u.conf.spool
	}
	u.known = append(u.known, &updateJob{id: j.Job})
	u.known = slices.Delete(u.known, 0, max(0, len(u.known)-maxResults))
	u.jobs <- o // the one before has been taken
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
			last, err := u.carryOut(ctx, o)
			if ctx.Err() != nil {
				return nil // the job stays open: the next lwcd hands it over again
			}
			u.conclude(o, last, err)
		}
	}
}

func (u *updater) conclude(o order, last said, err error) {
	if err != nil {
		u.log.Error("update failed", "job", o.Job, "release", o.Release, "error", err)
		u.tell(func(p *halves.Progress) { p.Ended, p.Text = true, clean(err.Error()) })
		return
	}
	u.log.Info("updater ended", "job", o.Job, "release", o.Release, "state", last.State, "text", last.Text)
	u.tell(func(p *halves.Progress) {
		p.Ended, p.Text, p.OK = true, last.Text, last.State == saidDone
		p.Fetch, p.Waiting = last.State == saidFetch, last.State == saidWaiting
	})
}

// carryOut runs the program once, and returns its last word.
func (u *updater) carryOut(ctx context.Context, o order) (said, error) {
	if err := u.trusted(); err != nil {
		return said{}, err
	}
	in, err := json.Marshal(o)
	if err != nil {
		return said{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, u.conf.timeout, fmt.Errorf("the updater took longer than %v and was ended", u.conf.timeout))
	defer cancel()
	listener := &saying{each: func(text string) { u.tell(func(p *halves.Progress) { p.Lines++; p.Text = text }) }}
	complaint, err := runProgram(ctx, u.conf.program, append(in, '\n'), listener.read)
	switch {
	case ctx.Err() != nil:
		return said{}, context.Cause(ctx)
	case listener.last.State == saidFailed:
		return said{}, errors.New("the updater says: " + listener.last.Text)
	case err != nil && complaint != "":
		return said{}, fmt.Errorf("running the updater: %w: %s", err, clean(complaint))
	case err != nil:
		return said{}, fmt.Errorf("running the updater: %w", err)
	case listener.last.State == "" || listener.last.State == saidRunning:
		return said{}, errors.New("the updater ended without saying that it is done")
	case listener.last.State == saidFetch && (o.Files != "" || u.conf.spool == ""):
		return said{}, errors.New("the updater wants files that it cannot be given")
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
	last said // the last line; once it is more than running, it stays that
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
	switch {
	case s.last.State == saidFailed:
	case one.State != saidRunning:
		s.last = one
	default:
		s.each(one.Text)
		if s.last.State == "" {
			s.last = one
		}
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
	case saidRunning, saidDone, saidFailed, saidFetch, saidWaiting:
	default:
		return said{}, fmt.Errorf("the state %.20q is none of %s, %s, %s, %s, %s", one.State, saidRunning, saidDone, saidFailed, saidFetch, saidWaiting)
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
