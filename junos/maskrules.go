package junos

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// maskTarget is what is masked in the elements or attributes of one name.
type maskTarget struct {
	class   MaskClass
	parents []string       // local names of the elements around it, the innermost first
	outside string         // not where the innermost of them begins so
	deep    bool           // with all that is inside the element
	pattern *regexp.Regexp // only what it matches; nil: all
}

// maskRules is what is masked in the replies to one item.
type maskRules struct {
	key       []byte
	classes   map[MaskClass]bool
	addresses bool // of either kind
	users     bool // log-in names, and
	secrets   bool
	elements  map[string][]*maskTarget
	attrs     map[string][]*maskTarget
	suffixes  []maskSuffix  // of other names
	anywhere  []*maskTarget // patterns for any text
	// filter has a bit for each hash of a name that may be masked, as most names
	// are not and need no look at a map.
	filter [1 << 15 / 64]uint64
	ends   [1 << 10 / 64]uint64 // the same for the ends of names, to be asked first
}

// maskSuffix ends the names of elements and attributes that hold such a value.
type maskSuffix struct {
	end string
	of  *maskTarget
}

// userElements hold log-in names.
var userElements = []string{"user", "username", "user-name", "login-name", "full-name", "commit-user", "file-owner",
	"login-user", "remote-user", "local-user", "lock-user", "session-user", "logged-in-user", "process-user", "process-owner",
	"auth-user", "admin-user", "ssh-user", "edit-user", "logged-user", "lock-owner", "session-owner", "last-changed-by",
	"changed-by", "modified-by", "committed-by", "commit-by", "created-by", "requested-by", "performed-by", "locked-by",
	"userid", "user/name", "user/data", "authorization-login",
	"ike-xauth-username", "xauth-username", "aaa-user-name", "subscriber-user-name", "login/user/name", "root-user"}

// communityElements hold SNMP communities.
var communityElements = []string{"snmp-community", "community-name", "snmp-community-name", "trap-community",
	"read-community", "write-community", "community-string", "snmp-community-string", "snmp/community", "snmp/community/name", "snmp-information/community",
	"snmp/trap-group/name", "snmp-v1/community", "snmp-v2/community"}

// secretElements hold a secret, in themselves or in what is inside them.
var secretElements = []string{"password", "secret", "passphrase", "encrypted-password", "plain-text-password",
	"plain-text-password-value", "pre-shared-key", "ascii-text", "hexadecimal", "hexadecimal-text", "shared-secret",
	"shared-key", "private-key", "secret-key", "session-key", "auth-key", "authentication-key", "authentication-value",
	"hello-authentication-key", "md5-key", "md5/key", "privacy-key", "encryption-key", "wep-key", "psk", "key-string",
	"key-data", "license-key", "key-value", "ssh-rsa", "ssh-dsa", "ssh-dss", "ssh-ecdsa", "ssh-ed25519",
	"authorized-key", "root-authentication", "login/user/authentication", "cak", "root-password",
	"api-token", "auth-token", "access-token", "bearer-token"}

// descriptionElements hold what people wrote.
var descriptionElements = []string{"lldp-remote-port-description", "lldp-port-description", "lldp-remote-system-description",
	"remote-port-description", "interface-description", "peer-description", "vlan-description", "contact", "location"}

// newMaskRules builds the rules; key and rules of the configuration are checked
// here.
func newMaskRules(key []byte, classes []MaskClass, custom []MaskRule) (*maskRules, error) {
	r := &maskRules{key: bytes.Clone(key), classes: map[MaskClass]bool{}, elements: map[string][]*maskTarget{}, attrs: map[string][]*maskTarget{}}
	for _, c := range custom {
		name, t, err := compileRule(c)
		switch {
		case err != nil:
			return nil, err
		case name == "":
			r.anywhere = append(r.anywhere, t)
		default:
			r.add(name, t)
		}
	}
	for _, c := range classes {
		r.classes[c] = true
		r.addClass(c)
	}
	r.addresses = r.classes[MaskMACs] || r.classes[MaskIPs]
	r.users, r.secrets = r.classes[MaskUserNames], r.classes[MaskSecrets]
	return r, nil
}

