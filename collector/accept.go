package collector

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"lwc/junos"
	"lwc/transport/wire"
)

// accepting checks one desired configuration. What cannot be used is told in
// faults, and left out of the fleet.
type accepting struct {
	d        wire.Desired
	key      wire.BootKey
	faults   faults
	fleet    *fleet
	profiles map[string]profile
	bastions map[string]*hop // nil: in the configuration and unusable
	unknown  []string        // items that this version does not know
}

type profile struct {
	items   []junos.Item
	refused []string
}

// accept makes a fleet of d. It never fails as a whole: what is trusted and
// bad is bad in single entries. maskKey makes the pseudonyms where d has no key
// for them.
func accept(d wire.Desired, ref wire.ConfigRef, key wire.BootKey, maskKey []byte) (*fleet, *accepting) {
	a := &accepting{d: d, key: key, fleet: &fleet{ref: ref, limits: d.Limits,
		devices: map[string]*device{}, bad: map[string]badDevice{}, creds: map[string]*credential{}},
		profiles: map[string]profile{}, bastions: map[string]*hop{}}
	a.limits()
	a.egress()
	a.fleet.allowCLI = d.AllowCLI
	a.masking(maskKey)
	a.readProfiles()
	a.openCredentials()
	for _, id := range slices.Sorted(maps.Keys(d.Bastions)) {
		a.bastion(id)
	}
	a.checkVia()
	a.devices()
	a.schedules()
	a.fleet.profiles = a.profiles
	return a.fleet, a
}

// maxConcurrency is where file descriptors and memory of a small appliance end.
const maxConcurrency = 1024

const (
	// minLoginRate is one log-in in 100 s: more slowly, no fleet is done in a day.
	minLoginRate = 0.01
	// maxLoginRate is more than any collector reaches: a rate without effect.
	maxLoginRate = 10000
	// maxDocument is the largest reply that a session takes at all.
	maxDocument = 1 << 30
	// minBudget has room for the documents of 64 devices at once; above maxBudget a
	// small appliance has no memory.
	minBudget = 8 << 20
	maxBudget = 1 << 30
)

func (a *accepting) limits() {
	l := &a.fleet.limits
	if l.Concurrency < 0 || l.Concurrency > maxConcurrency {
		a.faults.add("limits/concurrency", "%d is not between 1 and %d; the default is used", l.Concurrency, maxConcurrency)
		l.Concurrency = 0
	}
	if l.MaxDocumentBytes < 0 || l.MaxDocumentBytes > maxDocument {
		a.faults.add("limits/max_document_bytes", "%d is not between 1 and %d; the default is used", l.MaxDocumentBytes, maxDocument)
		l.MaxDocumentBytes = 0
	}
	if l.PerBastion < 0 {
		a.faults.add("limits/per_bastion", "%d is negative; the default is used", l.PerBastion)
		l.PerBastion = 0
	}
	if !(l.LoginsPerSecond == 0 || l.LoginsPerSecond >= minLoginRate && l.LoginsPerSecond <= maxLoginRate) {
		a.faults.add("limits/logins_per_second", "%g is not between %g and %d; the default is used", l.LoginsPerSecond, minLoginRate, maxLoginRate)
		l.LoginsPerSecond = 0
	}
	if l.BudgetBytes != 0 && (l.BudgetBytes < minBudget || l.BudgetBytes > maxBudget) {
		a.faults.add("limits/budget_bytes", "%d is not between %d and %d; the default is used", l.BudgetBytes, int64(minBudget), int64(maxBudget))
		l.BudgetBytes = 0
	}
	if l.MaxCPU < 0 || l.MaxCPU > 100 {
		a.faults.add("limits/max_cpu", "%d is not a load between 0 and 100 per cent; the default is used", l.MaxCPU)
		l.MaxCPU = 0
	}
}

