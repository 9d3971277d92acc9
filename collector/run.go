package collector

import (
	"context"
	"slices"
	"sync"
	"time"

	"lwc/transport/wire"
)

// run keeps the accounts of one run: its devices, its documents, their receipts.
type run struct {
	id, job string // job is empty for a scheduled run
	single  bool   // somebody asked for one device
	window  time.Time
	started time.Time
	logins  *logins
	changed told          // hops whose host key is another one
	idle    chan struct{} // closed when the run is sealed and nothing is open

	// mu guards what follows, and orders the job statuses.
	mu      sync.Mutex
	total   int // devices
	open    int // devices under way and documents without receipt
	sealed  bool
	results []wire.DeviceResult
	entries []*wire.ManifestEntry
}

// newRun begins a run and the task that ends it.
func (c *Collector) newRun(ctx context.Context, id, job string) *run {
	r := &run{id: id, job: job, started: c.clock.now(), logins: newLogins(), idle: make(chan struct{})}
	c.counters.runs.Add(1)
	c.counters.running.Add(1)
	c.tasks.Go(func() { c.finish(ctx, r) })
	return r
}

// start begins the collection of one device as part of r.
func (c *Collector) start(ctx context.Context, r *run, device string) {
	r.begin()
	c.tasks.Go(func() {
		defer r.end()
		c.collect(ctx, r, device)
	})
}

func (r *run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
}

func (r *run) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	r.settle()
}

// seal says that no more devices will be started.
func (r *run) seal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
	r.settle()
}

func (r *run) settle() {
	if r.sealed && r.open == 0 {
		close(r.idle)
	}
}

// enter puts an entry into the accounts. It stays as it is until amend.
func (r *run) enter(e wire.ManifestEntry) *wire.ManifestEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, &e)
	return &e
}

func (r *run) amend(e *wire.ManifestEntry, change func(*wire.ManifestEntry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(e)
}

// add notes a device's result and tells the job's owner.
func (r *run) add(c *Collector, res wire.DeviceResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
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
		State: s, Done: len(r.results), Total: r.total}
}

// receipt applies what the cloud said of a document, with words to stand beside
// it. Whatever the cloud says, the document has left the collector's hands.
func (r *run) receipt(e *wire.ManifestEntry, rc wire.Receipt, sent int64, words string) {
	r.amend(e, func(e *wire.ManifestEntry) {
		e.Sent, e.Reason = sent, words
		switch rc.Status {
		case wire.Stored:
			e.Status = wire.EntryStored
		case wire.Duplicate:
			e.Status = wire.EntryDuplicate
		default:
			e.Status, e.Reason = wire.EntryRejected, "the cloud refused it: "+clip(rc.Code, 100)
		}
	})
}

// manifest closes the accounts: devices and entries in a fixed order.
func (r *run) manifest(c *Collector) wire.Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := wire.Manifest{V: wire.Version, Collector: c.conf.Collector, Boot: c.conf.Boot, Run: r.id, Job: r.job,
		Started: r.started, Finished: c.clock.now(), Devices: slices.Clone(r.results)}
	rejected := map[string]string{}
	for _, e := range r.entries {
		m.Documents = append(m.Documents, *e)
		if e.Status == wire.EntryRejected || e.Status == wire.EntryLost {
			rejected[e.Device] = e.Item + ": " + e.Reason
		}
	}
	for i, d := range m.Devices {
		if why := rejected[d.Device]; why != "" && d.OK {
			m.Devices[i].OK, m.Devices[i].Phase, m.Devices[i].Kind = false, phaseStore, "not-stored"
			m.Devices[i].Error = why
		}
	}
	sortAccounts(&m)
	return m
}

func sortAccounts(m *wire.Manifest) {
	slices.SortFunc(m.Devices, func(a, b wire.DeviceResult) int { return compare(a.Device, b.Device) })
	slices.SortStableFunc(m.Documents, func(a, b wire.ManifestEntry) int { return compare(a.Device, b.Device) })
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
