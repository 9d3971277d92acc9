package wire

import "time"

// Manifest accounts for everything of one run in one boot. It travels in frames
// signed with the identity key. Its hash is the SHA-256 of its JSON, as framed.
type Manifest struct {
	V         int       `json:"v"`
	Collector string    `json:"collector"`
	Boot      string    `json:"boot"`
	Run       string    `json:"run"`
	Job       string    `json:"job,omitempty"` // the collect job that asked; empty: by schedule
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
	Previous  string    `json:"previous,omitempty"` // hash of the manifest before
	Schedule  string    `json:"schedule,omitempty"` // by which the run was made; empty: a job asked
	Window    time.Time `json:"window,omitzero"`    // start of the schedule's window
	Mode      string    `json:"mode,omitempty"`     // of the egress
	// Section counts the manifests of this run and boot, from 1: a long run is
	// accounted for piece by piece. Last ends the run; Reason then tells why, where
	// it was cut off.
	Section   int             `json:"section"`
	Last      bool            `json:"last,omitempty"`
	Reason    string          `json:"reason,omitempty"`
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
	Sent    int64       `json:"sent"`             // bytes that left, all parts, without redelivery; of a shared frame its part
	Reason  string      `json:"reason,omitempty"` // why there is no stored document
	// RawSHA256 and RawSize are of the bytes as the device sent them, where masking
	// or the repair of invalid UTF-8 changed them. Masked counts the values that
	// were replaced, by class.
	RawSHA256 string         `json:"raw_sha256,omitempty"`
	RawSize   int64          `json:"raw_size,omitempty"`
	Masked    map[string]int `json:"masked,omitempty"`
	// Unchanged: the document was told without a body, being equal to the one before.
	Unchanged bool `json:"unchanged,omitempty"`
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
	EntryWithheld  EntryStatus = "withheld"  // collected, and its body did not leave; see Reason
)
