package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"lwc/netguard"
)

// task is one long-lived part of the daemon.
type task interface {
	// Run works until ctx ends, and then returns nil. An error ends the daemon.
	Run(ctx context.Context) error
	// Ready is closed when what the task provides can be used.
	Ready() <-chan struct{}
	// Alive returns nil if the task has made progress.
	Alive(ctx context.Context) error
	// String names the task.
	String() string
}

// stopLimit is how long a clean stop may take. The uplink's farewell takes 3 s
// at most, and closing a session with a device 2 s.
const stopLimit = 9 * time.Second

// start prepares the process, and runs the daemon in it.
func start(ctx context.Context, conf config, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: conf.level}))
	if conf.ports.Mode == netguard.Userns {
		inside, code, err := netguard.Reexec()
		if err != nil {
			log.Error("entering a user namespace", "error", err)
			return exitPorts
		}
		if !inside {
			return code
		}
	}
	harden(log)
	limitMemory(conf.budget)
	return newDaemon(conf, log).run(ctx)
}

// daemon is all tasks.
type daemon struct {
	log    *slog.Logger
	ports  *ports
	member *membership
	link   *link
	work   *work
	notify *notifier
}

func newDaemon(conf config, log *slog.Logger) *daemon {
	d := &daemon{log: log}
	d.ports = newPorts(conf.ports, log)
	d.member = newMembership(conf, d.ports, log)
	d.link = newLink(conf, d.ports, d.member, log)
	d.work = newWork(d.link)
	d.notify = newNotifier(d.tasks(), d.status, log)
	return d
}

func (d *daemon) tasks() []task { return []task{d.ports, d.member, d.link, d.work} }

// run starts all tasks, and stops them all when ctx ends or one fails. The
// ports are closed last, after everything that dials through them has ended.
func (d *daemon) run(ctx context.Context) int {
	d.log.Info("starting", "version", release())
	g, gctx := errgroup.WithContext(ctx)
	for _, t := range append(d.tasks(), d.notify) {
		g.Go(func() error {
			if err := t.Run(gctx); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	<-gctx.Done()
	d.notify.stopping()
	err, late := error(nil), false
	select {
	case err = <-ended:
	case <-time.After(stopLimit):
		late = true
	}
	return d.exit(err, d.ports.close(), late)
}

// exit logs how the daemon ended and chooses the exit code.
func (d *daemon) exit(err, portsErr error, late bool) int {
	var p *portsError
	switch {
	case late:
		d.log.Error("stopping took too long, leaving anyway", "limit", stopLimit.String())
		return exitFailed
	case errors.As(err, &p):
		d.log.Error("the two ports cannot be used", "error", err)
		return exitPorts
	case err != nil:
		d.log.Error("stopped by a failure", "error", err)
		return exitFailed
	case portsErr != nil && !errors.Is(portsErr, netguard.ErrPrivilege):
		d.log.Error("closing the ports", "error", portsErr)
		return exitFailed
	}
	d.log.Info("stopped")
	return exitStopped
}

// status says in words what the daemon is doing, for systemctl status.
func (d *daemon) status() string {
	if s := d.ports.status(); !isReady(d.ports) {
		return s
	} else if !isReady(d.member) {
		return s + "; " + d.member.status()
	} else {
		return s + "; " + d.link.status()
	}
}

func isReady(t task) bool {
	select {
	case <-t.Ready():
		return true
	default:
		return false
	}
}

// await waits for what another task provides. It reports false when ctx ended
// first.
func await(ctx context.Context, t task) bool {
	select {
	case <-t.Ready():
		return true
	case <-ctx.Done():
		return false
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
