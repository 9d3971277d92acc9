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
	level := &slog.LevelVar{}
	faults := &troubles{}
	log := slog.New(faults.watch(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))).With("half", "collector")
	harden(log)
	if err := nice(halfNice); err != nil {
		log.Debug("the half has the priority it was started with", "error", err)
	}
	if err := volunteer(); err != nil {
		log.Debug("the half goes no sooner than the supervisor when memory is short", "error", err)
	}
	conn, err := net.FileConn(os.NewFile(halfConn, "supervisor"))
	if err != nil {
		log.Error("the collector half is started by lwcd alone", "error", err)
		return exitUsage
	}
	h := &half{log: log, faults: faults, level: level, started: make(chan struct{})}
	if err := h.run(conn); err != nil {
		log.Error("stopped by a failure", "error", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitStopped
}

// half is the collector half. It implements halves.Worker.
type half struct {
	log    *slog.Logger
	faults *troubles
	level  *slog.LevelVar
	stop   context.CancelCauseFunc

	started chan struct{} // closed when daemon is set
	daemon  *daemon
}

// errStop is the supervisor's wish.
var errStop = errors.New("asked to stop")

// run works until the supervisor says stop, or is gone.
func (h *half) run(conn net.Conn) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	h.stop = cancel
	up := halves.Connect(conn, h)
	var serving sync.WaitGroup
	served, end := context.WithCancel(context.Background())
	serving.Go(func() {
		if err := up.Run(served); err != nil {
			cancel(fmt.Errorf("following the supervisor: %w", err))
		}
	})
	err := h.work(ctx, up)
	end()
	serving.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errStop) {
		return errors.Join(cause, err)
	}
	if errors.Is(err, context.Canceled) {
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
	joined, err := join(ctx, up, setup)
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

// join opens the ports and drops every privilege.
func join(ctx context.Context, up *halves.Supervisor, setup halves.Setup) (*netguard.Half, error) {
	view, err := up.View(ctx, 0)
	if err != nil {
		return nil, err
	}
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
