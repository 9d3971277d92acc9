package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"
)

// session is what a device is asked through.
type session struct {
	*program        // nil in ModeCLI
	head     []byte // read already
	mode     Mode
}

// xmlMode is the command that serves NETCONF where the subsystem is not
// configured: with the end-of-message mark, as the subsystem does.
const xmlMode = "xml-mode netconf need-trailer"

var (
	errProgram   = errors.New("the server does not start it")
	errSubsystem = errors.New("subsystem netconf refused")
)

// open asks a logged-in device for a session, as long as the phase lasts.
func (t *trip) open(ctx context.Context, c *client, try try) (*session, *Error) {
	times := t.dialer.Timeouts.withDefaults()
	timed, cancel := context.WithTimeoutCause(ctx, times.Channel, errTime)
	defer cancel()
	began := time.Now()
	type result struct {
		s   *session
		err error
	}
	done := make(chan result, 1)
	c.crew.spawn(func() {
		s, err := c.negotiate(timed, times, try, t.target.AllowCLI)
		done <- result{s, err}
	})
	var r result
	kind := subsystemKind
	select {
	case r = <-done:
	case <-timed.Done():
		r.err, kind = context.Cause(timed), causeKind
	}
	if r.err == nil {
		t.rec.step(StageSubsystem, began, string(r.s.mode), nil)
		return r.s, nil
	}
	e := &Error{Phase: PhaseSubsystem, Kind: kind(r.err), Err: foreign{r.err}}
	if via := c.line.via; via != nil && (e.Kind == KindClosed || e.Kind == KindTimeout) {
		e = via.guilty(ctx, PhaseSubsystem, e) // timed may be over
	}
	t.rec.step(StageSubsystem, began, "", e.Err)
	c.end()
	return nil, e
}

// negotiate goes down from the subsystem to what stands in for it. A refusal is
// tried again once: a device short of processes refuses too. Where a stand-in
// worked before, it is taken at the first refusal: the subsystem may have been
// enabled since, and to ask for it once costs no more than a round trip.
func (c *client) negotiate(ctx context.Context, times Timeouts, try try, cli bool) (*session, error) {
	ch, err := c.start("subsystem", "netconf")
	if errors.Is(err, errProgram) && try.known != "" {
		s, err := c.standIn(times, cli && try.known == ModeCLI)
		if err == nil || !errors.Is(err, errProgram) {
			return s, err
		}
	}
	if errors.Is(err, errProgram) && pause(ctx, times.Retry) {
		ch, err = c.start("subsystem", "netconf")
	}
	switch {
	case err == nil:
		return &session{ch, nil, ModeNETCONF}, nil
	case !errors.Is(err, errProgram):
		return nil, err
	case !try.standIns:
		return nil, errSubsystem
	}
	s, err := c.standIn(times, cli)
	if errors.Is(err, errProgram) {
		return nil, errSubsystem
	}
	return s, err
}

// standIn is what a device is asked by that does not start the subsystem.
func (c *client) standIn(times Timeouts, cli bool) (*session, error) {
	s, err := c.xmlMode(times.Channel / 2)
	if cli && errors.Is(err, errProgram) {
		return &session{mode: ModeCLI}, nil
	}
	return s, err
}

// pause returns false when the context ends before the time is over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// program runs in a session channel of a device.
type program struct {
	ssh.Channel
	over   chan struct{} // closed when the channel is
	status bool          // the program told its exit status; constant when over is closed
}

// watch takes what the server tells about the program.
func (p *program) watch(requests <-chan *ssh.Request) {
	defer close(p.over)
	for r := range requests {
		p.status = p.status || r.Type == "exit-status"
		if r.WantReply {
			r.Reply(false, nil)
		}
	}
}

// exited tells whether the program ended by itself. The status may come after
// the end of what it prints.
func (p *program) exited() bool {
	t := time.NewTimer(proofTime)
	defer t.Stop()
	select {
	case <-p.over:
		return p.status
	case <-t.C:
		return false
	}
}

// start opens a session channel and starts a program in it. Its standard error
// is drained, since it shares the window with what the program answers.
func (c *client) start(how, what string) (*program, error) {
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	p := &program{Channel: ch, over: make(chan struct{})}
	c.crew.spawn(func() { p.watch(requests) })
	ok, err := ch.SendRequest(how, true, ssh.Marshal(struct{ Text string }{what}))
	if err == nil && ok {
		c.crew.spawn(func() { io.Copy(io.Discard, ch.Stderr()) })
		return p, nil
	}
	ch.Close()
	if err != nil {
		return nil, fmt.Errorf("asking for %s %s: %w", how, what, err)
	}
	return nil, errProgram
}

// xmlMode starts the command. That a shell takes it says nothing: what counts is
// that it begins to speak XML.
func (c *client) xmlMode(limit time.Duration) (*session, error) {
	ch, err := c.start("exec", xmlMode)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(limit, func() { ch.Close() })
	defer late.Stop()
	head := make([]byte, 0, 512)
	for len(head) < cap(head) {
		n, err := ch.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if text := bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n"); len(text) > 0 {
			if text[0] == '<' {
				return &session{ch, head, ModeXML}, nil
			}
			break
		}
		if err != nil {
			break
		}
	}
	ch.Close()
	return nil, errProgram
}

func subsystemKind(err error) Kind {
	open, isOpen := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case errors.Is(err, errSubsystem), errors.Is(err, errProgram):
		return KindSubsystem
	case isOpen && open.Reason == ssh.ResourceShortage:
		return KindThrottled
	case isOpen:
		return KindSubsystem
	}
	return linkKind(err)
}
