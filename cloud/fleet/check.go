package fleet

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	_ "time/tzdata" // the time zones, on hosts that have no /usr/share/zoneinfo

	"golang.org/x/crypto/ssh"

	"lwc/junos"
	"lwc/transport/wire"
)

// Bounds of a fleet. They keep one desired configuration and its checks small;
// a larger network is split over collectors.
const (
	maxDevices     = 20000
	maxNamed       = 2000 // credentials, bastions, profiles: each
	maxConcurrency = 4096
	maxDocument    = 1 << 30
	maxLoginRate   = 10000 // a second: a rate without effect
	maxCPU         = 100   // per cent
	maxPipeline    = 64    // more requests under way gain nothing on any device
	maxKeys        = 16    // host keys of one host
	maxHops        = 8
	maxSecret      = 64 << 10
)

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	hostForm = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\.?$`)
	timeForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

// Check returns everything that is wrong with the Spec, as Problems without
// positions, or nil.
func (s Spec) Check() error {
	c := &checker{names: s.names()}
	c.schedules(s.Schedules)
	c.egress(s.Egress)
	c.limits(s.Limits)
	c.masking(s.Masking)
	c.updates(s.Updates)
	c.profiles(s.Profiles)
	c.credentials(s.Credentials)
	c.bastions(s.Bastions)
	c.devices(s.Devices)
	return c.problems.orNil()
}

// names is what entries of a fleet may refer to.
type names struct {
	credentials, profiles []string
	bastions              map[string]Bastion
}

func (s Spec) names() names {
	n := names{
		credentials: make([]string, len(s.Credentials)),
		profiles:    append(slices.Sorted(maps.Keys(s.Profiles)), BuiltinProfiles()...),
		bastions:    make(map[string]Bastion, len(s.Bastions)),
	}
	for i, c := range s.Credentials {
		n.credentials[i] = c.ID
	}
	for _, b := range s.Bastions {
		n.bastions[b.ID] = b
	}
	return n
}

func (n names) bastionIDs() []string { return slices.Sorted(maps.Keys(n.bastions)) }

type checker struct {
	names    names
	problems Problems
}

func (c *checker) add(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) limits(l wire.CollectLimits) {
	if l.Concurrency < 0 || l.Concurrency > maxConcurrency {
		c.add("limits.concurrency", "%d is not from 1 to %d (0 or left out: the collector's default)", l.Concurrency, maxConcurrency)
	}
	if l.PerBastion < 0 || l.PerBastion > maxConcurrency {
		c.add("limits.per_bastion", "%d is not from 1 to %d (0 or left out: 64)", l.PerBastion, maxConcurrency)
	}
	if !(l.LoginsPerSecond >= 0 && l.LoginsPerSecond <= maxLoginRate) {
		c.add("limits.logins_per_second", "%g is not above 0 and up to %d (0 or left out: 10)", l.LoginsPerSecond, maxLoginRate)
	}
	if l.MaxCPU < 0 || l.MaxCPU > maxCPU {
		c.add("limits.max_cpu", "%d is not a load in per cent from 1 to %d (0 or left out: 85; 100 switches the gate off)", l.MaxCPU, maxCPU)
	}
	if l.MaxDocumentBytes < 0 || l.MaxDocumentBytes > maxDocument {
		c.add("limits.max_document_bytes", "%d is not from 1 to %d (0 or left out: the collector's default)", l.MaxDocumentBytes, maxDocument)
	}
	if l.BudgetBytes != 0 && (l.BudgetBytes < minBudget || l.BudgetBytes > maxBudget) {
		c.add("limits.budget_bytes", "%d is not from %d (8 MiB) to %d (1 GiB); 0 or left out: 67108864 (64 MiB)", l.BudgetBytes, minBudget, maxBudget)
	}
}

// The bounds of limits.budget_bytes. Below, one device's lane would be all of it.
const (
	minBudget = 8 << 20
	maxBudget = 1 << 30
)

func (c *checker) profiles(ps map[string][]string) {
	c.count("profiles", len(ps), maxNamed)
	known := itemNames()
	for _, name := range slices.Sorted(maps.Keys(ps)) {
		path := "profiles." + name
		c.id(path, name)
		if len(ps[name]) == 0 {
			c.add(path, "it lists no item: name at least one of the catalogue, as show-version (lwc-cloud catalogue lists all)")
		}
		seen := map[string]bool{}
		for i, item := range ps[name] {
			at := fmt.Sprintf("%s[%d]", path, i)
			if _, ok := junos.Lookup(item); !ok {
				c.add(at, "%.80q is not an item of the catalogue%s", item, Suggest(item, known))
			} else if seen[item] {
				c.add(at, "%q stands twice in this profile", item)
			}
			seen[item] = true
		}
	}
}

func (c *checker) credentials(cs []Credential) {
	c.count("credentials", len(cs), maxNamed)
	ids := c.list("credentials")
	for i, cred := range cs {
		path := ids(i, cred.ID)
		c.username(path+".username", cred.Username)
		if !cred.Password.Empty() && !cred.PrivateKey.Empty() {
			c.add(path, "it has both a password and a private key: make two credentials of it")
		}
		if !cred.Passphrase.Empty() && cred.PrivateKey.Empty() {
			c.add(path, "a passphrase without a private key")
		}
		if !cred.Certificate.Empty() && cred.PrivateKey.Empty() {
			c.add(path+".certificate", "a certificate without its private key: give both")
		}
		if len(cred.Password.Reveal()) > maxSecret || len(cred.PrivateKey.Reveal()) > maxSecret ||
			len(cred.Passphrase.Reveal()) > maxSecret || len(cred.Certificate.Reveal()) > maxSecret {
			c.add(path, "its secret is longer than %d bytes", maxSecret)
			continue
		}
		c.privateKey(path+".private_key", cred)
	}
}

func (c *checker) username(path, name string) {
	switch {
	case name == "":
		c.add(path, "the user name is missing")
	case len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		c.add(path, "the user name is longer than 255 bytes or has control characters")
	}
}

// privateKey makes sure that the key can be opened, so that a wrong passphrase
// is found here and not by each device. It never repeats the parser's words.
func (c *checker) privateKey(path string, cred Credential) {
	if cred.PrivateKey.Empty() {
		return
	}
	key := cred.PrivateKey.Reveal()
	signer, err := ssh.ParsePrivateKey(key)
	if _, locked := err.(*ssh.PassphraseMissingError); locked {
		if cred.Passphrase.Empty() {
			c.add(path, "the private key has a passphrase: give it with passphrase_env or passphrase_file")
			return
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(key, cred.Passphrase.Reveal()); err != nil {
			c.add(path, "the passphrase does not open the private key")
			return
		}
	}
	if err != nil {
		c.add(path, "not a private key that can be read: give it in PEM or OpenSSH form, as ssh-keygen writes it")
		return
	}
	c.certificate(strings.TrimSuffix(path, "private_key")+"certificate", cred, signer)
}

func (c *checker) bastions(bs []Bastion) {
	c.count("bastions", len(bs), maxNamed)
	ids := c.list("bastions")
	for i, b := range bs {
		path := ids(i, b.ID)
		c.address(path+".address", b.Address)
		c.credential(path+".credential", b.Credential)
		c.hostKeys(path, b.HostKeys, b.TrustFirst)
		if b.MaxSessions < 0 || b.MaxSessions > maxConcurrency {
			c.add(path+".max_sessions", "%d is not from 1 to %d (0 or left out: limits.per_bastion, or else 64)", b.MaxSessions, maxConcurrency)
		}
		c.hops(path+".via", b.Via)
		if slices.Contains(b.Via, b.ID) || c.loops(b.ID) {
			c.add(path+".via", "the bastions before %q lead back to it", b.ID)
		}
	}
}

// loops tells whether following via from id comes back to id.
func (c *checker) loops(id string) bool {
	seen, todo := map[string]bool{}, slices.Clone(c.names.bastions[id].Via)
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if next == id {
			return true
		}
		if !seen[next] {
			seen[next] = true
			todo = append(todo, c.names.bastions[next].Via...)
		}
	}
	return false
}
