package edp

import (
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// NewJob is what CreateJob makes a job of.
type NewJob struct {
	Collector string
	Kind      wire.JobKind
	Devices   []string // collect, probe: which; empty means all of the fleet
	By        string   // who asked
	TTL       time.Duration
	Release   string    // update: the version wanted; empty: the newest
	Source    string    // update: URL of the release's manifest; empty: the cloud's own
	RebootAt  time.Time // update: when it is started; zero: at once
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
	Detail                     string    // progress or result in words
	Release, Source            string    // of an update
	RebootAt                   time.Time // of an update; zero: at once
	Done, Total                int       // devices
	Created, Expires, Finished time.Time
	Sent                       time.Time // when it was handed to the connection last; zero: never
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
// is stored, or accounted for by a manifest, and the collector has ended it. It is
// interrupted when the collector ended it early, for Reason, or its job expired;
// failed when the collector refused it or gave up.
const (
	RunRunning     RunState = "running"
	RunComplete    RunState = "complete"
	RunFailed      RunState = "failed"
	RunInterrupted RunState = "interrupted"
)

// Run is one collection of some devices.
type Run struct {
	ID, Collector     string
	Job               string // of a run on demand
	Kind              RunKind
	State             RunState
	Started, Finished time.Time
	// Items. Failed are accounted for without a document, Skipped were not asked
	// for: these, Withheld and what is still under way make up Expected.
	// Withheld are documents whose bodies did not leave the site.
	Expected, Stored, Failed, Skipped, Withheld int
	Unchanged                                   int // of Stored: their bytes were there already
	Bytes                                       int64
	Schedule                                    string         // by which it was made; empty: a job asked
	Window                                      time.Time      // start of the schedule's window
	Mode                                        string         // of the egress
	Reason                                      string         // why it was cut off
	Devices                                     []DeviceResult // by Run only
	Left                                        []Left         // what has no document, and why; by Run only
	Manifests                                   []string       // hashes, oldest first; by Run only
}

// DeviceResult is how a device of a run ended, with the outcomes of its
// documents that are stored.
type DeviceResult struct {
	wire.DeviceResult
	Outcomes map[string]int
}

// Left is one reason why items of a run have no document.
type Left struct {
	Status  wire.EntryStatus
	Outcome string // of a skipped item: what the device said of it before
	Reason  string
	Items   int      // of all devices together
	Devices []string // the first few
	Of      int      // how many devices
}

// Probe is the diagnosis of one device, as its collector made it.
type Probe struct {
	Job string
	At  time.Time
	wire.Probe
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
	// RawSHA256 and RawSize are of the bytes as the device sent them, where they
	// are not those of Body. Masked counts the values that were replaced.
	RawSHA256               string
	RawSize                 int64
	Masked                  map[string]int
	CollectedAt, ReceivedAt time.Time
	Body                    []byte `json:"-"` // plain; in lists nil
	// Unchanged says that the bytes are those of an older document of the same
	// item, which was sent; to Put, that Body is not there.
	Unchanged bool
	// Held says to Put that Body stays in the collector until it is approved.
	Held bool `json:"-"`
	// Packed is Body as zstd, where its sender has compressed it; nil: Put does so.
	Packed []byte `json:"-"`
	// Identity is what the bytes tell of the device, for Put to note; nil: nothing.
	Identity *junos.Identity `json:"-"`
}

// PutStatus is what became of one document of a batch.
type PutStatus string

// The statuses. A refused document can never be stored: its collector is not
// known, or its run or id belongs to another collector.
const (
	PutStored    PutStatus = "stored"
	PutDuplicate PutStatus = "duplicate"
	PutRefused   PutStatus = "refused"
	PutOffered   PutStatus = "offered"   // held: its header is kept
	PutBase      PutStatus = "base"      // unchanged, and no document has these bytes
	PutKept      PutStatus = "kept"      // a part: stored, and more are to come
	PutWhole     PutStatus = "whole"     // a part: all are stored, Finish is to come
	PutLost      PutStatus = "lost"      // parts that were stored are not there any more
	PutBusy      PutStatus = "busy"      // too many documents of the collector are not whole
	PutTooLarge  PutStatus = "too-large" // its parts are more than a document may have
	PutMalformed PutStatus = "malformed" // its bytes are not those that its header tells of
)

// DocumentFilter chooses documents, newest first. Zero values choose all.
type DocumentFilter struct {
	Collector, Device, Item, Run string
	Latest                       bool // only the newest of each device and item
	Limit                        int  // 0 means no limit
}
