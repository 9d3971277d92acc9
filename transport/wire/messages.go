package wire

import "time"

// Hello is the first message of a connection; it is signed with the
// collector's identity key.
type Hello struct {
	V            int       `json:"v"`
	Collector    string    `json:"collector"`
	Boot         string    `json:"boot"`         // ULID, new at every start of the daemon
	Conn         uint64    `json:"conn"`         // counts the connections of a boot, from 1
	Firmware     string    `json:"firmware"`     // version of the daemon
	BootKey      []byte    `json:"boot_key"`     // HPKE public key of this boot
	Capabilities []string  `json:"capabilities"` // items it knows are "item:NAME"
	Config       ConfigRef `json:"config"`       // what it runs now; zero: none yet
	Nonce        []byte    `json:"nonce"`        // 16 random bytes, echoed by the welcome
	Clock        time.Time `json:"clock"`
	Ports        PortState `json:"ports"`
	LastManifest string    `json:"last_manifest,omitempty"` // hash of the newest manifest of this boot
	Box          Box       `json:"box,omitzero"`            // the machine, as far as lwcd knows it
}

// Box is what a collector says of the machine that it runs on. The cloud shows it;
// nothing is decided by it, since a box that was taken over may say anything.
type Box struct {
	Image    string `json:"image,omitempty"`    // version of the appliance image that runs; empty: lwcd was installed on a system of somebody's own
	Trial    bool   `json:"trial,omitempty"`    // this version has not proved itself yet: the next failure brings the one before back
	Identity string `json:"identity,omitempty"` // where the identity key lives: tpm or file
	// SecureBoot is on, off or unknown.
	SecureBoot string `json:"secure_boot,omitempty"`
	// CommandLine tells whether the kernel was started with words that the image does
	// not hold (TPM, PCR 12): as-built, extended or unknown.
	CommandLine string `json:"command_line,omitempty"`
	Hardware    string `json:"hardware,omitempty"` // maker and model, as the firmware names them
}

// ConfigRef names one version of a desired configuration.
type ConfigRef struct {
	Version uint64 `json:"version"`
	SHA256  string `json:"sha256,omitempty"`
}

// PortState is what the collector says of its two ports.
type PortState struct {
	Mode     string `json:"mode"`               // enforce, userns or unprotected
	State    string `json:"state"`              // open, blocked or down
	Detail   string `json:"detail,omitempty"`   // in words, when not open
	Internal string `json:"internal,omitempty"` // name of the port's link
	External string `json:"external,omitempty"`
	// Since is when State became what it is; zero: not known.
	Since time.Time `json:"since,omitzero"`
	// Degraded says in words, one entry each, what this kernel cannot do of the
	// separation, and which kernel can.
	Degraded []string `json:"degraded,omitempty"`
	// Latched ports stay blocked until the daemon is restarted: too many
	// violations came in too short a time.
	Latched bool `json:"latched,omitempty"`
	// Violations were found since the daemon started; of these, Healed were put
	// right by it.
	Violations uint64 `json:"violations,omitempty"`
	Healed     uint64 `json:"healed,omitempty"`
}

// Welcome answers a hello; it is signed with the config-signing key. Only it
// proves that the broker carries messages both ways.
type Welcome struct {
	V         int       `json:"v"`
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Nonce     []byte    `json:"nonce"`
	Time      time.Time `json:"time"`
	Limits    Limits    `json:"limits"`
	Config    ConfigRef `json:"config"` // wanted; Version 0: none yet
	// IngestKey is the HPKE public key that bodies are sealed to. Empty when
	// the broker is the cloud's own and TLS ends inside it.
	IngestKey []byte `json:"ingest_key,omitempty"`
	// LastManifest is the hash of the newest manifest that the cloud holds of
	// this collector: the next one chains to it.
	LastManifest string `json:"last_manifest,omitempty"`
	// OpenRuns are runs of earlier boots by schedule that no manifest has ended. The
	// collector goes on with each, or ends it.
	OpenRuns []OpenRun `json:"open_runs,omitempty"`
}

// OpenRun is a run that no manifest has ended.
type OpenRun struct {
	Run      string    `json:"run"`
	Schedule string    `json:"schedule"`
	Window   time.Time `json:"window"` // its start
}

// Limits bound what a collector sends.
type Limits struct {
	WindowBytes      int64 `json:"window_bytes"` // without receipt, at most
	MaxFrame         int   `json:"max_frame"`
	HeartbeatSeconds int   `json:"heartbeat_seconds"`
}

// Receipts is a batch of receipts; it is signed with the config-signing key, so
// that a broker cannot make a collector forget a document.
type Receipts struct {
	V         int       `json:"v"`
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Receipts  []Receipt `json:"receipts"`
	// WindowBytes is the window from now on: a busy cloud makes it smaller, and
	// larger again. 0: as it is.
	WindowBytes int64 `json:"window_bytes,omitempty"`
}

// MaxReceipts is the most receipts of one batch.
const MaxReceipts = 64

