package collector

import (
	"slices"
	"time"

	"lwc/transport/wire"
)

const (
	// sectionDevices is how many devices a section of a manifest has at most: with
	// thirty items each it has some 600 KB of JSON.
	sectionDevices = 64
	// sectionWait is how long the first device of a section waits for others. It is
	// what a restart can lose: that device is collected again.
	sectionWait = time.Second
	// maxReady is how many accounts wait for a section before no further device is
	// visited: what is to be told of devices that fail takes none of the budget for
	// documents, and a cloud may be away for days.
	maxReady = 4 * sectionDevices
)

// next returns the section that is due, or how long to wait for one; 0 means until
// r.moved. With the last section the run has ended.
func (r *run) next(c *Collector) (m *wire.Manifest, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := r.sealed && len(r.open) == 0 && len(r.line.waiting) == 0
	switch {
	case r.ended:
		return nil, 0
	case done, len(r.ready) >= sectionDevices:
	case len(r.ready) == 0:
		return nil, 0
	default:
		if wait = sectionWait - time.Since(r.since); wait > 0 {
			return nil, wait
		}
	}
	n := min(len(r.ready), sectionDevices)
	r.ended = done && n == len(r.ready)
	section := r.section(c, r.ready[:n])
	r.ready = slices.Delete(r.ready, 0, n)
	return section, 0
}

// section closes some accounts: devices and entries in a fixed order. The caller
// holds mu.
func (r *run) section(c *Collector, accounts []*account) *wire.Manifest {
	m := &wire.Manifest{V: wire.Version, Collector: c.conf.Collector, Boot: c.conf.Boot, Run: r.id, Job: r.job,
		Started: r.started, Finished: c.clock.now(), Schedule: r.schedule, Window: r.window, Mode: r.egress.mode,
		Section: int(r.sections.Add(1)), Last: r.ended}
	if m.Last {
		m.Reason = r.reason
	}
	for _, a := range accounts {
		bad := ""
		for _, e := range a.entries {
			m.Documents = append(m.Documents, *e)
			if e.Status == wire.EntryRejected || e.Status == wire.EntryLost {
				bad = e.Item + ": " + e.Reason
			}
		}
		for _, d := range a.results {
			if bad != "" && d.OK {
				d.OK, d.Phase, d.Kind, d.Error = false, phaseStore, "not-stored", bad
			}
			m.Devices = append(m.Devices, d)
		}
	}
	sortAccounts(m)
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
