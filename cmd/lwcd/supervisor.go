package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"lwc/cmd/lwcd/report"
	"lwc/netguard"
)

// stopLimit is how long the collector half may take for a clean stop.
const stopLimit = 9 * time.Second

// supervisor is the half of the daemon that systemd knows: it holds the ports.
type supervisor struct {
	path    string // of the configuration file
	log     *slog.Logger
	level   *slog.LevelVar
	stderr  io.Writer
	ready   chan struct{} // closed when the ports are up for the first time
	once    sync.Once     // closes ready
	safe    sync.Once     // hardens
	notify  *notifier
	notices *notices

	mu      sync.Mutex // guards what follows
	detail  string     // why the ports are not up
	cause   string     // in one word; empty: they are being brought up
	site    *site      // nil while they are not
	console string     // path, as the last good configuration says
}

// supervise is the daemon. It returns the exit code. Its state is reported to the file tell, which may be empty.
func supervise(ctx context.Context, path, tell string, stderr io.Writer) int {
	level := &slog.LevelVar{}
	s := &supervisor{path: path, level: level, stderr: stderr, ready: make(chan struct{}), notices: newNotices(),
		log: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})), detail: "starting"}
	s.notify = newNotifier(s.ready, s.alive, s.status, s.log)
	s.log.Info("starting", "version", release())
	if err := nice(supervisorNice); err != nil {
		s.log.Debug("the supervisor has the priority it was started with", "error", err)
	}
	confineOrTell(needed(), s.log)
	inner, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { s.notify.run(inner) })
	beside.Go(func() { (&console{path: s.consolePath, line: s.consoleLine, log: s.log}).run(inner) })
	beside.Go(func() { (&reporter{path: tell, now: s.report, log: s.log}).run(inner) })
	err := s.run(ctx)
	cancel()
	beside.Wait()
	return s.exit(err)
}

// exitError is the exit code of the process that went on inside a user namespace.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exit logs how the daemon ended and chooses the exit code.
func (s *supervisor) exit(err error) int {
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	if err != nil {
		s.log.Error("stopped by a failure", "error", err)
		return exitFailed
	}
	s.log.Info("stopped")
	return exitStopped
}

// errReload says that another configuration waits to be used.
var errReload = errors.New("the configuration file has changed")

// run brings the ports up and keeps them, again and again as the configuration
// wants it, until ctx ends.
func (s *supervisor) run(ctx context.Context) error {
	for {
		t, err := s.raise(ctx)
		if t == nil {
			return err
		}
		s.use(t)
		s.once.Do(func() { close(s.ready) })
		stays := context.AfterFunc(ctx, t.half.leave)
		err = t.run(ctx)
		stays()
		if ctx.Err() != nil {
			s.notify.stopping()
		}
		s.use(nil)
		closing := t.guard.Close()
		again, err := goesOn(ctx, err, t.half.lingers())
		if !again {
			return errors.Join(err, closing)
		}
		s.log.Info("the changed configuration is used", "closing", closing)
	}
}

// goesOn tells whether another site follows one that ended so, or else how the daemon
// ends. A half that is still there would be one of two with one identity.
func goesOn(ctx context.Context, err, lingers error) (bool, error) {
	switch {
	case !errors.Is(err, errReload):
		return false, err
	case lingers != nil:
		return false, fmt.Errorf("using the changed configuration: %w", lingers)
	}
	return ctx.Err() == nil, nil
}

// raise tries until the ports are up. It returns nil without an error when ctx
// ended first.
func (s *supervisor) raise(ctx context.Context) (*site, error) {
	r := &retry{path: s.path}
	for {
		version := versionOf(s.path)
		t, err := s.try(ctx, version)
		if t != nil || ctx.Err() != nil {
			return t, nil
		}
		if code, ok := errors.AsType[exitError](err); ok {
			return nil, code
		}
		s.hindered(err, r.said)
		if !r.wait(ctx, version, err.Error()) {
			return nil, nil
		}
	}
}

// hindered tells what keeps the ports down, once for each cause.
func (s *supervisor) hindered(err error, said string) {
	cause := causeOf(err)
	if err.Error() != said {
		s.log.Error("the two ports stay down until this is put right", "cause", cause, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detail, s.cause = fmt.Sprintf("ports down: %s: %v", cause, err), cause
	if _, wrong := errors.AsType[*configError](err); wrong && errors.Is(err, fs.ErrNotExist) {
		s.cause = report.NoConfiguration
	}
}

// source is a configuration and where it comes from.
type source struct {
	conf    config
	text    string // of the file
	version string // of the file
}

// try brings the ports up once.
func (s *supervisor) try(ctx context.Context, version string) (*site, error) {
	text, err := readConfig(s.path)
	var conf config
	if err == nil {
		conf, err = parseConfig(s.path, text)
	}
	if err != nil {
		// What an earlier process left up has nobody who vouches for it.
		return nil, &configError{errors.Join(err, netguard.Silence(ctx, netguard.Config{}))}
	}
	s.level.Set(conf.level)
	if conf.ports.Mode == netguard.Userns {
		if err := s.enterUserns(); err != nil {
			return nil, err
		}
	}
	s.setConsole(conf.console)
	s.safe.Do(func() {
		confineOrTell(needed()&^outsideOnly, s.log)
		harden(s.log)
		limitMemory(supervisorMemory) // documents are the other half's
	})
	return newSite(ctx, s, source{conf, text, version})
}

// enterUserns returns nil inside a user namespace. Outside, another process of
// ours has gone on inside when it returns, and its exit code is the error.
func (s *supervisor) enterUserns() error {
	s.notify.handOver(true)
	defer s.notify.handOver(false)
	inside, code, err := netguard.Reexec()
	switch {
	case err != nil:
		return fmt.Errorf("entering a user namespace: %w", err)
	case !inside:
		return exitError(code)
	}
	return nil
}

func (s *supervisor) use(t *site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.site, s.detail, s.cause = t, "stopping", ""
}

func (s *supervisor) setConsole(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.console = path
}

func (s *supervisor) consolePath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.console
}

func (s *supervisor) current() (t *site, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.site, s.detail
}

// alive asks the collector half, where there is one: the supervisor's own loop is
// alive when it waits for a cause to go away.
func (s *supervisor) alive(context.Context) error {
	if t, _ := s.current(); t != nil {
		return t.half.alive()
	}
	return nil
}

// status says in words what the daemon is doing, for systemctl status.
func (s *supervisor) status() string {
	t, detail := s.current()
	if t == nil {
		return detail
	}
	return t.status()
}

// together runs tasks until all have ended; the first error ends the others.
func together(ctx context.Context, tasks ...func(context.Context) error) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error { return t(gctx) })
	}
	return g.Wait()
}
