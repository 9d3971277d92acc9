package collector

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"lwc/transport/wire"
)

// run is the collection of some devices. Of each it keeps the account until a
// section of the manifest that holds it has left; then it forgets it, so that
// what it holds does not grow with the number of devices.
type run struct {
	id, job  string
	schedule string    // its name; empty: a job asked
	collect  string    // the profile that is collected; empty: that of each device
	window   time.Time // start of the schedule's window
	reason   string    // why it was cut off, for its last section
	single   bool      // somebody asked for one device
	started  time.Time
	egress   egress
	logins   *logins
	changed  told          // hops whose host key is another one
	sections *atomic.Int64 // made in this boot
	moved    chan struct{} // holds one element while next has something to look at

	// mu guards what follows, and orders the job statuses.
	mu      sync.Mutex
	total   int // devices
	visited int // devices whose visit is over
	line    queue
	sealed  bool
	ended   bool // the last section is made
	open    map[string]*account
	ready   []*account // in the order in which they became so
	since   time.Time  // when the first of ready did
	fault   string     // why a section did not reach the cloud
	over    time.Time  // when the last visit had ended, while documents wait
	dropped bool       // what was held is
}

// account is what is known of one device.
type account struct {
	begun   int // visits that are not over
	waiting int // documents without a last word
	results []wire.DeviceResult
	entries []*wire.ManifestEntry
}

// newRun makes a run and begins the task that ends it.
func (c *Collector) newRun(ctx context.Context, r *run) *run {
	r.started, r.logins = c.clock.now(), newLogins()
	r.moved = make(chan struct{}, 1)
	if r.sections == nil {
		r.sections = new(atomic.Int64)
	}
	if f := c.current(); f != nil {
		r.egress = f.egress
	}
	c.counters.runs.Add(1)
	c.counters.running.Add(1)
	c.tasks.Go(func() { c.finish(ctx, r) })
	return r
}

// start begins the collection of devices that a job asked for, in that order.
func (c *Collector) start(ctx context.Context, r *run, devices ...string) {
	turns := make([]turn, 0, len(devices))
	for _, id := range devices {
		c.plan.expect(id)
		turns = append(turns, turn{device: id})
	}
	c.enqueue(ctx, r, turns...)
}

// seal says that no more devices will be started.
func (r *run) seal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	r.stir()
}

// of returns the account of a device, which is open. The caller holds mu.
func (r *run) of(device string) *account {
	a := r.open[device]
	if a == nil {
		a = &account{}
		if r.open == nil {
			r.open = map[string]*account{}
		}
		r.open[device] = a
	}
	return a
}

// settle moves the account of a device to the next section when it has its last
// word. The caller holds mu.
func (r *run) settle(device string) {
	a := r.of(device)
	if a.begun > 0 || a.waiting > 0 {
		r.stir()
		return
	}
	delete(r.open, device)
	if len(r.ready) == 0 {
		r.since = time.Now()
	}
	r.ready = append(r.ready, a)
	r.stir()
}

// unapproved tells whether the wait for approvals is over, once; else how long it
// still takes, 0 where nothing waits.
func (r *run) unapproved() (now bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sealed || len(r.line.waiting)+len(r.line.seats) > 0 || len(r.open) == 0 || r.egress.mode != wire.EgressHold {
		r.over, r.dropped = time.Time{}, false
		return false, 0
	}
	if r.over.IsZero() {
		r.over = time.Now()
	}
	if wait = r.egress.wait - time.Since(r.over); wait > 0 || r.dropped {
		return false, max(wait, 0)
	}
	r.dropped = true
	return true, 0
}

// stir has next looked at. The caller holds mu.
func (r *run) stir() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// enter puts an entry that has its last word into the accounts. It is called
// during the visit of the entry's device.
func (r *run) enter(e wire.ManifestEntry) *wire.ManifestEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(e.Device)
	a.entries = append(a.entries, &e)
	return &e
}

// await puts an entry into the accounts whose document is under way. Exactly one
// deliver must follow, whatever becomes of the document: until then the account of
// the device stays open, and with it the run.
func (r *run) await(e wire.ManifestEntry) *wire.ManifestEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(e.Device)
	a.waiting++
	a.entries = append(a.entries, &e)
	return &e
}

// deliver says the last word on an entry: what became of its document. Where that
// is stored, words stand beside it.
func (r *run) deliver(e *wire.ManifestEntry, d wire.Delivery, words string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Sent, e.Unchanged, e.Reason = d.Sent, d.Unchanged, words
	switch d.Status {
	case wire.Stored, wire.Complete:
		e.Status = wire.EntryStored
	case wire.Duplicate:
		e.Status = wire.EntryDuplicate
	case wire.Withheld:
		e.Status, e.Reason = wire.EntryWithheld, fateWords(d.Code)
	case wire.Dropped:
		e.Status, e.Reason = wire.EntryLost, fateWords(d.Code)
	default:
		e.Status, e.Reason = wire.EntryRejected, "the cloud refused it: "+clip(d.Code, 100)
	}
	r.of(e.Device).waiting--
	r.settle(e.Device)
}

// fateWords says in words why a body did not leave. A code that has none is words
// itself.
func fateWords(code string) string {
	switch code {
	case "declined":
		return "an admin declined it"
	case "not-approved":
		return "nobody approved it in time"
	case "no-room":
		return "there was no memory to hold it for an approval"
	case "budget":
		return "dropped for a newer run: the memory for documents without receipt was full"
	case "":
		return "the uplink gave no reason"
	}
	return clip(code, 300)
}

// add notes a device's result: its visit is over. It tells the job's owner.
func (r *run) add(c *Collector, res wire.DeviceResult) {
	c.plan.visited(r.schedule, res, r.started)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visited++
	r.of(res.Device).results = append(r.of(res.Device).results, res)
	if r.job == "" {
		return
	}
	s := r.statusLocked(c, wire.JobRunning)
	s.Device = &res
	c.jobStatus(s)
}

func (r *run) status(c *Collector, s wire.JobState) wire.JobStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statusLocked(c, s)
}

func (r *run) statusLocked(c *Collector, s wire.JobState) wire.JobStatus {
	return wire.JobStatus{V: wire.Version, ID: r.job, Collector: c.conf.Collector, Boot: c.conf.Boot,
		State: s, Done: r.visited, Total: r.total}
}