func (a *accepting) readProfiles() {
	for _, name := range slices.Sorted(maps.Keys(a.d.Profiles)) {
		var p profile
		for _, item := range a.d.Profiles[name] {
			it, ok := junos.Lookup(item)
			switch {
			case !ok && !slices.Contains(p.refused, item):
				a.faults.add("profiles/"+name+"/"+item, "this version does not know this item, so it is not collected: correct the name or update the collector")
				p.refused = append(p.refused, item)
				a.unknown = append(a.unknown, item)
			case ok && !slices.ContainsFunc(p.items, func(o junos.Item) bool { return o.Name == it.Name }):
				p.items = append(p.items, it)
			}
		}
		a.profiles[name] = p
	}
}

// profile finds a profile of the configuration, or else a built-in one.
func (a *accepting) profile(name string) (profile, error) {
	if name == "" {
		name = wire.DefaultProfile
	}
	p, ok := a.profiles[name]
	if !ok {
		items, known := junos.Profile(name)
		if !known {
			return p, fmt.Errorf("the profile %q is not in the configuration", clip(name, 80))
		}
		p = profile{items: items}
		a.profiles[name] = p
	}
	if len(p.items) == 0 {
		return p, fmt.Errorf("the profile %q has no item that can be collected", clip(name, 80))
	}
	return p, nil
}

func (a *accepting) openCredentials() {
	for _, id := range slices.Sorted(maps.Keys(a.d.Credentials)) {
		c := a.d.Credentials[id]
		auth, err := a.open(id, c)
		if err != nil {
			a.faults.add("credentials/"+id, "%v", err)
			continue
		}
		a.fleet.creds[id] = &credential{version: c.Version, auth: auth}
	}
}

func (a *accepting) open(id string, c wire.Credential) (Auth, error) {
	if c.Username == "" {
		return Auth{}, fmt.Errorf("it has no user name")
	}
	plain, err := a.key.Open(wire.CredentialInfo(a.d.Collector, a.d.Boot, id, c.Version), c.Sealed)
	if err != nil {
		return Auth{}, fmt.Errorf("it cannot be opened: it was not sealed to this boot of the collector; enter it again if this stays")
	}
	s, err := wire.ParseCredential(plain)
	clear(plain)
	if err != nil {
		return Auth{}, fmt.Errorf("it was opened and cannot be read; enter it again")
	}
	return authOf(c, s)
}

func authOf(c wire.Credential, s wire.CredentialSecret) (Auth, error) {
	auth := Auth{User: c.Username}
	switch {
	case c.Kind == wire.KindPassword && !s.Password.Empty():
		auth.Password = s.Password
		Auth{PrivateKey: s.PrivateKey, Passphrase: s.Passphrase, Certificate: s.Certificate}.wipe()
	case c.Kind == wire.KindPrivateKey && !s.PrivateKey.Empty():
		auth.PrivateKey, auth.Passphrase, auth.Certificate = s.PrivateKey, s.Passphrase, s.Certificate
		s.Password.Wipe()
	case c.Kind == wire.KindPassword || c.Kind == wire.KindPrivateKey:
		s.Wipe()
		return Auth{}, fmt.Errorf("it holds no %s; enter it again", c.Kind)
	default:
		s.Wipe()
		return Auth{}, fmt.Errorf("its kind %.40q is not one of %s, %s", c.Kind, wire.KindPassword, wire.KindPrivateKey)
	}
	return auth, nil
}

// bastion resolves the bastion id and those before it.
func (a *accepting) bastion(id string) {
	b := a.d.Bastions[id]
	if err := a.checkBastion(b); err != nil {
		a.faults.add("bastions/"+id, "%v", err)
		a.bastions[id] = nil
		return
	}
	a.bastions[id] = &hop{id: id, Bastion: b}
}

// checkVia takes out the bastions that are reached through one that is missing.
func (a *accepting) checkVia() {
	for _, id := range slices.Sorted(maps.Keys(a.d.Bastions)) {
		for _, before := range a.d.Bastions[id].Via {
			if _, ok := a.d.Bastions[before]; !ok {
				a.faults.add("bastions/"+id, "the bastion %q before it is not in the configuration", clip(before, 80))
				a.bastions[id] = nil
				break
			}
		}
	}
}

func (a *accepting) checkBastion(b wire.Bastion) error {
	if err := checkAddress(b.Address); err != nil {
		return err
	}
	if err := checkHostKeys(b.HostKeys, b.TrustFirst); err != nil {
		return err
	}
	return a.checkCredential(b.Credential)
}

