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
	// LastComplete is the start of the run of each device's last complete collection, so
	// that a restart does not collect twice in one window.
	LastComplete map[string]time.Time `json:"last_complete,omitempty"`
	// LastManifest is the hash of the newest manifest that the cloud holds of
	// this collector: the next one chains to it.
	LastManifest string `json:"last_manifest,omitempty"`
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
}

// MaxReceipts is the most receipts of one batch.
const MaxReceipts = 64

// Receipt says what became of one document or manifest.
type Receipt struct {
	ID        string        `json:"id"` // of the document or manifest
	Status    ReceiptStatus `json:"status"`
	Code      string        `json:"code,omitempty"`      // why it was rejected, one word
	Retryable bool          `json:"retryable,omitempty"` // send it again, same id
}

// ReceiptStatus is what became of a document.
type ReceiptStatus string

// The statuses of a receipt.
const (
	Stored    ReceiptStatus = "stored"    // committed to the database
	Duplicate ReceiptStatus = "duplicate" // that id, or that item of that run, was committed before
	Rejected  ReceiptStatus = "rejected"  // not stored; see Code and Retryable
	Complete  ReceiptStatus = "complete"  // a manifest: every document it names as sent is stored
)

// Need asks for what is missing; it is signed with the config-signing key.
type Need struct {
	V         int      `json:"v"`
	Collector string   `json:"collector"`
	Boot      string   `json:"boot"`
	Run       string   `json:"run,omitempty"`
	IDs       []string `json:"ids,omitempty"`    // documents to send again
	Resync    string   `json:"resync,omitempty"` // hello, state or facts
}

// Desired is the whole desired configuration of a collector. It travels in
// signed frames.
type Desired struct {
	V           int                   `json:"v"`
	Collector   string                `json:"collector"`
	Boot        string                `json:"boot"`
	Version     uint64                `json:"version"`
	NotBefore   time.Time             `json:"not_before,omitzero"`
	Schedule    Schedule              `json:"schedule"`
	Profiles    map[string][]string   `json:"profiles"` // name → items
	Credentials map[string]Credential `json:"credentials"`
	Bastions    map[string]Bastion    `json:"bastions,omitempty"`
	Devices     []Device              `json:"devices"`
	Limits      CollectLimits         `json:"limits"`
	Masking     Masking               `json:"masking,omitzero"`
	// AllowCLI lets a device that refuses NETCONF be asked by CLI commands, which
	// cost it about ten times as much.
	AllowCLI bool `json:"allow_cli_fallback,omitempty"`
}

// Masking is what is replaced in documents before they leave. The zero value
// masks what DefaultMasking of the collector says, with a key of the boot.
type Masking struct {
	// Classes are switched on or off by name; one that is not named has the
	// collector's default: user-names, snmp-communities and secrets are on,
	// mac-addresses, ip-addresses and descriptions are off.
	Classes map[string]bool `json:"classes,omitempty"`
	Rules   []MaskRule      `json:"rules,omitempty"`
	// Key makes the pseudonyms: the same value under the same key has the same
	// one. It is sealed to the boot key with MaskingInfo; empty: the collector
	// makes one that lasts until it restarts.
	Key     []byte `json:"key,omitempty"`
	Version string `json:"version,omitempty"` // changes whenever the key does
}

// MaskRule masks more than the classes do: the text of the elements that Path
// names, or what Pattern matches in it.
type MaskRule struct {
	Class   string `json:"class"`             // the pseudonym's prefix, a word of lower case letters, digits and hyphens
	Item    string `json:"item,omitempty"`    // only in this item; empty: in all
	Path    string `json:"path,omitempty"`    // local names from the inside out of the document: "user-entry/user"; empty: any text
	Pattern string `json:"pattern,omitempty"` // RE2; empty: the whole text
}

// Schedule is when a collector collects by itself.
type Schedule struct {
	Start    string `json:"start,omitempty"`    // "02:00", in Timezone; empty: only on demand
	Window   string `json:"window,omitempty"`   // Go duration, "2h"; device starts are spread over it
	Timezone string `json:"timezone,omitempty"` // IANA name; empty means UTC
}

