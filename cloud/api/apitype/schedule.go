package apitype

import (
	"cmp"
	"strings"

	"lwc/transport/wire"
)

// ScheduleText says in words when a schedule collects, and what: "daily at 02:00
// Europe/Berlin over 2h".
func ScheduleText(s wire.Schedule) string {
	if s.Start == "" {
		return "on demand only"
	}
	text := "daily"
	if len(s.Days) > 0 {
		text = "on " + strings.Join(s.Days, ", ")
	}
	text += " at " + s.Start + " " + cmp.Or(s.Timezone, "UTC")
	if s.Window != "" {
		text += " over " + s.Window
	}
	if s.Collect != "" {
		text += ", the profile " + s.Collect
	}
	switch len(s.Profiles) {
	case 0:
	case 1:
		text += ", of devices with the profile " + s.Profiles[0]
	default:
		text += ", of devices with the profiles " + strings.Join(s.Profiles, ", ")
	}
	return text
}

// EgressText says in words what may leave a site.
func EgressText(e wire.Egress) string {
	switch e.Mode {
	case "", wire.EgressSend:
		return "documents leave the site"
	case wire.EgressDryRun:
		return "dry run: no document leaves the site, manifests tell what would have left"
	case wire.EgressHold:
		return "documents leave the site, but for " + strings.Join(e.Hold, ", ") + ": these wait " + cmp.Or(e.Wait, "1h") + " for an approval and are dropped without"
	}
	return e.Mode
}
