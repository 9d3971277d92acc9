package site

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"lwc/transport/wire"
)

// refusesLogins tells whether the fault of a device refuses good log-ins. The
// credential of such a device is its own, as an account that is broken on one
// device is: one that was refused is rightly tried on no other device.
func (d Simulated) refusesLogins() bool {
	kind, _, _ := strings.Cut(d.Fault, ":")
	return slices.Contains([]string{"refuse-auth", "lockout", "endless-prompts"}, kind)
}

// withOwnLogin are the devices with a credential of their own.
func withOwnLogin(all []Simulated) []Simulated {
	return slices.DeleteFunc(slices.Clone(all), func(d Simulated) bool { return !d.refusesLogins() })
}

// writeLimits writes the limits in a fleet file, in JSON, which is YAML too.
func writeLimits(w io.Writer, l wire.CollectLimits) error {
	if l == (wire.CollectLimits{}) {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing the limits: %w", err)
	}
	fmt.Fprintf(w, "limits: %s\n", text)
	return nil
}