func (a *accepting) checkCredential(id string) error {
	if _, ok := a.fleet.creds[id]; ok {
		return nil
	}
	if id == "" {
		return fmt.Errorf("it names no credential")
	}
	if _, ok := a.d.Credentials[id]; ok {
		return fmt.Errorf("its credential %q cannot be used: see credentials/%s", clip(id, 80), clip(id, 80))
	}
	return fmt.Errorf("its credential %q is not in the configuration", clip(id, 80))
}

// maxHops bounds a chain of bastions: more is a loop, or a mistake.
const maxHops = 8

// chain resolves a list of bastions, each with those that lie before it.
func (a *accepting) chain(ids []string) ([]hop, error) {
	var out []hop
	for i, id := range ids {
		h, ok := a.bastions[id]
		if !ok {
			return nil, fmt.Errorf("its bastion %q is not in the configuration", clip(id, 80))
		}
		if h == nil {
			return nil, fmt.Errorf("its bastion %q cannot be used: see bastions/%s", clip(id, 80), clip(id, 80))
		}
		before := h.Via
		if i > 0 {
			before = nil // the device's own list says how it is reached
		}
		if err := a.extend(&out, before, *h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *accepting) extend(out *[]hop, before []string, h hop) error {
	for _, id := range before {
		b := a.bastions[id]
		if b == nil {
			return fmt.Errorf("the bastion %q before %q is missing or cannot be used", clip(id, 80), clip(h.id, 80))
		}
		if err := appendHop(out, *b, a.d.Credentials[b.Credential]); err != nil {
			return err
		}
	}
	return appendHop(out, h, a.d.Credentials[h.Credential])
}

func appendHop(out *[]hop, h hop, c wire.Credential) error {
	if len(*out) == maxHops || slices.ContainsFunc(*out, func(o hop) bool { return o.id == h.id }) {
		return fmt.Errorf("its chain of bastions is a loop or longer than %d, at %q", maxHops, clip(h.id, 80))
	}
	h.login = login{h.Credential, c.Version, realm(*out) + ">" + h.id + " itself"}
	*out = append(*out, h)
	return nil
}

// realm names a chain of bastions.
func realm(via []hop) string {
	var b strings.Builder
	for _, h := range via {
		b.WriteString(">" + h.id)
	}
	return b.String()
}

var hostName = regexp.MustCompile(`^(?i:[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.(?i:[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?))*\.?$`)
var onlyDigits = regexp.MustCompile(`^[0-9.]+$`)

func checkAddress(s string) error {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("the address %s is not that of one host", a)
		}
		return nil
	}
	if len(s) > 253 || !hostName.MatchString(s) || onlyDigits.MatchString(s) {
		return fmt.Errorf("the address %.80q is neither an IP address nor a host name", s)
	}
	return nil
}

func checkHostKeys(keys []string, trustFirst bool) error {
	if len(keys) == 0 && !trustFirst {
		return fmt.Errorf("it has no host key: give host_keys, or set trust_first to learn the key at the first connection")
	}
	for _, k := range keys {
		ca, isCA := strings.CutPrefix(k, "@cert-authority ")
		if isCA {
			k = strings.TrimSpace(ca)
		}
		if hash, ok := strings.CutPrefix(k, "SHA256:"); ok && isCA {
			return fmt.Errorf("the authority %.60q is a fingerprint: give its whole public key", k)
		} else if ok {
			if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(hash, "=")); err != nil || len(b) != sha256.Size {
				return fmt.Errorf("the host key fingerprint %.60q is damaged: copy it again, whole (SHA256: and 43 characters)", k)
			}
			continue
		}
		f := strings.Fields(k)
		if len(f) < 2 {
			return fmt.Errorf("the host key %.60q is neither an authorized_keys line nor a SHA256: fingerprint", k)
		}
		if _, err := base64.StdEncoding.DecodeString(f[1]); err != nil {
			return fmt.Errorf("the host key %.60q is damaged: copy it again, whole", k)
		}
	}
	return nil
}