// Receipt says what became of one document or manifest.
type Receipt struct {
	ID        string        `json:"id"` // of the document, manifest or event
	Status    ReceiptStatus `json:"status"`
	Code      string        `json:"code,omitempty"`      // why it was rejected, one word
	Retryable bool          `json:"retryable,omitempty"` // send it again, same id
	Parts     int           `json:"parts,omitempty"`     // kept: so many parts, from the first on
}

// ReceiptStatus is what became of a document.
type ReceiptStatus string

// The statuses of a receipt.
const (
	Stored    ReceiptStatus = "stored"    // committed to the database
	Duplicate ReceiptStatus = "duplicate" // that id, or that item of that run, was committed before
	Rejected  ReceiptStatus = "rejected"  // not stored; see Code and Retryable
	Complete  ReceiptStatus = "complete"  // a manifest: every document it names as sent is stored
	Kept      ReceiptStatus = "kept"      // a document under way: Parts are committed, and need not be sent again
	Offered   ReceiptStatus = "offered"   // the header of a held document is committed
)

// Need asks for what is missing; it is signed with the config-signing key.
type Need struct {
	V         int      `json:"v"`
	Collector string   `json:"collector"`
	Boot      string   `json:"boot"`
	Run       string   `json:"run,omitempty"`
	IDs       []string `json:"ids,omitempty"`    // documents to send again
	Resync    string   `json:"resync,omitempty"` // hello, state or facts
	// Release are held documents that an admin has approved, Decline those that an
	// admin has refused.
	Release []string `json:"release,omitempty"`
	Decline []string `json:"decline,omitempty"`
}

// State tells what became of a desired configuration; it is signed with the
// identity key.
type State struct {
	V         int         `json:"v"`
	Collector string      `json:"collector"`
	Boot      string      `json:"boot"`
	Config    ConfigRef   `json:"config"`
	Status    ConfigState `json:"status"`
	Error     string      `json:"error,omitempty"` // why all of it failed or was rejected
	Items     []ItemError `json:"items,omitempty"` // entries that are left out
}

// ConfigState is a step in the life of a desired configuration.
type ConfigState string

// The steps. Rejected means that it was not trusted (signature, boot, age);
// failed that it was trusted and is unusable.
const (
	ConfigReceived ConfigState = "received"
	ConfigApplying ConfigState = "applying"
	ConfigApplied  ConfigState = "applied"
	ConfigFailed   ConfigState = "failed"
	ConfigRejected ConfigState = "rejected"
)

// ItemError is one entry of a configuration that cannot be used.
type ItemError struct {
	Path  string `json:"path"` // devices/edge-1, profiles/daily/show-foo
	Error string `json:"error"`
}

// Job is one command for a collector, of a closed set; it is signed with the
// config-signing key.
type Job struct {
	V         int       `json:"v"`
	ID        string    `json:"id"` // ULID; a job is carried out once
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Kind      JobKind   `json:"kind"`
	Expires   time.Time `json:"expires"`
	Run       string    `json:"run,omitempty"`     // collect: the run that its documents belong to
	Devices   []string  `json:"devices,omitempty"` // collect, probe: which; empty means all
	// Part counts from 0 the Parts of a job whose devices do not fit into one message;
	// each part has the rest of the fields too. Parts 0 or 1: it is whole.
	Part    int    `json:"part,omitempty"`
	Parts   int    `json:"parts,omitempty"`
	Release string `json:"release,omitempty"` // update: the version wanted; empty: the newest
	Source  string `json:"source,omitempty"`  // update: URL of the release's manifest; empty: the cloud's own
	// RebootAt is when an update that is installed is started; zero: at once.
	RebootAt time.Time `json:"reboot_at,omitzero"`
	// RebootBefore is until when an update is installed, since a restart comes with it;
	// after it the job fails, and another one may be given. Zero: for ever.
	RebootBefore time.Time `json:"reboot_before,omitzero"`
}

// MaxJobParts bounds the parts of a job, some 60 KB of names each.
const MaxJobParts = 64

// JobKind is a command.
type JobKind string

// The commands of version 1.
const (
	JobCollect   JobKind = "collect"
	JobProbe     JobKind = "probe"
	JobRenewCert JobKind = "renew-cert"
	JobUpdate    JobKind = "update"
	JobRestart   JobKind = "restart"
	// JobFactoryReset has the box forget its identity and its settings, and start as
	// if it were new. It has no done: the box that it was is gone.
	JobFactoryReset JobKind = "factory-reset"
)

// JobKinds is all of them: what the cloud may order, and a collector of this version
// takes.
func JobKinds() []JobKind {
	return []JobKind{JobCollect, JobProbe, JobRenewCert, JobUpdate, JobRestart, JobFactoryReset}
}

// JobStatus is progress or the end of a job; it is signed with the identity key.
type JobStatus struct {
	V         int           `json:"v"`
	ID        string        `json:"id"`
	Collector string        `json:"collector"`
	Boot      string        `json:"boot"`
	State     JobState      `json:"state"`
	Error     string        `json:"error,omitempty"`
	Done      int           `json:"done"`             // devices finished
	Total     int           `json:"total"`            // devices of the job
	Detail    string        `json:"detail,omitempty"` // progress or result in words
	Device    *DeviceResult `json:"device,omitempty"` // the one that just finished
	Probe     *Probe        `json:"probe,omitempty"`  // of a probe job: the device that just finished
}

