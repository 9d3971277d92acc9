package netguard

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// FeatureError says what the kernel lacks and what that costs. It is
// ErrUnsupported.
type FeatureError struct {
	Port    Side   // empty when both ports need it
	Feature string // in words: "802.1Q links"
	Needs   string // what has it: "CONFIG_VLAN_8021Q (module 8021q)"
	Effect  string // what is refused without it
	Err     error  // the kernel's, optional
}

// Error names the feature, the kernel that has it and the effect.
func (e *FeatureError) Error() string {
	s := fmt.Sprintf("%s%v: %s: needs %s", portPrefix(e.Port), ErrUnsupported, e.Feature, e.Needs)
	if e.Effect != "" {
		s += ": " + e.Effect
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns ErrUnsupported and the kernel's error.
func (e *FeatureError) Unwrap() []error { return []error{ErrUnsupported, e.Err} }

// lacks reports whether the kernel says with err that it does not know the kind
// of link, socket or address family that it was asked for.
func lacks(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
