package edp

import (
	"time"

	"lwc/transport/wire"
)

// NewJob is what CreateJob makes a job of.
type NewJob struct {
	Collector string
	Kind      wire.JobKind
	Devices   []string // collect: which; empty means all of the fleet
	By        string   // who asked
	TTL       time.Duration
}

// JobQueued is the state of a job that no collector has answered yet. It never
// stands on the wire.
const JobQueued wire.JobState = "queued"

// Job is a command for a collector and how far it is.
type Job struct {
	ID, Collector              string
	Kind                       wire.JobKind
	Run                        string // of a collect job
	Devices                    []string
	By                         string
	State                      wire.JobState
	Error                      string
	Done, Total                int // devices
	Created, Expires, Finished time.Time
}

// RunKind is who started a run.
type RunKind string

// The kinds of a run.
const (
	RunDemand   RunKind = "demand"
	RunSchedule RunKind = "schedule"
)

// RunState is where a run is.
type RunState string

// The states of a run. It is complete when each item that was expected of it
// is stored, or accounted for by a manifest. It is interrupted when a restart
// of the collector ended a scheduled run, or its job expired; failed when the
// collector refused it or gave up.
const (
	RunRunning     RunState = "running"
	RunComplete    RunState = "complete"
	RunFailed      RunState = "failed"
	RunInterrupted RunState = "interrupted"
)

// Run is one collection of some devices.
type Run struct {
	ID, Collector            string
	Job                      string // of a run on demand
	Kind                     RunKind
	State                    RunState
	Started, Finished        time.Time
	Expected, Stored, Failed int // items; Failed: accounted for without a document
	Bytes                    int64
	Devices                  []wire.DeviceResult // by Run only
	Manifests                []string            // hashes, oldest first; by Run only
}

// RunFilter chooses runs, newest first. Zero values choose all.
type RunFilter struct {
	Collector string
	State     RunState
	Limit     int // 0 means 100
}

// Document is one reply of one device, as it came.
type Document struct {
	ID, Collector, Boot, Run, Device, Item string
	Outcome                                string
	SHA256                                 string // of Body, hexadecimal
	Flags                                  []string
	Size                                   int64
	CollectedAt, ReceivedAt                time.Time
	Body                                   []byte `json:"-"` // plain; in lists nil
}

// PutStatus is what became of one document of a batch.
type PutStatus string

// The statuses. A refused document can never be stored: its collector is not
// known, or its run or id belongs to another collector.
const (
	PutStored    PutStatus = "stored"
	PutDuplicate PutStatus = "duplicate"
	PutRefused   PutStatus = "refused"
)

// DocumentFilter chooses documents, newest first. Zero values choose all.
type DocumentFilter struct {
	Collector, Device, Item, Run string
	Latest                       bool // only the newest of each device and item
	Limit                        int  // 0 means no limit
}
