package apitype

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lwc/transport/wire"
)

// Account says in words what became of the documents of a run: "336 of 384
// documents stored, 12 skipped because the device does not know them, 36 could
// not be collected".
func (r Run) Account() string {
	parts := []string{fmt.Sprintf("%d of %d documents stored", r.Stored, r.Expected)}
	if r.Unchanged > 0 {
		parts[0] += fmt.Sprintf(" (%d unchanged)", r.Unchanged)
	}
	unknown := 0
	for _, l := range r.Left {
		if l.Unknown() {
			unknown += l.Items
		}
	}
	if unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped because the device does not know them", unknown))
	}
	if rest := r.Skipped - unknown; rest > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", rest))
	}
	if r.Withheld > 0 {
		parts = append(parts, fmt.Sprintf("%d withheld at the site", r.Withheld))
	}
	if r.Failed > 0 || r.Skipped+r.Withheld == 0 {
		parts = append(parts, fmt.Sprintf("%d could not be collected", r.Failed))
	}
	return strings.Join(parts, ", ")
}

// Unknown tells whether items were skipped because the device had said that it
// does not know them.
func (l Left) Unknown() bool { return l.Status == "skipped" && l.Before == "unsupported" }

// Names lists the devices that a reason is true of: "edge-1, edge-2 and 8 more".
func (l Left) Names() string {
	names := strings.Join(l.Devices, ", ")
	if more := l.Of - len(l.Devices); more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}

// Odd lists the documents of a device that are not simply ok: "2 denied, 1
// malformed". It is empty when all are.
func (d DeviceResult) Odd() string {
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(d.Outcomes)) {
		if outcome != "ok" && outcome != "" {
			parts = append(parts, fmt.Sprintf("%d %s", d.Outcomes[outcome], outcome))
		}
	}
	return strings.Join(parts, ", ")
}

// Altered says in words how a document differs from the bytes of the device;
// empty when it does not.
func (d Document) Altered() string {
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(d.Masked)) {
		parts = append(parts, fmt.Sprintf("%d of %s", d.Masked[class], class))
	}
	switch {
	case len(parts) > 0:
		return "values were replaced by pseudonyms at the site: " + strings.Join(parts, ", ")
	case slices.Contains(d.Flags, "masked"):
		return "values were replaced by pseudonyms at the site"
	case slices.Contains(d.Flags, "repaired-utf8"):
		return "bytes that are not UTF-8 were replaced"
	}
	return ""
}

// PassedOver is the kind of a step that did not lead to the device while a later
// one did: port 830 of a device that answers on 22.
const PassedOver = "passed-over"

// Headline says in a few words how a probe ended: that the device can be
// collected, wholly or but for commands that are denied, or the first stage that
// failed.
func (p Probe) Headline() string {
	denied := func(s wire.ProbeStep) bool { return !s.OK && s.Stage == "permission" }
	if p.OK && slices.ContainsFunc(p.Steps, denied) {
		return "can be collected in part"
	}
	if p.OK {
		return "can be collected"
	}
	for _, s := range p.Steps {
		if !s.OK && s.Stage != "privilege" && s.Kind != PassedOver {
			return "fails at " + s.Stage
		}
	}
	return "fails"
}
