package edp

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// The errors that callers tell apart with errors.Is. All are wrapped with what
// they are about.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	// ErrUnavailable says that the database cannot do it now, as with a full disk:
	// nothing was changed, and the same may work later.
	ErrUnavailable = errors.New("the database is not available")
	// ErrSuperseded says that a boot of a collector was followed by another.
	ErrSuperseded = errors.New("it is of a boot that was followed by another")
	// ErrDenied hides which of several things was wrong: name or password,
	// token id or secret.
	ErrDenied = errors.New("access denied")
	// ErrInvalid says that a value can never be accepted, as a password that is
	// too short.
	ErrInvalid = errors.New("invalid")
	// ErrLink says that a one-time link is of no use.
	ErrLink = errors.New("the link is wrong, expired or already used: make a new one with lwc-cloud admin-link")
)

// The ways in which an enrolment token can be refused.
var (
	ErrTokenUnknown = errors.New("the enrolment token is not known here: make one with lwc-cloud enrol-token")
	ErrTokenExpired = errors.New("the enrolment token has expired: make a new one")
	ErrTokenUsed    = errors.New("the enrolment token is used up: make a new one")
	ErrTokenBound   = errors.New("the enrolment token is bound to another collector")
	ErrIDTaken      = errors.New("this collector id belongs to another key: choose another id, or make a token bound to it to replace that collector")
	ErrRevoked      = errors.New("the collector is revoked: make a token bound to its id to admit it again")
)

// Role is what a user or an API token may do.
type Role string

// The roles. Standard reads; admin also changes.
const (
	RoleAdmin    Role = "admin"
	RoleStandard Role = "standard"
)

// User is a person who may log in to the portal.
type User struct {
	Name    string
	Role    Role
	Created time.Time
	// Stamp changes with the password and the role, and is another for a new
	// user of the same name. A session that began with another one is over.
	Stamp string
}

// Principal is who stands behind an API token.
type Principal struct {
	Name string
	Role Role
}

// APIToken describes an API token; its secret is kept nowhere.
type APIToken struct {
	ID, Name string
	Role     Role
	Created  time.Time
	Expires  time.Time // zero: never
}

// EnrolTokenSpec says what an enrolment token allows.
type EnrolTokenSpec struct {
	// Collector is the only id that the token enrols; empty: any new one. A
	// bound token also replaces the key of that collector, and admits it again
	// after a revocation.
	Collector string
	// Uses is how many collectors it enrols; 0 means 1.
	Uses int
	// TTL is how long it lives; 0 means 24 hours.
	TTL time.Duration
	// By is who makes it; Label says in a line what for. Both may be empty.
	By, Label string
}

// OpenEnrolToken describes an enrolment token that still admits somebody; its secret is
// kept nowhere.
type OpenEnrolToken struct {
	ID               string
	Collector        string // the only id that it enrols; empty: any new one
	UsesLeft         int
	By, Label        string // empty: not known
	Created, Expires time.Time
}

// CollectorState is whether a collector may connect.
type CollectorState string

// The states. A pending collector has a fleet and never enrolled.
const (
	CollectorPending CollectorState = "pending"
	CollectorActive  CollectorState = "active"
	CollectorRevoked CollectorState = "revoked"
)

// Collector is an entry of the registry and what the collector said last.
type Collector struct {
	ID            string
	State         CollectorState
	SPKI          string // its public key: PKIX DER in base64, see PublicKey
	Serial        string // of its newest certificate, hexadecimal
	CertNotAfter  time.Time
	CreatedAt     time.Time
	Boot          string // of the last hello
	Conn          uint64
	BootKey       []byte // HPKE public key of that boot
	Capabilities  []string
	Firmware      string
	Box           wire.Box // the machine, as it says itself
	Online        bool
	LastSeen      time.Time
	LostAt        time.Time      // when it was gone without a word; zero: it is there, or stopped in order
	MissedAt      time.Time      // since when a sign of life is waited for; zero: it is there, stopped, or its loss was told
	ConfigVersion uint64         // of the fleet, the wanted one; 0: no fleet yet
	Applied       wire.ConfigRef // what it says it runs
	AppliedStatus wire.ConfigState
	AppliedError  string
	ItemErrors    []wire.ItemError
	Ports         wire.PortState
	Health        *wire.Health // nil: none yet
	LastRun       *Run         // newest; without Devices and Manifests
}

