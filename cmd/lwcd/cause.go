package main

import (
	"errors"

	"lwc/netguard"
)

// configError is what is wrong with the configuration file, or that it is not
// there.
type configError struct{ err error }

func (e *configError) Error() string { return "the configuration cannot be used: " + e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// causeOf is one word for what keeps the ports down, for the log, the status
// line and the console.
func causeOf(err error) string {
	if _, ok := errors.AsType[*netguard.OverlapError](err); ok {
		return "overlap"
	}
	for _, c := range []struct {
		word string
		err  error
	}{
		{"same-interface", netguard.ErrSameInterface},
		{"missing-interface", netguard.ErrNoInterface},
		{"interface-in-use", netguard.ErrInterfaceInUse},
		{"extra-interface", netguard.ErrExtraInterface},
		{"same-segment", netguard.ErrSameSegment},
		{"in-use", netguard.ErrInUse},
		{"unsupported", netguard.ErrUnsupported},
		{"privilege", netguard.ErrPrivilege},
		{"namespace", netguard.ErrWrongNamespace},
		{"user", errUser},
		{"state", errFolder},
	} {
		if errors.Is(err, c.err) {
			return c.word
		}
	}
	if _, ok := errors.AsType[*configError](err); ok {
		return "configuration"
	}
	if v, ok := errors.AsType[*netguard.Violation](err); ok {
		return string(v.Kind)
	}
	return "other"
}
