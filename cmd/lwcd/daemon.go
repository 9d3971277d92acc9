package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"lwc/cmd/lwcd/halves"
	"lwc/transport/boxkey"
	"lwc/transport/uplink"
)

// task is one long-lived part of the collector half.
type task interface {
	// Run works until ctx ends, and then returns nil. An error ends the process.
	Run(ctx context.Context) error
	// Ready is closed when what the task provides can be used.
	Ready() <-chan struct{}
	// Alive returns nil if the task has made progress.
	Alive(ctx context.Context) error
	// String names the task.
	String() string
}

// tasksLimit is how long a clean stop may take. The uplink's farewell takes 3 s
// at most, and closing a session with a device 2 s.
const tasksLimit = 8 * time.Second

// errLate says that a task did not end when it was asked to.
var errLate = errors.New("stopping took too long")

// above is what the half asks the supervisor for while it works.
type above interface {
	halves.Tokens
	halves.Machine
}

// daemon is all tasks of the collector half.
type daemon struct {
	log    *slog.Logger
	ports  *ports
	member *membership
	link   *link
	work   *work
}

func newDaemon(conf config, p *ports, up above, dial uplink.DialFunc, faults *troubles, log *slog.Logger) *daemon {
	d := &daemon{log: log, ports: p}
	d.member = newMembership(conf, p, up, dial, log)
	d.link = newLink(conf, p, d.member, up, faults, dial, log)
	d.work = newWork(d.link)
	return d
}

// tasks are those that dial; the ports are kept for them until they have ended.
func (d *daemon) tasks() []task { return []task{d.member, d.link, d.work} }

// run starts all tasks, and stops them all when ctx ends or one fails, the ports
// last.
func (d *daemon) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	held, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	ports := make(chan error, 1)
	go func() {
		err := d.ports.Run(held)
		cancel(err)
		ports <- err
	}()
	err := d.dialling(ctx)
	release()
	return errors.Join(err, <-ports)
}

// dialling runs the tasks that dial.
func (d *daemon) dialling(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, t := range d.tasks() {
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
	select {
	case err := <-ended:
		return err
	case <-time.After(tasksLimit):
		return errLate
	}
}

// report says where the half stands, and whether every task is alive.
func (d *daemon) report(ctx context.Context) halves.Report {
	r := halves.Report{Status: d.status(), Trouble: d.link.faults.newest(), Withheld: d.member.keyless.Load()}
	if isReady(d.member) {
		id := d.member.identity()
		r.Collector, r.Identity = id.Collector, string(boxkey.PlaceOf(id.Key))
	}
	if isReady(d.link) {
		r.Cloud, r.Connected = d.link.cloudStatus(), d.link.connected()
		d.link.fitMemory()
	}
	for _, t := range append(d.tasks(), d.ports) {
		if err := t.Alive(ctx); err != nil {
			r.Problem = fmt.Sprintf("%s: %v", t, err)
			break
		}
	}
	return r
}

// status says in words what the half is doing.
func (d *daemon) status() string {
	if !isReady(d.ports) {
		return "verifying the two ports"
	}
	if !isReady(d.member) {
		return d.member.status()
	}
	return d.link.status()
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