// The kinds of a Credential.
const (
	KindPassword   = "password"
	KindPrivateKey = "private-key"
)

// Credential is a log-in for devices or bastions. Sealed is a CredentialSecret,
// sealed to the boot key with CredentialInfo.
type Credential struct {
	Kind     string `json:"kind"`
	Username string `json:"username"`
	Version  string `json:"version"` // changes whenever the secret does
	Sealed   []byte `json:"sealed"`
}

// Bastion is a host that devices are reached through.
type Bastion struct {
	Address     string   `json:"address"`        // IP address or host name
	Port        uint16   `json:"port,omitempty"` // 0 means 22
	Credential  string   `json:"credential"`
	HostKeys    []string `json:"host_keys"`              // authorized_keys lines, SHA256: fingerprints, or "@cert-authority " and a line
	Via         []string `json:"via,omitempty"`          // bastions before it, in order
	MaxSessions int      `json:"max_sessions,omitempty"` // through it at once; 0 means CollectLimits.PerBastion
	TrustFirst  bool     `json:"trust_first,omitempty"`
	Legacy      bool     `json:"legacy_algorithms,omitempty"` // offer it what is weak or broken as well
}

// Device is one device to collect from.
type Device struct {
	ID         string   `json:"id"`
	Address    string   `json:"address"`        // IP address or host name
	Port       uint16   `json:"port,omitempty"` // 0 means 830, then 22
	Credential string   `json:"credential"`
	Bastions   []string `json:"bastions,omitempty"` // in order, the first is dialled directly
	HostKeys   []string `json:"host_keys"`
	TrustFirst bool     `json:"trust_first,omitempty"` // trust the first key seen and report it
	Profile    string   `json:"profile,omitempty"`     // empty means DefaultProfile
	Legacy     bool     `json:"legacy_algorithms,omitempty"`
	// Pipeline is how many requests may be under way at once. 0: the collector
	// decides by the device's own record; 1: never more than one.
	Pipeline int `json:"pipeline,omitempty"`
}

// DefaultProfile is the profile of a device that names none.
const DefaultProfile = "daily"

// CollectLimits bound what a collector asks of the customer's network. Zero
// values mean the collector's defaults.
type CollectLimits struct {
	Concurrency      int   `json:"concurrency,omitempty"`
	MaxDocumentBytes int64 `json:"max_document_bytes,omitempty"`
	PerBastion       int   `json:"per_bastion,omitempty"` // sessions through one bastion at once; 0 means 64
	// LoginsPerSecond bounds the log-ins with one credential. 0 means 10.
	LoginsPerSecond float64 `json:"logins_per_second,omitempty"`
	// MaxCPU is the load of a routing engine in per cent over which large items
	// are left out. 0 means 85; 100 switches the gate off.
	MaxCPU int `json:"max_cpu,omitempty"`
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
	Devices   []string  `json:"devices,omitempty"` // collect: which; empty means all
}

// JobKind is a command.
type JobKind string

// The commands of version 1.
const (
	JobCollect   JobKind = "collect"
	JobProbe     JobKind = "probe"
	JobRenewCert JobKind = "renew-cert"
	JobUpdate    JobKind = "update"
	JobRestart   JobKind = "restart"
)

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

// Manifest accounts for everything of one run in one boot. It travels in frames
// signed with the identity key. Its hash is the SHA-256 of its JSON, as framed.
type Manifest struct {
	V         int             `json:"v"`
	Collector string          `json:"collector"`
	Boot      string          `json:"boot"`
	Run       string          `json:"run"`
	Job       string          `json:"job,omitempty"` // the collect job that asked; empty: by schedule
	Started   time.Time       `json:"started"`
	Finished  time.Time       `json:"finished"`
	Previous  string          `json:"previous,omitempty"` // hash of the manifest before
	Devices   []DeviceResult  `json:"devices"`
	Documents []ManifestEntry `json:"documents"`
}