func (r *maskRules) addClass(c MaskClass) {
	switch c {
	case MaskUserNames:
		r.addPaths(userElements, maskTarget{class: c})
		r.addSuffixes(c, "-username", "-user-name")
	case MaskCommunities:
		r.addPaths(communityElements, maskTarget{class: c})
	case MaskSecrets:
		r.addPaths(secretElements, maskTarget{class: c, deep: true})
		r.addSuffixes(c, "-password", "-secret", "-passphrase")
	case MaskDescriptions:
		r.addPaths(descriptionElements, maskTarget{class: c})
		r.addPaths([]string{"description"}, maskTarget{class: c, outside: "chassis"})
	}
}

func (r *maskRules) addPaths(paths []string, t maskTarget) {
	for _, p := range paths {
		names := strings.Split(p, "/")
		slices.Reverse(names)
		one := t
		one.parents = names[1:]
		r.add(names[0], &one)
		if len(names) == 1 {
			r.add("@"+p, &one)
		}
	}
}

func (r *maskRules) addSuffixes(c MaskClass, ends ...string) {
	for _, end := range ends {
		r.suffixes = append(r.suffixes, maskSuffix{end, &maskTarget{class: c, deep: c == MaskSecrets}})
		r.markEnd(end)
	}
}

// add adds a target for elements of that name, or attributes when it begins
// with '@'.
func (r *maskRules) add(name string, t *maskTarget) {
	of := r.elements
	if name[0] == '@' {
		name, of = name[1:], r.attrs
	}
	of[name] = append(of[name], t)
	h := nameHash([]byte(name))
	r.filter[h/64] |= 1 << (h % 64)
	r.markEnd(name)
}

func (r *maskRules) markEnd(name string) {
	e := nameTail([]byte(name))
	r.ends[e/64] |= 1 << (e % 64)
}

// nameTail is made of the last two bytes of a name.
func nameTail(name []byte) uint {
	n := len(name) - 1
	return uint(name[max(n-1, 0)]&31)<<5 | uint(name[n]&31)
}

// nameHash is made of the ends and the length of a name.
func nameHash(name []byte) uint {
	n := len(name)
	return (uint(name[0]&31)<<10 | uint(name[n-1]&31)<<5 | uint(n&31)) ^ uint(name[n/2]&31)<<7
}

// mayMask tells whether a local name may be one that is masked.
func (r *maskRules) mayMask(local []byte) bool {
	if len(local) == 0 {
		return false
	}
	e := nameTail(local)
	return r.ends[e/64]&(1<<(e%64)) != 0 && r.mayMaskAll(local)
}

func (r *maskRules) mayMaskAll(local []byte) bool {
	h := nameHash(local)
	return r.filter[h/64]&(1<<(h%64)) != 0 || r.bySuffix(local) != nil
}

// bySuffix returns what a name tells by its end; nil: nothing.
func (r *maskRules) bySuffix(local []byte) *maskTarget {
	for _, s := range r.suffixes {
		if len(local) > len(s.end) && hasFold(local[len(local)-len(s.end):], s.end) {
			return s.of
		}
	}
	return nil
}

// targets are those of a name, in whichever case it is written.
func targets(of map[string][]*maskTarget, local []byte) []*maskTarget {
	if t := of[string(local)]; t != nil {
		return t
	}
	return of[string(bytes.ToLower(local))]
}

// element returns what is masked in the innermost open element: all of its text,
// or what patterns match.
func (r *maskRules) element(s *scan, local []byte) (all *maskTarget, patterns []*maskTarget) {
	for _, t := range targets(r.elements, local) {
		switch {
		case !t.fits(s, 1):
		case t.pattern != nil:
			patterns = append(patterns, t)
		case all == nil || t.deep && !all.deep:
			all = t
		}
	}
	if all == nil {
		all = r.bySuffix(local)
	}
	return all, patterns
}

// fits tells whether the elements around are those of the target's path; the
// innermost is the open element that is skip levels further out.
func (t *maskTarget) fits(s *scan, skip int) bool {
	at := len(s.ends) - 1 - skip
	if t.outside != "" && at >= 0 && strings.HasPrefix(string(localName(s.nameAt(at))), t.outside) {
		return false
	}
	for i, name := range t.parents {
		if at-i < 0 || string(localName(s.nameAt(at-i))) != name {
			return false
		}
	}
	return true
}
