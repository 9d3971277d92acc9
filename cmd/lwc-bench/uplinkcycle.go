package main

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/collector"
	"lwc/transport/device"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// box is the collector's half of lwcd in this process: the same parts, joined the
// same way, without the ports.
type box struct {
	uplink    *uplink.Uplink
	collector *collector.Collector
	dialer    *device.Dialer
}

func newBox(ctx context.Context, o order, watched *jobWatch) (*box, error) {
	id, err := enrolled(ctx, o.Token)
	if err != nil {
		return nil, err
	}
	key, err := wire.NewBootKey()
	if err != nil {
		return nil, err
	}
	b := &box{dialer: &device.Dialer{Net: new(net.Dialer).DialContext}}
	boot, quiet, h := wire.NewID(), slog.New(slog.DiscardHandler), &handler{}
	b.uplink = uplink.New(uplink.Config{Identity: id, Dial: new(net.Dialer).DialContext, Boot: boot, BootKey: key, Firmware: "bench", Handler: h})
	watched.Uplink = dial.Uplink{Uplink: b.uplink}
	b.collector = collector.New(collector.Config{Collector: id.Collector, Boot: boot, BootKey: key, Uplink: watched,
		Dialer: dial.New(b.dialer), Logger: quiet})
	h.to.Store(b.collector)
	return b, nil
}

// handler passes on to a collector that is made after its uplink.
type handler struct {
	to atomic.Pointer[collector.Collector]
}

// Welcomed implements uplink.Handler.
func (h *handler) Welcomed(w wire.Welcome) { h.to.Load().Welcomed(w) }

// Desired implements uplink.Handler.
func (h *handler) Desired(d wire.Desired, ref wire.ConfigRef) { h.to.Load().Desired(d, ref) }

// Job implements uplink.Handler.
func (h *handler) Job(j wire.Job) { h.to.Load().Job(j) }

// jobWatch is an uplink that watches one job.
type jobWatch struct {
	dial.Uplink
	applied chan struct{}
	ended   chan wire.JobStatus

	mu sync.Mutex // guards m
	m  measure
}

// SendState implements collector.Reporter.
func (w *jobWatch) SendState(s wire.State) {
	if s.Status == wire.ConfigApplied {
		close(w.applied)
	}
	w.Uplink.SendState(s)
}

// SendJobStatus implements collector.Reporter.
func (w *jobWatch) SendJobStatus(s wire.JobStatus) {
	w.count(s)
	w.Uplink.SendJobStatus(s)
	switch s.State {
	case wire.JobDone, wire.JobFailed, wire.JobRefused:
		w.ended <- s
	}
}

func (w *jobWatch) count(s wire.JobStatus) {
	if s.Device == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m.Bytes += s.Device.Bytes
	if s.Device.OK {
		w.m.Devices++
	} else if w.m.Failed++; w.m.First == "" {
		w.m.First = s.Device.Device + ": " + s.Device.Kind + ": " + s.Device.Error
	}
}

// cycle collects the whole fleet that the cloud has for this collector, once, and
// measures from the job's coming to the end of its run at the cloud.
func cycle(ctx context.Context, o order) (measure, error) {
	w := &jobWatch{applied: make(chan struct{}), ended: make(chan wire.JobStatus, 1)}
	b, err := newBox(ctx, o, w)
	if err != nil {
		return measure{}, err
	}
	defer b.dialer.Close()
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { _ = b.uplink.Run(ctx) })
	tasks.Go(func() { _ = b.collector.Run(ctx) })
	select {
	case <-w.applied:
	case <-ctx.Done():
		return measure{}, context.Cause(ctx)
	}
	rest, began, used := resident("VmRSS:"), time.Now(), cpuTime()
	if err := o.Ask.give(ctx); err != nil {
		return measure{}, err
	}
	select {
	case <-w.ended:
	case <-ctx.Done():
		return measure{}, context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.m
	m.RestMiB, m.PeakMiB = rest, resident("VmHWM:")
	m.Seconds, m.CPU = time.Since(began).Seconds(), (cpuTime() - used).Seconds()
	return m, nil
}
