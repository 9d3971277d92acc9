package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
	"lwc/collector"
	"lwc/netguard"
	"lwc/transport/secret"
)

// runHalf is the collector half: the program as startChild started it. It
// returns the exit code.
func runHalf(stderr io.Writer) int {
	// The main thread lives as long as the process, and with it the death signal.
	runtime.LockOSThread()
	// Who stops the daemon stops the supervisor, and that stops this half in turn.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	h := newHalf(stderr)
	harden(h.log)
	if err := nice(halfNice); err != nil {
		h.log.Debug("the half has the priority it was started with", "error", err)
	}
	if err := volunteer(); err != nil {
		h.log.Debug("the half goes no sooner than the supervisor when memory is short", "error", err)
	}
	conn, err := net.FileConn(os.NewFile(halfConn, "supervisor"))
	if err != nil {
		h.log.Error("the collector half is started by lwcd alone", "error", err)
		return exitUsage
	}
	h.join = h.joinAsChild
	return h.exit(h.run(context.Background(), conn))
}

func newHalf(stderr io.Writer) *half {
	level, faults := &slog.LevelVar{}, &troubles{}
	log := slog.New(faults.watch(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))).With("half", "collector")
	return &half{log: log, faults: faults, level: level, ending: func() {}, started: make(chan struct{})}
}

// half is the collector half. It implements halves.Worker.
type half struct {
	log    *slog.Logger
	faults *troubles
	level  *slog.LevelVar
	// join opens the ports and drops every privilege.
	join func(context.Context, *halves.Supervisor, netguard.View, halves.Setup) (*netguard.Half, error)
	// ending is called once when the half begins to end.
	ending func()
	stop   context.CancelCauseFunc

	started chan struct{} // closed when daemon is set
	daemon  *daemon
}

// exit logs how the half ended and chooses the exit code.
func (h *half) exit(err error) int {
	if err != nil {
		h.log.Error("stopped by a failure", "error", err)
		return exitFailed
	}
	h.log.Info("stopped")
	return exitStopped
}

// errStop is the supervisor's wish.
var errStop = errors.New("asked to stop")

// run works until the supervisor says stop, or is gone, or ctx ends.
func (h *half) run(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.stop = cancel
	defer context.AfterFunc(ctx, h.ending)()
	up := halves.Connect(conn, h)
	var serving sync.WaitGroup
	served, end := context.WithCancel(context.Background())
	serving.Go(func() {
		if err := up.Run(served); err != nil {
			cancel(fmt.Errorf("following the supervisor: %w", err))
		}
	})
	err := outcome(ctx, h.work(ctx, up))
	if !errors.Is(context.Cause(ctx), halves.ErrGone) {
		if untold := up.Ending(served, err); untold != nil {
			h.log.Debug("the supervisor was not told of the end", "error", untold)
		}
	}
	end()
	serving.Wait()
	return err
}

// outcome is how the work ended: nil when that was asked for.
func outcome(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause != nil && !errors.Is(cause, errStop) && !errors.Is(cause, context.Canceled):
		return errors.Join(cause, err)
	case errors.Is(err, context.Canceled):
		return nil // asked to stop while it was starting
	}
	return err
}

// work joins the ports, gives up what it could do so, and only then begins.
func (h *half) work(ctx context.Context, up *halves.Supervisor) error {
	setup, err := up.Setup(ctx)
	if err != nil {
		return err
	}
	password := secret.New(setup.ProxyPassword)
	defer password.Wipe()
	conf, err := parseConfig(setup.Path, setup.Text)
	if err != nil {
		return err // it was good when the supervisor read it
	}
	h.level.Set(conf.level)
	limitMemory(memoryLimit(conf.budget, collector.DefaultConcurrency, 0))
	view, err := up.View(ctx, 0)
	if err != nil {
		return err
	}
	joined, err := h.join(ctx, up, view, setup)
	if err != nil {
		return err
	}
	p := newPorts(joined, up, setup.Degraded, h.log)
	h.daemon = newDaemon(conf, p, up, p.toCloud(conf.outside.way, password, setup.ProxyCA), h.faults, h.log)
	h.daemon.link.keys = setup.ReleaseKeys
	close(h.started)
	err = h.daemon.run(ctx)
	return errors.Join(err, joined.Close())
}

// joinAsChild joins by the names of the namespaces, and becomes the half's user.
func (h *half) joinAsChild(ctx context.Context, up *halves.Supervisor, view netguard.View, setup halves.Setup) (*netguard.Half, error) {
	joined, err := netguard.Join(ctx, view, up)
	if err != nil {
		return nil, err
	}
	if err := joined.DropPrivileges(setup.UID, setup.GID); err != nil {
		return nil, errors.Join(err, joined.Close())
	}
	return joined, errors.Join(hardenAgain(), bereaved())
}

// bereaved asks for the death signal anew, which a change of credentials clears
// (kernel/cred.c, commit_creds), and makes sure that it was not missed.
func bereaved() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_PDEATHSIG", err)
	}
	return nil // a supervisor that ended before this shows by the end of its connection
}

// Alive implements halves.Worker.
func (h *half) Alive(ctx context.Context) halves.Report {
	select {
	case <-h.started:
		return h.daemon.report(ctx)
	default:
		return halves.Report{Status: "joining the two ports"}
	}
}

// Stop implements halves.Worker.
func (h *half) Stop() { h.stop(errStop) }