// DeviceResult is how the collection of one device ended.
type DeviceResult struct {
	Device    string  `json:"device"`
	OK        bool    `json:"ok"`
	Phase     string  `json:"phase,omitempty"` // where it failed: resolve, connect, auth…
	Kind      string  `json:"kind,omitempty"`  // what failed, one word of a closed set
	Error     string  `json:"error,omitempty"` // for the operator: what happened, what to do
	Documents int     `json:"documents"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	// HostKey is the fingerprint of a key trusted on first use, to be pinned.
	HostKey string `json:"host_key,omitempty"`
	// Access tells how the device was reached; nil where it was not.
	Access *Access `json:"access,omitempty"`
}

// Access is how a device was reached.
type Access struct {
	Mode string `json:"mode"` // netconf, xml-mode or cli
	Port uint16 `json:"port"`
	Hops []Hop  `json:"hops"` // the bastions in order, and the device
}

// Hop is one SSH connection of an Access, with what was negotiated on it.
type Hop struct {
	Name        string `json:"name"`
	KeyExchange string `json:"key_exchange"`
	HostKey     string `json:"host_key"` // algorithm
	Cipher      string `json:"cipher"`
	MAC         string `json:"mac,omitempty"` // empty where the cipher needs none
}

// Probe is the staged diagnosis of one device.
type Probe struct {
	Device string      `json:"device"`
	OK     bool        `json:"ok"`
	Steps  []ProbeStep `json:"steps"`
	Access *Access     `json:"access,omitempty"`
	// Class and Permissions are what the device says of the account; Excess are
	// the rights that collecting does not need: the account can change, clear or
	// request something.
	Class       string   `json:"class,omitempty"`
	Permissions []string `json:"permissions,omitempty"`
	Excess      []string `json:"excess,omitempty"`
}

// ProbeStep is one stage of a Probe: resolve, connect, version, key-exchange,
// host-key, auth, subsystem, hello, permission, privilege, parse.
type ProbeStep struct {
	Stage   string  `json:"stage"`
	Hop     string  `json:"hop,omitempty"` // bastion; empty: the device
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Kind    string  `json:"kind,omitempty"`   // of the failure
	Detail  string  `json:"detail,omitempty"` // what was found, or what is wrong and what to do
}

// ManifestEntry accounts for one item of one device.
type ManifestEntry struct {
	ID      string      `json:"id,omitempty"` // of the document; empty when there is none
	Device  string      `json:"device"`
	Item    string      `json:"item"`
	Status  EntryStatus `json:"status"`
	Outcome string      `json:"outcome,omitempty"` // of the reply scan
	SHA256  string      `json:"sha256,omitempty"`
	Size    int64       `json:"size"`
	Sent    int64       `json:"sent"`             // bytes that left, all parts, without redelivery
	Reason  string      `json:"reason,omitempty"` // why there is no stored document
	// RawSHA256 and RawSize are of the bytes as the device sent them, where masking
	// or the repair of invalid UTF-8 changed them. Masked counts the values that
	// were replaced, by class.
	RawSHA256 string         `json:"raw_sha256,omitempty"`
	RawSize   int64          `json:"raw_size,omitempty"`
	Masked    map[string]int `json:"masked,omitempty"`
}

// EntryStatus is what became of one item.
type EntryStatus string

// The statuses of an entry.
const (
	EntryStored    EntryStatus = "stored"    // the cloud's receipt says so
	EntryDuplicate EntryStatus = "duplicate" // the cloud had it from an earlier boot
	EntryRejected  EntryStatus = "rejected"  // the cloud refused it; see Reason
	EntryFailed    EntryStatus = "failed"    // the device gave no reply; see Reason
	EntryLost      EntryStatus = "lost"      // collected, and dropped; see Reason
	EntrySkipped   EntryStatus = "skipped"   // not asked for; see Reason
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
}

// Event is something that an operator should know. Its text holds no secret and
// no fact.
type Event struct {
	V         int       `json:"v"`
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"` // one word of a closed set, as in docs/protocol.md
	Device    string    `json:"device,omitempty"`
	Text      string    `json:"text"`
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
