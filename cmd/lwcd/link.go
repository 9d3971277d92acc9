package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/cmd/lwcd/halves"
	"lwc/cmd/lwcd/selfcheck"
	"lwc/collector"
	"lwc/junos"
	"lwc/netguard"
	"lwc/transport/device"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// link is the task that keeps the session with the cloud. It also makes the
// collector, since the two know each other.
type link struct {
	conf   config
	ports  *ports
	member *membership
	dial   uplink.DialFunc // to the cloud
	log    *slog.Logger
	ready  chan struct{}
	born   time.Time
	super  halves.Machine
	sweep  *sweeper
	faults *troubles
	clock  chan welcome // capacity 1: the newest
	keys   []byte       // of releases, PEM; set before Run

	up       *uplink.Uplink // after ready
	dialer   dial.Dialer
	coll     *collector.Collector
	welcomed atomic.Int64 // Unix time of the last welcome
	heard    atomic.Pointer[welcome]
	limited  atomic.Int64 // Go's memory limit
}

// welcome is the cloud's time, and when it was heard.
type welcome struct{ cloud, at time.Time }

func newLink(conf config, p *ports, m *membership, super halves.Machine, faults *troubles, dial uplink.DialFunc, log *slog.Logger) *link {
	return &link{conf: conf, ports: p, member: m, super: super, faults: faults, dial: dial, log: log, ready: make(chan struct{}),
		born: time.Now(), sweep: newSweeper(), clock: make(chan welcome, 1)}
}

func (l *link) String() string         { return "uplink" }
func (l *link) Ready() <-chan struct{} { return l.ready }

// Alive asks the uplink; before there is one, the wait for it is another task's.
func (l *link) Alive(context.Context) error {
	select {
	case <-l.ready:
		return l.up.Alive()
	default:
		return nil
	}
}

// Run holds the session until ctx ends.
func (l *link) Run(ctx context.Context) error {
	if !await(ctx, l.member) {
		return nil
	}
	if err := l.make(); err != nil {
		return err
	}
	close(l.ready)
	return together(ctx, l.up.Run, l.sweep.run, l.keepClock)
}

// keepClock has the machine's clock set where a welcome shows that it is wrong.
func (l *link) keepClock(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-l.clock:
			setClock(ctx, l.super, w.cloud, w.at, l.log)
		}
	}
}

// make joins uplink and collector. Boot id and boot key are new, and stay in
// memory.
func (l *link) make() error {
	key, err := wire.NewBootKey()
	if err != nil {
		return err
	}
	id, boot := l.member.identity(), wire.NewID()
	l.up = uplink.New(uplink.Config{Identity: id, Dial: l.dial, Boot: boot, BootKey: key,
		Firmware: release(), Capabilities: capabilities(), Handler: handler{l}, Logger: l.log.With("task", "uplink"),
		Ports: l.ports.wireState, Health: l.health, Box: func() wire.Box { return l.box(id.Key) }})
	l.dialer = dial.New(&device.Dialer{Net: l.ports.half.Internal().DialContext, Timeouts: l.conf.patience.dial})
	l.coll = collector.New(collector.Config{Collector: id.Collector, Boot: boot, BootKey: key, Dialer: l.dialer,
		Uplink: dial.Uplink{Uplink: l.up}, Logger: l.log.With("task", "collector"), BudgetBytes: l.conf.budget,
		Session: l.conf.patience.session, DeviceTimeout: l.conf.patience.device,
		Forgotten: l.sweep.poke, Machine: errands{l.up.Renew, l.super,
			fetcher{spool: l.conf.update.spool, keys: l.keys, dial: l.dial, web: l.up.Web}}})
	l.ports.listen(func(n halves.Notice) {
		l.up.SendEvent(wire.Event{Kind: n.Kind, Text: n.Text, Violation: n.Violation})
	}, l.up.Reconnect)
	l.tellChecks()
	l.log.Info("boot", "collector", id.Collector, "boot", boot)
	return nil
}

// capabilities names the items that this build can collect.
func capabilities() []string {
	var out []string
	for _, it := range junos.Catalogue() {
		out = append(out, "item:"+it.Name)
	}
	return out
}

// handler passes on what comes down.
type handler struct{ l *link }

func (h handler) Welcomed(w wire.Welcome) {
	heard := welcome{w.Time, time.Now()}
	h.l.welcomed.Store(heard.at.Unix())
	h.l.heard.Store(&heard)
	select {
	case h.l.clock <- heard:
	default: // the one before is looked at; the next connection brings another
	}
	h.l.coll.Welcomed(w)
}

