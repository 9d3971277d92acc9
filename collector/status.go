package collector

import (
	"sync/atomic"
	"time"

	"lwc/transport/wire"
)

// counters count since the start of the daemon.
type counters struct {
	runs, running, devicesOK, devicesFailed   atomic.Int64
	documents, bytes, rejected, lost, retries atomic.Int64
	fallbacks                                 atomic.Int64
	streamed, partial, tooLarge, withheld     atomic.Int64
	memoryWaits                               atomic.Int64
	lastRun                                   atomic.Pointer[string]
	nextRun                                   atomic.Int64 // Unix seconds; 0: no schedule wants one
}

// delivered counts what became of a document.
func (c *counters) delivered(d wire.Delivery) {
	switch d.Status {
	case wire.Rejected:
		c.rejected.Add(1)
	case wire.Withheld:
		c.withheld.Add(1)
	case wire.Dropped:
		c.lost.Add(1)
	}
}

// noteNext takes when a schedule wants the next device; zero: none does.
func (c *counters) noteNext(at time.Time) {
	if at.IsZero() {
		c.nextRun.Store(0)
		return
	}
	c.nextRun.Store(at.Unix())
}

func (c *counters) setLastRun(id string) { c.lastRun.Store(&id) }

// Status is what a collector says of itself.
type Status struct {
	Config   wire.ConfigRef // in use; version 0: none yet
	Devices  int            // that can be collected from
	LeftOut  int            // that stand in the configuration and cannot
	Running  int            // runs that are not concluded
	Sessions int            // devices at once, at most
	LastRun  string         // the newest run that is complete in the cloud
	NextRun  time.Time      // when a schedule wants the next device; zero: none does
	Counters map[string]int64
}

// Status returns the present state. It may be called at any time.
func (c *Collector) Status() Status {
	s := Status{Running: int(c.counters.running.Load()), Counters: c.count(), Sessions: DefaultConcurrency}
	if f := c.current(); f != nil {
		s.Config, s.Devices, s.LeftOut = f.ref, len(f.devices), len(f.bad)
		s.Sessions = orDefault(f.limits.Concurrency, DefaultConcurrency)
	}
	if at := c.counters.nextRun.Load(); at > 0 {
		s.NextRun = time.Unix(at, 0).UTC()
	}
	if id := c.counters.lastRun.Load(); id != nil {
		s.LastRun = *id
	}
	return s
}

func (c *Collector) count() map[string]int64 {
	n := &c.counters
	memory, held, limit := c.conf.Uplink.Budget()
	sessions, _ := c.slots.inUse()
	return map[string]int64{
		"runs": n.runs.Load(), "runs_open": n.running.Load(),
		"devices_ok": n.devicesOK.Load(), "devices_failed": n.devicesFailed.Load(),
		"documents": n.documents.Load(), "document_bytes": n.bytes.Load(),
		"documents_rejected": n.rejected.Load(), "documents_lost": n.lost.Load(),
		"reconnects": n.retries.Load(), "pipeline_fallbacks": n.fallbacks.Load(), "sessions": sessions, "sessions_parked": c.slots.lent(),
		"documents_withheld": n.withheld.Load(),
		"documents_streamed": n.streamed.Load(), "documents_partial": n.partial.Load(), "documents_too_large": n.tooLarge.Load(),
		"memory_bytes": memory, "memory_held": held, "memory_limit": limit, "memory_waits": n.memoryWaits.Load(),
	}
}
