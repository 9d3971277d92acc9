package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (c *checker) devices(ds []Device) {
	c.count("devices", len(ds), maxDevices)
	ids := c.list("devices")
	for i, d := range ds {
		c.device(ids(i, d.ID), d)
	}
}

// list returns a function that checks the id of each entry of a list, also
// against those before it, and returns the entry's path.
func (c *checker) list(name string) func(i int, id string) string {
	first := map[string]int{}
	return func(i int, id string) string {
		path := fmt.Sprintf("%s[%d]", name, i)
		if j, dup := first[id]; dup && id != "" {
			c.add(path+".id", "the id %q is taken by %s[%d]: give each its own", id, name, j)
			return path
		}
		first[id] = i
		c.requiredID(path, id)
		return path
	}
}

func (c *checker) requiredID(path, id string) {
	if id == "" {
		c.add(path, "the id is missing")
		return
	}
	c.id(path+".id", id)
}

func (c *checker) device(path string, d Device) {
	c.address(path+".address", d.Address)
	c.credential(path+".credential", d.Credential)
	c.hostKeys(path, d.HostKeys, d.TrustFirst)
	c.hops(path+".bastions", d.Bastions)
	if d.Pipeline < 0 || d.Pipeline > maxPipeline {
		c.add(path+".pipeline", "%d is not from 1 to %d requests at once (1: never more than one; 0 or left out: the collector decides)", d.Pipeline, maxPipeline)
	}
	if d.Profile != "" {
		c.profile(path+".profile", d.Profile)
	}
	c.groups(path+".groups", d.Groups)
}

func (c *checker) id(path, id string) {
	if !idForm.MatchString(id) {
		c.add(path, "%.80q is not a name: use 1 to 63 letters, digits, '.', '_' and '-', starting with a letter or digit", id)
	}
}

func (c *checker) count(path string, n, limit int) {
	if n > limit {
		c.add(path, "%d entries, more than %d: split them over several collectors", n, limit)
	}
}

func (c *checker) address(path, a string) {
	if a == "" {
		c.add(path, "the address is missing")
		return
	}
	if ip, err := netip.ParseAddr(a); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			c.add(path, "%s is not the address of one host", a)
		}
		return
	}
	if _, err := netip.ParseAddrPort(a); err == nil {
		c.add(path, "%.80q has a port: put it into port:", a)
		return
	}
	if len(a) > 253 || !hostForm.MatchString(a) || looksNumeric(a) {
		c.add(path, "%.80q is neither an IP address nor a host name", a)
	}
}

// looksNumeric finds mistyped IPv4 addresses, which would pass as host names:
// no top-level domain is all digits (RFC 3696 §2).
func looksNumeric(a string) bool {
	a = strings.TrimSuffix(a, ".")
	last := a[strings.LastIndexByte(a, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

func (c *checker) credential(path, ref string) {
	if ref == "" {
		c.add(path, "the credential is missing: name one of the credentials")
		return
	}
	if !slices.Contains(c.names.credentials, ref) {
		c.add(path, "no credential %.80q is defined%s", ref, Suggest(ref, c.names.credentials))
	}
}

func (c *checker) hops(path string, refs []string) {
	if len(refs) > maxHops {
		c.add(path, "%d bastions in a row, more than %d", len(refs), maxHops)
	}
	for i, ref := range refs {
		at := fmt.Sprintf("%s[%d]", path, i)
		if _, ok := c.names.bastions[ref]; !ok {
			c.add(at, "no bastion %.80q is defined%s", ref, Suggest(ref, c.names.bastionIDs()))
		} else if slices.Index(refs, ref) < i {
			c.add(at, "bastion %q stands twice", ref)
		}
	}
}

func (c *checker) hostKeys(path string, keys []string, trustFirst bool) {
	if len(keys) == 0 && !trustFirst {
		c.add(path, "no host key: give host_keys, or trust_first: true to trust and report the first key seen")
	}
	if len(keys) > maxKeys {
		c.add(path+".host_keys", "%d host keys, more than %d", len(keys), maxKeys)
	}
	for i, k := range keys {
		if err := CheckHostKey(k); err != nil {
			c.add(fmt.Sprintf("%s.host_keys[%d]", path, i), "%v", err)
		}
	}
}
