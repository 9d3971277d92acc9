// Package apitype holds the messages of the HTTP API. The server encodes them,
// the client decodes them; none has a field for a secret that the cloud keeps.
package apitype

import (
	"time"

	"lwc/cloud/fleet"
	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// Prefix is the path that all operations stand under.
const Prefix = "/api/v1"

// Collector is one collector, as the cloud knows it.
type Collector struct {
	ID                 string           `json:"id" doc:"Collector id, also the common name of its certificate."`
	State              string           `json:"state" doc:"pending (it has a fleet and never enrolled), active or revoked."`
	Online             bool             `json:"online" doc:"Whether it is connected now."`
	Boot               string           `json:"boot,omitempty" doc:"Names the time since its daemon started."`
	Firmware           string           `json:"firmware,omitempty" doc:"Version of the collector's daemon."`
	LastSeen           time.Time        `json:"last_seen,omitzero" doc:"When it last said something."`
	EnrolledAt         time.Time        `json:"enrolled_at,omitzero"`
	CertificateExpires time.Time        `json:"certificate_expires,omitzero"`
	ConfigVersion      uint64           `json:"config_version" doc:"Version that the cloud wants; 0: none yet."`
	AppliedVersion     uint64           `json:"applied_version" doc:"Version that the collector holds."`
	AppliedStatus      string           `json:"applied_status,omitempty" doc:"received, applying, applied, failed or rejected."`
	AppliedError       string           `json:"applied_error,omitempty"`
	Box                wire.Box         `json:"box,omitzero" doc:"The machine, as the collector says itself."`
	Ports              wire.PortState   `json:"ports"`
	PortsNeed          []string         `json:"ports_need,omitempty" doc:"What an operator has to know of the ports, and to do; nothing when they are open, separated, and the kernel can do all of it."`
	Health             *wire.Health     `json:"health,omitempty" doc:"Its last heartbeat."`
	LostAt             time.Time        `json:"lost_at,omitzero" doc:"When it fell silent, or its connection broke; absent while it is online, and after a good-bye."`
	AwaitedSince       time.Time        `json:"awaited_since,omitzero" doc:"Since when a sign of life is waited for: the cloud started anew, or the connection broke. After three heartbeats it is lost."`
	HealthNeed         []string         `json:"health_need,omitempty" doc:"What an operator has to know of its health, and to do; nothing when all is well."`
	LastRun            *Run             `json:"last_run,omitempty"`
	ItemErrors         []wire.ItemError `json:"item_errors,omitempty" doc:"Entries of the configuration that it cannot use."`
}

// Device is one device with what is known of it.
type Device struct {
	Collector string `json:"collector"`
	fleet.Device
	HostName    string    `json:"host_name,omitempty" doc:"As the device calls itself."`
	Model       string    `json:"model,omitempty"`
	Version     string    `json:"version,omitempty" doc:"Junos release."`
	Serial      string    `json:"serial,omitempty" doc:"Of the chassis."`
	State       string    `json:"state" doc:"new, ok or failed."`
	Phase       string    `json:"phase,omitempty" doc:"Where the last collection failed."`
	Kind        string    `json:"kind,omitempty" doc:"What failed, one word."`
	Error       string    `json:"error,omitempty" doc:"What happened and what to do."`
	HostKey     string    `json:"host_key,omitempty" doc:"Fingerprint that was trusted on first use, to be pinned."`
	LastRun     string    `json:"last_run,omitempty"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	Documents   int       `json:"documents" doc:"Documents of the last run."`
	Bytes       int64     `json:"bytes"`
	Seconds     float64   `json:"seconds"`
	// Access and Weak are of the last time that it was reached.
	Access *wire.Access `json:"access,omitempty" doc:"How it was reached last, and what was negotiated on each hop."`
	Weak   []string     `json:"weak,omitempty" doc:"Hops with algorithms that are broken or too short, with their names."`
}

// Change is one entry that differs between two fleets.
type Change struct {
	Action string `json:"action" enum:"added,changed,removed"`
	Kind   string `json:"kind" doc:"credential, bastion, device, schedule, egress, profile, limits, masking, updates or fallback."`
	ID     string `json:"id,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Changes is the answer to a change of a fleet.
type Changes struct {
	Collector string   `json:"collector"`
	State     string   `json:"state" doc:"Of the collector: pending means that it never enrolled, and the fleet waits for it."`
	Version   uint64   `json:"version" doc:"Version of the wanted configuration afterwards."`
	DryRun    bool     `json:"dry_run,omitempty" doc:"Nothing was changed."`
	Changes   []Change `json:"changes" doc:"Empty when all was so already."`
}

// Fleet is a desired configuration without its secrets.
type Fleet struct {
	Collector   string              `json:"collector"`
	Version     uint64              `json:"version"`
	Schedules   []wire.Schedule     `json:"schedules" doc:"When it collects by itself; none: only on demand."`
	Egress      wire.Egress         `json:"egress" doc:"What may leave the site."`
	Limits      wire.CollectLimits  `json:"limits"`
	Masking     Masking             `json:"masking"`
	AllowCLI    bool                `json:"allow_cli_fallback" doc:"Devices that refuse NETCONF may be asked by CLI commands."`
	Updates     rollout.Policy      `json:"updates,omitzero" doc:"When its box may change its release; absent: as the cloud's default says."`
	Profiles    map[string][]string `json:"profiles"`
	Credentials []Credential        `json:"credentials"`
	Bastions    []Bastion           `json:"bastions"`
	Devices     []fleet.Device      `json:"devices"`
}

// Masking is what is replaced in documents before they leave. The key is never
// shown.
type Masking struct {
	Classes    map[string]bool `json:"classes,omitempty" doc:"Those that are switched on or off; the others have their default."`
	Rules      []wire.MaskRule `json:"rules,omitempty"`
	KeyVersion string          `json:"key_version,omitempty" doc:"Changes whenever the key of the pseudonyms does."`
}

// Credential is a log-in without its secret.
type Credential struct {
	ID       string `json:"id"`
	Kind     string `json:"kind" enum:"password,private-key"`
	Username string `json:"username"`
	Version  string `json:"version" doc:"Changes whenever the secret does."`
}

// Bastion is a host that devices are reached through.
type Bastion struct {
	ID string `json:"id"`
	wire.Bastion
}

// EnrolTokenRequest asks for a token that enrols collectors.
type EnrolTokenRequest struct {
	Collector  string `json:"collector,omitempty" doc:"Bind the token to this collector id."`
	Uses       int    `json:"uses,omitempty" minimum:"1" maximum:"1000" default:"1"`
	TTLSeconds int64  `json:"ttl_seconds,omitempty" minimum:"60" maximum:"7776000" default:"86400"`
	Label      string `json:"label,omitempty" maxLength:"100" doc:"What the token is for, on one line: it stands in the list of open tokens."`
}

// OpenEnrolToken is a token that still enrols somebody. The token itself is shown once,
// when it is made.
type OpenEnrolToken struct {
	ID        string    `json:"id" doc:"By which it is revoked."`
	Collector string    `json:"collector,omitempty" doc:"The only collector id that it enrols."`
	UsesLeft  int       `json:"uses_left"`
	By        string    `json:"by,omitempty" doc:"Who made it; left out where that is not known."`
	Label     string    `json:"label,omitempty"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
}

// OpenEnrolTokens is the answer to a request for the open enrolment tokens.
type OpenEnrolTokens struct {
	URL    string           `json:"url" doc:"The address of the cloud as tokens name it: that by which collectors reach it."`
	Tokens []OpenEnrolToken `json:"tokens"`
}

// EnrolToken is a new token. It is shown this once.
type EnrolToken struct {
	ID        string    `json:"id"`
	Token     string    `json:"token" doc:"To be put on the collector. The cloud keeps only a hash."`
	Collector string    `json:"collector,omitempty"`
	Uses      int       `json:"uses"`
	Expires   time.Time `json:"expires"`
}

// CollectRequest asks for a collection now.
type CollectRequest struct {
	Devices []string `json:"devices,omitempty" doc:"Device ids; neither devices nor groups means all."`
	Groups  []string `json:"groups,omitempty" doc:"Names of groups: all devices that are in one of them."`
}

// ProbeRequest asks for the diagnosis of devices.
type ProbeRequest struct {
	Devices []string `json:"devices,omitempty" doc:"Device ids; neither devices nor groups means all."`
	Groups  []string `json:"groups,omitempty" doc:"Names of groups: all devices that are in one of them."`
}

// Probe is the staged diagnosis of one device.
type Probe struct {
	Job string    `json:"job" doc:"The job that asked for it."`
	At  time.Time `json:"at"`
	wire.Probe
}

// Run is one collection.
type Run struct {
	ID        string         `json:"id"`
	Collector string         `json:"collector"`
	Job       string         `json:"job,omitempty"`
	Kind      string         `json:"kind" doc:"demand or schedule."`
	State     string         `json:"state" doc:"running, complete, failed or interrupted."`
	Started   time.Time      `json:"started,omitzero"`
	Finished  time.Time      `json:"finished,omitzero"`
	Expected  int            `json:"expected" doc:"Documents that it should give."`
	Stored    int            `json:"stored"`
	Failed    int            `json:"failed" doc:"Documents that could not be collected."`
	Skipped   int            `json:"skipped" doc:"Documents that were not asked for: see left."`
	Withheld  int            `json:"withheld" doc:"Documents that were collected, and whose bytes stayed at the site: see left."`
	Unchanged int            `json:"unchanged" doc:"Stored documents that were told without their bytes, being those of the time before."`
	Schedule  string         `json:"schedule,omitempty" doc:"By which it was made."`
	Window    time.Time      `json:"window,omitzero" doc:"Start of the schedule's window."`
	Mode      string         `json:"mode,omitempty" doc:"What may leave: send, dry-run or hold."`
	Reason    string         `json:"reason,omitempty" doc:"Why it was cut off."`
	Bytes     int64          `json:"bytes"`
	Devices   []DeviceResult `json:"devices,omitempty"`
	Left      []Left         `json:"left,omitempty" doc:"What has no document, by reason."`
	Manifests []string       `json:"manifests,omitempty" doc:"Hashes of the signed manifests, oldest first."`
}

// DeviceResult is how a device of a run ended.
type DeviceResult struct {
	wire.DeviceResult
	Outcomes map[string]int `json:"outcomes,omitempty" doc:"Its stored documents, by outcome."`
}

// Left is one reason why items of a run have no document.
type Left struct {
	Status  string   `json:"status" doc:"failed, withheld, lost, rejected or skipped."`
	Before  string   `json:"before,omitempty" doc:"Of a skipped item: the outcome of the document before."`
	Reason  string   `json:"reason"`
	Items   int      `json:"items" doc:"Of all devices together."`
	Devices []string `json:"devices" doc:"The first few."`
	Of      int      `json:"of" doc:"How many devices."`
}

// Document is one stored reply of a device, without its bytes.
type Document struct {
	ID        string   `json:"id"`
	Collector string   `json:"collector"`
	Run       string   `json:"run"`
	Device    string   `json:"device"`
	Item      string   `json:"item"`
	Outcome   string   `json:"outcome" doc:"ok, partial, unsupported, denied, empty, malformed, device-error or retry-later."`
	Flags     []string `json:"flags,omitempty"`
	SHA256    string   `json:"sha256"`
	Size      int64    `json:"size"`
	// Where masking or the repair of invalid UTF-8 changed the document.
	RawSHA256   string         `json:"raw_sha256,omitempty" doc:"Of the bytes as the device sent them, where they are not those of the document."`
	RawSize     int64          `json:"raw_size,omitempty" doc:"Of the same."`
	Masked      map[string]int `json:"masked,omitempty" doc:"Values that were replaced, by class."`
	Unchanged   bool           `json:"unchanged,omitempty" doc:"It was told without its bytes, being those of the time before."`
	CollectedAt time.Time      `json:"collected_at"`
	ReceivedAt  time.Time      `json:"received_at"`
}

// User is a person who may use the portal.
type User struct {
	Name    string    `json:"name"`
	Role    string    `json:"role" enum:"admin,standard"`
	Created time.Time `json:"created,omitzero"`
}

// NewUser makes a user.
type NewUser struct {
	Name     string `json:"name" minLength:"1" maxLength:"64"`
	Role     string `json:"role" enum:"admin,standard"`
	Password string `json:"password" writeOnly:"true" minLength:"10" maxLength:"256"`
}

// APITokenRequest asks for a token for programs.
type APITokenRequest struct {
	Name       string `json:"name" minLength:"1" maxLength:"64" doc:"Whom or what it is for."`
	Role       string `json:"role" enum:"admin,standard"`
	TTLSeconds int64  `json:"ttl_seconds,omitempty" minimum:"60" maximum:"31536000" default:"7776000"`
}

// APIToken is a new token for programs. It is shown this once.
type APIToken struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Token   string    `json:"token" doc:"For LWC_API_TOKEN; the bearer value is inside."`
	Expires time.Time `json:"expires"`
}

// TokenInfo describes an API token without its secret.
type TokenInfo struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}

// TokenInfos is a list of API tokens.
type TokenInfos struct {
	Tokens []TokenInfo `json:"tokens"`
}

// NewPassword sets a password.
type NewPassword struct {
	Password string `json:"password" writeOnly:"true" minLength:"10" maxLength:"256"`
}

// Collectors is a list of collectors.
type Collectors struct {
	Collectors []Collector `json:"collectors"`
}

// Devices is a list of devices.
type Devices struct {
	Devices []Device `json:"devices"`
}

// DeviceList is what is added to a fleet.
type DeviceList struct {
	Devices []fleet.Device `json:"devices" minItems:"1"`
}

// Runs is a list of runs, newest first.
type Runs struct {
	Runs []Run `json:"runs"`
}

// Documents is a list of documents, newest first.
type Documents struct {
	Documents []Document `json:"documents"`
}

// Events is a list of events, newest first.
type Events struct {
	Events []Event `json:"events"`
}

// Users is a list of users.
type Users struct {
	Users []User `json:"users"`
}
