package junos

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// MaskClass is a kind of value that is replaced by a pseudonym.
type MaskClass string

// Classes of values. Each is found by the elements and attributes that hold such
// values, and by what such values look like in any text, attribute or comment.
const (
	// MaskUserNames are log-in names: of commits, sessions, processes, home
	// folders, lines of logs, and tables with a column USER.
	MaskUserNames MaskClass = "user-names"
	// MaskCommunities are SNMP communities; BGP communities are not.
	MaskCommunities MaskClass = "snmp-communities"
	// MaskSecrets are passwords and keys: what Junos encrypts or hashes ($9$, $8$,
	// $1$, $5$, $6$ …), private keys in PEM, SSH keys, and what is called a
	// password, secret or key.
	MaskSecrets MaskClass = "secrets"
	// MaskMACs are MAC addresses. Their pseudonyms are 02:xx:xx:xx:xx:xx, locally
	// administered addresses, written with the separator of the original.
	MaskMACs MaskClass = "mac-addresses"
	// MaskIPs are IPv4 and IPv6 addresses, without the length of a prefix. Their
	// pseudonyms are of 240.0.0.0/4, which is reserved, and of 2001:db8::/32,
	// which is for documentation. Subnets are not kept. The unspecified, loopback
	// and multicast addresses and what begins with 255 stay as they are.
	MaskIPs MaskClass = "ip-addresses"
	// MaskDescriptions are the descriptions that people gave to interfaces, peers
	// and neighbors; those of hardware parts are not.
	MaskDescriptions MaskClass = "descriptions"
)

// DefaultMaskClasses returns the classes that are masked unless a configuration
// says otherwise: user names, SNMP communities and secrets.
func DefaultMaskClasses() []MaskClass {
	return []MaskClass{MaskUserNames, MaskCommunities, MaskSecrets}
}

// MaskRule masks more than the classes do.
type MaskRule struct {
	// Class begins the pseudonym and is what it is counted under: up to 32 lower
	// case letters, digits and hyphens, a letter first.
	Class string
	// Item restricts the rule to replies to this item. Empty: all.
	Item string
	// Path is local names of elements, from the outside to the inside, which the
	// way from the root must end with: "user-entry/user". The text directly in
	// such an element is masked. A last name that begins with '@' is of an
	// attribute. Empty: any text, attribute and comment.
	Path string
	// Pattern is an RE2 expression: only what it matches is masked, or what its
	// first group matches, where it has one. It is matched line by line, with
	// references such as &amp; resolved; a match of over 512 bytes in a line of
	// over 16 KiB may be missed. Empty: the whole text.
	Pattern string
}

// MaskConfig says what is masked and how.
type MaskConfig struct {
	// Key makes the pseudonyms, at least 16 bytes.
	Key []byte
	// Classes that are masked. Nil: DefaultMaskClasses.
	Classes []MaskClass
	Rules   []MaskRule
}

// Mask replaces values by pseudonyms while a reply is read. It never changes:
// all sessions may use one at once.
//
// A pseudonym is the first 64 bits of an HMAC-SHA-256 of class and value, after a
// word for the class: "user-3f9a0c51d2e47b86". Thus the same value, key and class
// give the same pseudonym, and neither the value nor its length can be told from
// it. A value is hashed as a reader of XML sees it: references resolved, CDATA
// opened, white space around it left off and inside it folded to one space each.
// White space around the value stays where it was, up to 4 KiB of it.
//
// What is no XML is masked as text, so that a broken or cut document shows no more
// than a sound one; the value of an element that is cut off is masked as far as it
// came.
type Mask struct {
	rules  *maskRules            // for every item but
	ofItem map[string]*maskRules // these, which rules name
}

var (
	className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	errMask   = errors.New("bad masking")
)

const minMaskKey = 16

// NewMask checks a configuration.
func NewMask(c MaskConfig) (*Mask, error) {
	if len(c.Key) < minMaskKey {
		return nil, fmt.Errorf("%w: key of %d bytes is under %d", errMask, len(c.Key), minMaskKey)
	}
	classes := c.Classes
	if classes == nil {
		classes = DefaultMaskClasses()
	}
	for _, class := range classes {
		if _, known := pseudonymPrefix[class]; !known {
			return nil, fmt.Errorf("%w: unknown class %q", errMask, class)
		}
	}
	m := &Mask{ofItem: map[string]*maskRules{}}
	for _, r := range append([]MaskRule{{}}, c.Rules...) {
		if r.Item == "" && m.rules != nil || m.ofItem[r.Item] != nil {
			continue
		}
		rules, err := newMaskRules(c.Key, classes, slices.DeleteFunc(slices.Clone(c.Rules), func(o MaskRule) bool {
			return o.Item != "" && o.Item != r.Item
		}))
		if err != nil {
			return nil, err
		}
		if r.Item == "" {
			m.rules = rules
		} else {
			m.ofItem[r.Item] = rules
		}
	}
	return m, nil
}

// of returns the rules for replies to an item.
func (m *Mask) of(item string) *maskRules {
	if r := m.ofItem[item]; r != nil {
		return r
	}
	return m.rules
}

// compileRule checks a rule and makes a target of it, for the element or
// attribute of that name; no name: any text.
func compileRule(r MaskRule) (name string, t *maskTarget, err error) {
	if !className.MatchString(r.Class) {
		return "", nil, fmt.Errorf("%w: class %q is not a word of lower case letters, digits and hyphens", errMask, r.Class)
	}
	t = &maskTarget{class: MaskClass(r.Class)}
	if r.Pattern != "" {
		if t.pattern, err = regexp.Compile(r.Pattern); err != nil {
			return "", nil, fmt.Errorf("%w: %w", errMask, err)
		}
	}
	if r.Path == "" {
		if r.Pattern == "" {
			return "", nil, fmt.Errorf("%w: a rule of class %q has neither path nor pattern", errMask, r.Class)
		}
		return "", t, nil
	}
	names := strings.Split(strings.Trim(r.Path, "/"), "/")
	for i, n := range names {
		if i == len(names)-1 {
			n = strings.TrimPrefix(n, "@")
		}
		if n == "" || strings.ContainsAny(n, "@:*[]<> \t\r\n") {
			return "", nil, fmt.Errorf("%w: path %q is not local names and slashes", errMask, r.Path)
		}
	}
	slices.Reverse(names)
	t.parents = names[1:]
	return names[0], t, nil
}
