package wire

import "time"

// Desired is the whole desired configuration of a collector. It travels in
// signed frames.
type Desired struct {
	V         int        `json:"v"`
	Collector string     `json:"collector"`
	Boot      string     `json:"boot"`
	Version   uint64     `json:"version"`
	NotBefore time.Time  `json:"not_before,omitzero"`
	Schedules []Schedule `json:"schedules,omitempty"`
	Egress    Egress     `json:"egress,omitzero"`
	// Done tells what the cloud has of each schedule, by its name, and device, so
	// that a collector that has restarted goes on where it stood. The name "" stands
	// for collections that were asked for.
	Done        map[string]map[string]Done `json:"done,omitempty"`
	Profiles    map[string][]string        `json:"profiles"` // name → items
	Credentials map[string]Credential      `json:"credentials"`
	Bastions    map[string]Bastion         `json:"bastions,omitempty"`
	Devices     []Device                   `json:"devices"`
	Limits      CollectLimits              `json:"limits"`
	Masking     Masking                    `json:"masking,omitzero"`
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

// Done is the last whole collection of a device that a manifest accounts for.
type Done struct {
	At      time.Time `json:"at"`      // start of its run
	Seconds float64   `json:"seconds"` // that the device took
}

// Egress says what of a document may leave. The zero value sends all.
type Egress struct {
	Mode string   `json:"mode,omitempty"` // send, dry-run or hold; empty means send
	Hold []string `json:"hold,omitempty"` // items whose bodies wait for an approval, in mode hold
	Wait string   `json:"wait,omitempty"` // Go duration: how long a run waits for approvals; empty means 1h
}

// The modes of an Egress.
const (
	EgressSend   = "send"    // documents leave
	EgressDryRun = "dry-run" // bodies stay; manifests tell what would have left
	EgressHold   = "hold"    // bodies of Hold leave once an admin has approved them
)

// Schedule is when a collector collects by itself.
type Schedule struct {
	Name     string   `json:"name,omitempty"`     // a word; empty means DefaultProfile
	Days     []string `json:"days,omitempty"`     // mon to sun, of the window's start; empty: every day
	Collect  string   `json:"collect,omitempty"`  // profile that is collected; empty: that of each device
	Profiles []string `json:"profiles,omitempty"` // only devices of these profiles; empty: all
	Start    string   `json:"start,omitempty"`    // "02:00", in Timezone; empty: only on demand
	Window   string   `json:"window,omitempty"`   // Go duration, "2h"; device starts are spread over it
	Timezone string   `json:"timezone,omitempty"` // IANA name; empty means UTC
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
	// BudgetBytes bounds the documents without receipt that the collector holds; 0
	// means 64 MiB.
	BudgetBytes int64 `json:"budget_bytes,omitempty"`
}