// PublicKey returns the identity key that the collector's messages are signed
// with.
func (c Collector) PublicKey() (crypto.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(c.SPKI)
	if err != nil {
		return nil, fmt.Errorf("reading the key of collector %s: %w", c.ID, err)
	}
	return wire.ParsePublicKey(der)
}

// Enrolment is what becomes of a certificate that was issued.
type Enrolment struct {
	Collector string
	SPKI      string // PKIX DER in base64
	Serial    string // hexadecimal
	NotAfter  time.Time
}

// Fleet is the desired configuration of a collector.
type Fleet struct {
	Collector   string
	Version     uint64          // set by GetFleet; PutFleet ignores it
	Schedules   []wire.Schedule // each with a name of its own
	Egress      wire.Egress
	Profiles    map[string][]string
	Credentials []Credential
	Bastions    []Bastion
	Devices     []Device
	Limits      wire.CollectLimits
	Masking     Masking
	AllowCLI    bool           // devices that refuse NETCONF may be asked by CLI commands
	Updates     rollout.Policy // when its box may change its release; zero: as the cloud's default says
	By          string         // who changes it, for the event of another Updates; GetFleet leaves it empty
}

// Masking is what a collector replaces in documents before they leave, and the
// key that it makes pseudonyms with. Two with the same Version hold the same key.
type Masking struct {
	Classes map[string]bool
	Rules   []wire.MaskRule
	Version string // of the key; empty: there is none yet
	Cipher  []byte `json:"-"` // the key as the vault sealed it; never leaves the process
}

// Credential is a log-in for devices or bastions. Two credentials with the same
// id and Version hold the same secret, whatever their Cipher.
type Credential struct {
	ID, Kind, Username, Version string
	Cipher                      []byte `json:"-"` // as the vault sealed it; never leaves the process
}

// Bastion is a host that devices are reached through.
type Bastion struct {
	ID string `json:"id"`
	wire.Bastion
}

// Device is a device to collect from. Its groups are the cloud's own: collectors
// do not know them.
type Device struct {
	wire.Device
	Groups []string `json:"groups,omitempty"`
}

// Change is one thing that a new fleet changed. It holds no secret.
type Change struct {
	Action ChangeAction
	Kind   string // credential, bastion, device, schedule, egress, profile, limits, masking, fallback or updates
	ID     string // empty for those that there is one of
	Detail string // in words, may be empty
}

// ChangeAction is what happened to an entry.
type ChangeAction string

// The actions of a Change.
const (
	Added   ChangeAction = "added"
	Changed ChangeAction = "changed"
	Removed ChangeAction = "removed"
)

// DeviceState is how the last collection of a device ended.
type DeviceState string

// The states. A new device was never tried.
const (
	DeviceNew    DeviceState = "new"
	DeviceOK     DeviceState = "ok"
	DeviceFailed DeviceState = "failed"
)

// DeviceRow is a device of the fleet with what is known of it.
type DeviceRow struct {
	Collector                        string
	Device                           wire.Device
	Groups                           []string
	HostName, Model, Version, Serial string
	Serials                          []string // chassis first
	State                            DeviceState
	Phase, Kind, Error               string // of the last failure; empty when ok
	HostKey                          string // fingerprint trusted on first use, to be pinned
	LastRun                          string
	LastAttempt, LastSuccess         time.Time
	Documents                        int // stored of LastRun
	Bytes                            int64
	Seconds                          float64
	Access                           *wire.Access // how it was reached last; nil: never
}
