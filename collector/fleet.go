package collector

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"lwc/junos"
	"lwc/transport/wire"
)

// fleet is a checked configuration: every reference in it resolves. It is
// never changed; a newer one takes its place.
type fleet struct {
	ref       wire.ConfigRef
	schedules []*schedule // that collect, in the order of the configuration
	profiles  map[string]profile
	devices   map[string]*device
	order     []string // ids, as configured
	bad       map[string]badDevice
	creds     map[string]*credential
	limits    wire.CollectLimits
	egress    egress
	allowCLI  bool
	mask      *junos.Mask

	// mu guards users and retired. The credentials are in clear until both
	// say that nobody needs them any more.
	mu      sync.Mutex
	users   int
	retired bool

	forgotten func() // called once the credentials are wiped; nil: nobody asks
}

// device is one that can be collected from.
type device struct {
	wire.Device
	login   login
	via     []hop
	items   []junos.Item
	refused []string // items of its profile that this version does not know
}

// badDevice is one that stands in the configuration and cannot be used.
type badDevice struct {
	why   string
	items []string // of its profile, as far as that is known
}

// hop is a bastion with its log-in.
type hop struct {
	id string
	wire.Bastion
	login login
}

// login names one use of a credential: what a refusal is remembered by.
type login struct {
	credential, version string
	realm               string // the chain of bastions before it
}

// credential is an opened one.
type credential struct {
	version string
	auth    Auth
}

// hold keeps the credentials of f in clear until drop. It reports false when
// they are wiped already.
func (f *fleet) hold() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired && f.users == 0 {
		return false
	}
	f.users++
	return true
}

func (f *fleet) drop() {
	f.mu.Lock()
	f.users--
	wiped := f.wipeUnused()
	f.mu.Unlock()
	f.tellWiped(wiped)
}

// retire wipes the credentials as soon as the last holder has dropped f.
func (f *fleet) retire() {
	f.mu.Lock()
	f.retired = true
	wiped := f.wipeUnused()
	f.mu.Unlock()
	f.tellWiped(wiped)
}

// wipeUnused reports whether it has wiped. The caller holds mu.
func (f *fleet) wipeUnused() bool {
	if !f.retired || f.users > 0 {
		return false
	}
	for _, c := range f.creds {
		c.auth.wipe()
	}
	return true
}

func (f *fleet) tellWiped(wiped bool) {
	if wiped && f.forgotten != nil {
		f.forgotten()
	}
}

func (a Auth) wipe() {
	a.Password.Wipe()
	a.PrivateKey.Wipe()
	a.Passphrase.Wipe()
	a.Certificate.Wipe()
}

// hasVersion tells whether the credential of l is still the configured one.
func (f *fleet) hasVersion(l login) bool {
	c := f.creds[l.credential]
	return c != nil && c.version == l.version
}

// target is what the Dialer needs. The caller holds f.
func (f *fleet) target(d *device) Target {
	t := Target{Device: d.Device, Auth: f.creds[d.login.credential].auth, AllowCLI: f.allowCLI}
	for _, h := range d.via {
		t.Via = append(t.Via, Hop{Name: h.id, Address: h.Address, Port: h.Port, HostKeys: h.HostKeys,
			TrustFirst: h.TrustFirst, Legacy: h.Legacy, MaxSessions: f.through(h),
			Auth: f.creds[h.login.credential].auth})
	}
	return t
}

// through is how many devices are reached through a bastion at once.
func (f *fleet) through(h hop) int {
	return orDefault(h.MaxSessions, orDefault(f.limits.PerBastion, DefaultPerBastion))
}

// logins lists what is logged in to on the way to d, d last.
func (d *device) logins() []login {
	out := make([]login, 0, len(d.via)+1)
	for _, h := range d.via {
		out = append(out, h.login)
	}
	return append(out, d.login)
}

// credentialOf names the credential of a device; empty when it has none.
func (f *fleet) credentialOf(id string) string {
	if f == nil || f.devices[id] == nil {
		return ""
	}
	return f.devices[id].login.credential
}

// hopNames are the names that go with logins.
func (d *device) hopNames() []string {
	out := make([]string, 0, len(d.via)+1)
	for _, h := range d.via {
		out = append(out, h.id)
	}
	return append(out, d.ID)
}

// itemNames lists all items of the device's profile, the unknown ones too.
func (d *device) itemNames() []string {
	var out []string
	for _, it := range d.items {
		out = append(out, it.Name)
	}
	return append(out, d.refused...)
}

// faults collects the entries of a configuration that cannot be used.
type faults struct{ items []wire.ItemError }

func (f *faults) add(path, format string, args ...any) {
	f.items = append(f.items, wire.ItemError{Path: clip(path, 300), Error: clip(fmt.Sprintf(format, args...), 300)})
}

// maxReport bounds the items of a State in bytes of JSON, which escapes one byte
// to six: the State is one signed message of at most wire.MaxFrame, in base64.
const maxReport = 64 << 10

// report returns the items as they fit into a State.
func (f *faults) report() []wire.ItemError {
	size := 0
	for i, item := range f.items {
		b, err := json.Marshal(item)
		if size += len(b); err == nil && size <= maxReport {
			continue
		}
		return append(slices.Clone(f.items[:i]), wire.ItemError{Path: "…",
			Error: fmt.Sprintf("%d more entries cannot be used; correct these first", len(f.items)-i)})
	}
	return f.items
}

// clip bounds a text that came from outside.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
