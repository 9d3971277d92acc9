package junos

import (
	"fmt"
	"regexp"
	"slices"
)

// MaskClass is a kind of value that is replaced by a pseudonym.
type MaskClass string

// Classes of values.
const (
	MaskUserNames    MaskClass = "user-names"
	MaskCommunities  MaskClass = "snmp-communities"
	MaskSecrets      MaskClass = "secrets"
	MaskMACs         MaskClass = "mac-addresses"
	MaskIPs          MaskClass = "ip-addresses"
	MaskDescriptions MaskClass = "descriptions"
)

// DefaultMaskClasses returns the classes that are masked unless a configuration
// says otherwise: user names, SNMP communities and secrets.
func DefaultMaskClasses() []MaskClass {
	return []MaskClass{MaskUserNames, MaskCommunities, MaskSecrets}
}

// MaskRule masks more than the classes do.
type MaskRule struct {
	Class   string // counted under this name, which the pseudonym begins with: lower case letters, digits and hyphens
	Item    string // only in replies to this item; empty: in all
	Path    string // the text of elements whose local names end so, "user-entry/user"; empty: any text
	Pattern string // only what this RE2 expression matches in it; empty: the whole text
}

// MaskConfig says what is masked and how.
type MaskConfig struct {
	Key     []byte      // of the pseudonyms, at least 16 bytes
	Classes []MaskClass // nil: DefaultMaskClasses
	Rules   []MaskRule
}

// Mask replaces values by pseudonyms. It never changes: all sessions may use
// one at once.
type Mask struct {
	classes []MaskClass
}

var className = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// NewMask checks a configuration.
func NewMask(c MaskConfig) (*Mask, error) {
	if len(c.Key) < 16 {
		return nil, fmt.Errorf("making mask: key of %d bytes is under 16", len(c.Key))
	}
	m := &Mask{classes: slices.Clone(c.Classes)}
	if c.Classes == nil {
		m.classes = DefaultMaskClasses()
	}
	for _, r := range c.Rules {
		if !className.MatchString(r.Class) {
			return nil, fmt.Errorf("making mask: class %q is not a word of lower case letters, digits and hyphens", r.Class)
		}
		if _, err := regexp.Compile(r.Pattern); err != nil {
			return nil, fmt.Errorf("making mask: %w", err)
		}
	}
	return m, nil
}