// JobState is where a job is.
type JobState string

// The states of a job.
const (
	JobAccepted JobState = "accepted"
	JobRunning  JobState = "running"
	JobDone     JobState = "done"
	JobFailed   JobState = "failed"
	JobRefused  JobState = "refused" // unknown, expired, or not possible here
)

// Health is the heartbeat.
type Health struct {
	V          int              `json:"v"`
	Collector  string           `json:"collector"`
	Boot       string           `json:"boot"`
	Time       time.Time        `json:"time"`
	Uptime     float64          `json:"uptime"` // seconds
	Config     ConfigRef        `json:"config"`
	QueueBytes int64            `json:"queue_bytes"` // documents without receipt
	RSS        int64            `json:"rss"`         // bytes
	Ports      PortState        `json:"ports"`
	Counters   map[string]int64 `json:"counters,omitempty"`
	LastRun    string           `json:"last_run,omitempty"`
	NextRun    time.Time        `json:"next_run,omitzero"` // by schedule
	Budget     int64            `json:"budget,omitempty"`  // bytes that documents without receipt may have
	Checks     []Check          `json:"checks,omitempty"`  // of the collector's own surroundings
	Errors     []Trouble        `json:"errors,omitempty"`  // the last ones, newest first
}

// Check is one thing that the collector looks at when it starts and again and
// again: the ports, limits of memory, swap, core files, entropy, the clock.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // in words; where it is not OK, what to do
}

// Trouble is something that went wrong. Its text holds no secret and no fact.
type Trouble struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Event is something that an operator should know. Its text holds no secret and
// no fact.
type Event struct {
	V         int       `json:"v"`
	ID        string    `json:"id,omitempty"` // a ULID, of the receipt; none: the cloud makes the event
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"` // one word of a closed set, as in docs/protocol.md
	Device    string    `json:"device,omitempty"`
	Text      string    `json:"text"`
	// Violation tells what a port-violation is about; nil: it is of another
	// kind, or a change of the ports' state alone.
	Violation *PortViolation `json:"violation,omitempty"`
}

// PortViolation is one way in which the kernel differed from what keeps the two
// ports apart.
type PortViolation struct {
	Kind   string    `json:"kind"`           // one word, as in docs/protocol.md
	Port   string    `json:"port,omitempty"` // internal or external; empty: outside both ports
	Detail string    `json:"detail"`         // what was found, in words
	Healed bool      `json:"healed"`         // the collector put it right
	At     time.Time `json:"at"`             // when it was found
}

// The kinds of an Event.
const (
	EventConfigRejected = "config-rejected"
	EventUnknownItem    = "unknown-item"
	EventHostKeyFirst   = "host-key-first-use"
	EventHostKeyChanged = "host-key-changed"
	EventCredential     = "credential-refused"
	EventClockStep      = "clock-step"
	EventPortViolation  = "port-violation"
	EventJobRefused     = "job-refused"
	EventOverPrivileged = "over-privileged" // the account can do more than show
	EventLegacy         = "legacy-algorithms"
	EventHalfRestarted  = "half-restarted" // the collector half ended unexpectedly
	EventDialRefused    = "dial-refused"   // something beside the allow-list was dialled
	EventManifest       = "manifest-refused"
)

// Bye is the will message, and the last message of a clean stop.
type Bye struct {
	V         int    `json:"v"`
	Collector string `json:"collector"`
	Boot      string `json:"boot"`
	Conn      uint64 `json:"conn"`
	Clean     bool   `json:"clean"`
}

// Bootstrap is the answer of GET /collector/v1/bootstrap.
type Bootstrap struct {
	V         int        `json:"v"`
	Collector string     `json:"collector"`
	Prefix    string     `json:"prefix"`     // of the topics
	ConfigKey []byte     `json:"config_key"` // Ed25519, PKIX; signs all that comes down
	Endpoints []Endpoint `json:"endpoints"`  // in the order to try
}

// Endpoint is one way to the broker.
type Endpoint struct {
	Kind string `json:"kind"`           // mqtt or wss
	Host string `json:"host"`           // host:port
	ALPN bool   `json:"alpn,omitempty"` // offer the TLS protocol "mqtt" (shared port)
	Path string `json:"path,omitempty"` // of a wss endpoint
}

// The kinds of an Endpoint.
const (
	EndpointMQTT = "mqtt"
	EndpointWSS  = "wss"
)

// ALPN is the TLS application protocol that leads to the broker on a shared port.
const ALPN = "mqtt"

// The HTTP paths of enrolment (RFC 7030 §3.2.2) and of the bootstrap answer.
const (
	PathCACerts   = "/.well-known/est/cacerts"
	PathEnroll    = "/.well-known/est/simpleenroll"
	PathReenroll  = "/.well-known/est/simplereenroll"
	PathBootstrap = "/collector/v1/bootstrap"
	PathMQTT      = "/mqtt"
)
