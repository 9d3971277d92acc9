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
	"lwc/collector"
	"lwc/junos"
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

	up       *uplink.Uplink // after ready
	dialer   dial.Dialer
	coll     *collector.Collector
	welcomed atomic.Int64 // Unix time of the last welcome
}

func newLink(conf config, p *ports, m *membership, dial uplink.DialFunc, log *slog.Logger) *link {
	return &link{conf: conf, ports: p, member: m, dial: dial, log: log, ready: make(chan struct{}), born: time.Now()}
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
	return l.up.Run(ctx)
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
		Ports: l.ports.wireState, Health: l.health})
	l.dialer = dial.New(&device.Dialer{Net: l.ports.half.Internal().DialContext, Timeouts: l.conf.patience.dial})
	l.coll = collector.New(collector.Config{Collector: id.Collector, Boot: boot, BootKey: key, Dialer: l.dialer,
		Uplink: l.up, Logger: l.log.With("task", "collector"), BudgetBytes: l.conf.budget,
		Session: l.conf.patience.session, DeviceTimeout: l.conf.patience.device})
	l.ports.listen(func(n halves.Notice) {
		l.up.SendEvent(wire.Event{Kind: n.Kind, Text: n.Text, Violation: n.Violation})
	}, l.up.Reconnect)
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
	h.l.welcomed.Store(time.Now().Unix())
	h.l.coll.Welcomed(w)
}

func (h handler) Desired(d wire.Desired, ref wire.ConfigRef) { h.l.coll.Desired(d, ref) }
func (h handler) Job(j wire.Job)                             { h.l.coll.Job(j) }

// health is the collector's part of the heartbeat.
func (l *link) health() wire.Health {
	s := l.coll.Status()
	s.Counters["goroutines"] = int64(runtime.NumGoroutine())
	return wire.Health{Uptime: time.Since(l.born).Seconds(), RSS: rss(), Counters: s.Counters, LastRun: s.LastRun}
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
