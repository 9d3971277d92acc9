package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lwc/junos/junostest"
)

// order is what the parent asks of a client process, on its standard input.
type order struct {
	Mode     string // raw, ours, whole, product, idle, uplink, paho, tls, unchanged or cycle
	Depth    int    // requests under way in a session
	InFlight int    // devices at once
	Items    []string
	Devices  []junostest.InventoryHost
	Bastion  *bastionHost // before every device; nil: direct
	Limit    int64        // soft limit of the heap, as lwcd sets it; zero: none
	Profile  string       // file for a CPU profile; empty: none
	Times    int          // uplink, paho, tls: devices to send for; unchanged: documents
	Token    string       // of enrolment, for clients that talk to a cloud
	Ask      *asking      // cycle: how to ask for the collection
}

// measure is its answer.
type measure struct {
	Devices  int     // that were collected
	Failed   int     // and that were not
	First    string  // the first failure
	Bytes    int64   // received, or of an idle client none
	Sent     int64   // in frames
	Seconds  float64 // wall clock
	CPU      float64 // seconds of user and system time
	PeakMiB  float64 // resident, at its peak
	RestMiB  float64 // resident before the first device
	HeldMiB  float64 // resident with all sessions open, of an idle client
	Sessions int
}

// perDevice is the processor time of one device in milliseconds.
func (m measure) perDevice() float64 { return 1000 * m.CPU / float64(max(m.Devices, 1)) }

// rate is devices per second.
func (m measure) rate() float64 { return float64(m.Devices) / m.Seconds }

// client collects one device and returns the bytes received and sent.
type client func(ctx context.Context, d junostest.InventoryHost) (received, sent int64, err error)

// runClient carries out one order and prints the measure.
func runClient(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var o order
	if err := json.NewDecoder(stdin).Decode(&o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	if o.Limit > 0 {
		debug.SetMemoryLimit(o.Limit)
	}
	stop, err := profile(o.Profile)
	if err != nil {
		return err
	}
	m, err := carryOut(ctx, o)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(m)
}

// profile writes a CPU profile until it is stopped.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profiling: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func carryOut(ctx context.Context, o order) (measure, error) {
	switch o.Mode {
	case "raw":
		c, err := newRaw(o)
		if err != nil {
			return measure{}, err
		}
		return measured(ctx, o, c.collect), nil
	case "product":
		return product(ctx, o)
	case "idle":
		return idle(ctx, o)
	case "uplink":
		return sendAll(ctx, o)
	case "paho":
		return pahoAll(ctx, o)
	case "tls":
		return tlsAll(ctx, o)
	case "unchanged":
		return unchangedAll(ctx, o)
	case "cycle":
		return cycle(ctx, o)
	case "ours", "whole":
		c, err := newOurs(o)
		if err != nil {
			return measure{}, err
		}
		defer c.dialer.Close()
		return measured(ctx, o, c.collect), nil
	}
	return measure{}, fmt.Errorf("mode %q: %w", o.Mode, errors.ErrUnsupported)
}

// measured collects all devices, InFlight at once.
func measured(ctx context.Context, o order, collect client) measure {
	m := measure{RestMiB: resident("VmRSS:")}
	var received, sent, failed atomic.Int64
	var first sync.Once
	next := make(chan junostest.InventoryHost)
	began, used := time.Now(), cpuTime()
	var wg sync.WaitGroup
	for range o.InFlight {
		wg.Go(func() {
			for d := range next {
				r, s, err := collect(ctx, d)
				received.Add(r)
				sent.Add(s)
				if err != nil {
					failed.Add(1)
					first.Do(func() { m.First = err.Error() })
				}
			}
		})
	}
	for _, d := range o.Devices {
		next <- d
	}
	close(next)
	wg.Wait()
	m.Seconds, m.CPU = time.Since(began).Seconds(), (cpuTime() - used).Seconds()
	m.Failed = int(failed.Load())
	m.Devices = len(o.Devices) - m.Failed
	m.Bytes, m.Sent = received.Load(), sent.Load()
	m.PeakMiB = resident("VmHWM:")
	return m
}

// cpuTime is the user and system time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident reads a size in /proc/self/status (proc_pid_status(5)), in MiB.
func resident(field string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return statusMiB(string(text), field)
}