func (h handler) Desired(d wire.Desired, ref wire.ConfigRef) { h.l.coll.Desired(d, ref) }
func (h handler) Job(j wire.Job)                             { h.l.coll.Job(j) }

// health is the collector's part of the heartbeat.
func (l *link) health() wire.Health {
	s := l.coll.Status()
	s.Counters["goroutines"] = int64(runtime.NumGoroutine())
	_, _, budget := l.up.Budget()
	return wire.Health{Uptime: time.Since(l.born).Seconds(), RSS: rss(), Counters: s.Counters, LastRun: s.LastRun,
		NextRun: s.NextRun, Budget: budget, Checks: l.checks(), Errors: l.faults.last()}
}

// checks looks at what the half stands on: the ports, and the machine.
func (l *link) checks() []wire.Check {
	p := l.ports.wireState()
	ports := wire.Check{Name: "ports", OK: p.State == string(netguard.Open) && len(p.Degraded) == 0, Detail: p.Mode + ", " + p.State}
	for _, why := range append([]string{p.Detail}, p.Degraded...) {
		if why != "" {
			ports.Detail += "; " + why
		}
	}
	s := selfcheck.System{Files: os.DirFS("/"), Need: l.memory() + programMemory}
	if w := l.heard.Load(); w != nil {
		// Where the machine's clock was set meanwhile, the monotonic one was not.
		s.Known, s.Cloud = true, w.cloud.Add(time.Since(w.at)).Sub(time.Now().Round(0))
	}
	return append([]wire.Check{ports}, s.Look()...)
}

// memory is the limit of the heap as the configuration in use wants it.
func (l *link) memory() int64 {
	_, _, budget := l.up.Budget()
	s := l.coll.Status()
	return memoryLimit(budget, s.Sessions, s.Devices)
}

// fitMemory follows a configuration with another budget, or other sessions at once.
func (l *link) fitMemory() {
	if limit := l.memory(); l.limited.Swap(limit) != limit {
		limitMemory(limit)
	}
}

// tellChecks logs what the half stands on, once at the start.
func (l *link) tellChecks() {
	for _, c := range l.checks() {
		if c.OK {
			l.log.Info("self-check", "check", c.Name, "ok", true, "detail", c.Detail)
		} else {
			l.log.Warn("self-check", "check", c.Name, "ok", false, "text", c.Name+": "+c.Detail)
		}
	}
}

// rss is the resident memory in bytes (proc(5), statm), 0 where it is not known.
func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// status says in words where the collector stands.
func (l *link) status() string {
	if !isReady(l) {
		return "starting"
	}
	text := fmt.Sprintf("enrolled as %s; %s", l.member.identity().Collector, l.cloudStatus())
	if l.welcomed.Load() == 0 {
		return text
	}
	s := l.coll.Status()
	if s.Config.Version == 0 {
		return text + "; no configuration yet"
	}
	text += fmt.Sprintf("; configuration %d with %d devices", s.Config.Version, s.Devices)
	if s.LeftOut > 0 {
		text += fmt.Sprintf(" (%d more cannot be used)", s.LeftOut)
	}
	switch {
	case s.Running == 1:
		text += "; 1 run under way"
	case s.Running > 1:
		text += fmt.Sprintf("; %d runs under way", s.Running)
	}
	return text
}

func (l *link) cloudStatus() string {
	at := l.welcomed.Load()
	if err := l.up.Trouble(); err != nil {
		return fmt.Sprintf("no connection to the cloud, trying again: %v", err)
	} else if at == 0 {
		return "connecting to the cloud"
	}
	return "welcomed by the cloud at " + time.Unix(at, 0).UTC().Format("15:04 UTC")
}

// work is the task that collects.
type work struct{ link *link }

func newWork(l *link) *work { return &work{l} }

func (w *work) String() string         { return "collector" }
func (w *work) Ready() <-chan struct{} { return w.link.Ready() }

// Run collects until ctx ends, and then gives up the connections to the bastions.
func (w *work) Run(ctx context.Context) error {
	if !await(ctx, w.link) {
		return nil
	}
	err := w.link.coll.Run(ctx)
	return errors.Join(err, w.link.dialer.Close())
}

// Alive asks the main loop of the collector.
func (w *work) Alive(ctx context.Context) error {
	if !isReady(w) {
		return nil
	}
	return w.link.coll.Alive(ctx)
}
