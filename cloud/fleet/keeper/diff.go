package keeper

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// Diff tells what differs between two fleets, in the order of a fleet file. It
// shows no secret: of a credential it says that the secret changed.
func Diff(old, next edp.Fleet) []edp.Change {
	var out []edp.Change
	out = append(out, many("schedule", byID(old.Schedules, func(s wire.Schedule) string { return s.Name }),
		byID(next.Schedules, func(s wire.Schedule) string { return s.Name }), apitype.ScheduleText, scheduleDiff)...)
	out = append(out, one("egress", old.Egress, next.Egress, apitype.EgressText)...)
	out = append(out, one("limits", old.Limits, next.Limits, limitsText)...)
	out = append(out, maskingDiff(old.Masking, next.Masking)...)
	out = append(out, one("fallback", old.AllowCLI, next.AllowCLI, func(bool) string { return "to CLI commands" })...)
	out = append(out, one("updates", old.Updates, next.Updates, rollout.Policy.String)...)
	out = append(out, many("profile", old.Profiles, next.Profiles, nil, func(a, b []string) []string {
		return field(nil, "items", strings.Join(a, " "), strings.Join(b, " "))
	})...)
	out = append(out, many("credential", byID(old.Credentials, func(c edp.Credential) string { return c.ID }),
		byID(next.Credentials, func(c edp.Credential) string { return c.ID }), nil, credentialDiff)...)
	out = append(out, many("bastion", byID(old.Bastions, func(b edp.Bastion) string { return b.ID }),
		byID(next.Bastions, func(b edp.Bastion) string { return b.ID }), nil, bastionDiff)...)
	return append(out, many("device", byID(old.Devices, func(d edp.Device) string { return d.ID }),
		byID(next.Devices, func(d edp.Device) string { return d.ID }), nil, deviceDiff)...)
}

// one compares an entry that there is one of. Its zero value means that there
// is none.
func one[T any](kind string, old, next T, text func(T) string) []edp.Change {
	var none T
	c := edp.Change{Action: edp.Changed, Kind: kind, Detail: text(old) + " → " + text(next)}
	switch {
	case reflect.DeepEqual(old, next):
		return nil
	case reflect.DeepEqual(old, none):
		c.Action, c.Detail = edp.Added, text(next)
	case reflect.DeepEqual(next, none):
		c.Action, c.Detail = edp.Removed, text(old)
	}
	return []edp.Change{c}
}

// many compares named entries. differ lists what differs between two of them;
// text, where there is one, says what a new one is.
func many[T any](kind string, old, next map[string]T, text func(T) string, differ func(a, b T) []string) []edp.Change {
	var out []edp.Change
	ids := slices.Sorted(maps.Keys(next))
	for _, id := range ids {
		before, known := old[id]
		if !known {
			c := edp.Change{Action: edp.Added, Kind: kind, ID: id}
			if text != nil {
				c.Detail = text(next[id])
			}
			out = append(out, c)
		} else if d := differ(before, next[id]); len(d) > 0 {
			out = append(out, edp.Change{Action: edp.Changed, Kind: kind, ID: id, Detail: strings.Join(d, ", ")})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(old)) {
		if _, kept := next[id]; !kept {
			out = append(out, edp.Change{Action: edp.Removed, Kind: kind, ID: id})
		}
	}
	return out
}

func byID[T any](list []T, id func(T) string) map[string]T {
	m := make(map[string]T, len(list))
	for _, v := range list {
		m[id(v)] = v
	}
	return m
}

// field adds "name a → b" when the two differ.
func field(to []string, name string, a, b any) []string {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	switch {
	case x == y:
		return to
	case len(x) > 60 || len(y) > 60:
		return append(to, name)
	}
	return append(to, fmt.Sprintf("%s %s → %s", name, shown(x), shown(y)))
}

func shown(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func credentialDiff(a, b edp.Credential) (d []string) {
	d = field(d, "kind", a.Kind, b.Kind)
	d = field(d, "username", a.Username, b.Username)
	if a.Version != b.Version {
		d = append(d, "secret")
	}
	return d
}

func bastionDiff(a, b edp.Bastion) (d []string) {
	d = field(d, "address", a.Address, b.Address)
	d = field(d, "port", a.Port, b.Port)
	d = field(d, "credential", a.Credential, b.Credential)
	d = field(d, "via", strings.Join(a.Via, " "), strings.Join(b.Via, " "))
	d = keys(d, a.HostKeys, b.HostKeys)
	d = field(d, "trust_first", a.TrustFirst, b.TrustFirst)
	d = field(d, "legacy_algorithms", a.Legacy, b.Legacy)
	return field(d, "max_sessions", a.MaxSessions, b.MaxSessions)
}

func deviceDiff(a, b edp.Device) (d []string) {
	d = field(d, "address", a.Address, b.Address)
	d = field(d, "port", a.Port, b.Port)
	d = field(d, "credential", a.Credential, b.Credential)
	d = field(d, "bastions", strings.Join(a.Bastions, " "), strings.Join(b.Bastions, " "))
	d = keys(d, a.HostKeys, b.HostKeys)
	d = field(d, "trust_first", a.TrustFirst, b.TrustFirst)
	d = field(d, "profile", a.Profile, b.Profile)
	d = field(d, "legacy_algorithms", a.Legacy, b.Legacy)
	d = field(d, "pipeline", a.Pipeline, b.Pipeline)
	return field(d, "groups", strings.Join(a.Groups, " "), strings.Join(b.Groups, " "))
}

// maskingDiff tells what is masked otherwise. The first key is part of the
// bargain and no change; another one is.
func maskingDiff(a, b edp.Masking) []edp.Change {
	var d []string
	for _, name := range fleet.MaskClasses() {
		d = field(d, name, masked(a, name), masked(b, name))
	}
	if !slices.Equal(a.Rules, b.Rules) {
		d = field(d, "rules", len(a.Rules), len(b.Rules))
		if len(a.Rules) == len(b.Rules) {
			d = append(d, "rules")
		}
	}
	if a.Version != "" && a.Version != b.Version {
		d = append(d, "a new key")
	}
	if len(d) == 0 {
		return nil
	}
	return []edp.Change{{Action: edp.Changed, Kind: "masking", Detail: strings.Join(d, ", ")}}
}

func masked(m edp.Masking, class string) string {
	on, said := m.Classes[class]
	if !said {
		on = fleet.MaskedByDefault(class)
	}
	if on {
		return "on"
	}
	return "off"
}

func keys(d, a, b []string) []string {
	if slices.Equal(a, b) {
		return d
	}
	return append(d, "host keys")
}

func scheduleDiff(a, b wire.Schedule) (d []string) {
	d = field(d, "start", a.Start, b.Start)
	d = field(d, "window", a.Window, b.Window)
	d = field(d, "timezone", a.Timezone, b.Timezone)
	d = field(d, "days", strings.Join(a.Days, " "), strings.Join(b.Days, " "))
	d = field(d, "collect", a.Collect, b.Collect)
	return field(d, "profiles", strings.Join(a.Profiles, " "), strings.Join(b.Profiles, " "))
}

func limitsText(l wire.CollectLimits) string {
	var d []string
	for _, v := range []struct {
		name  string
		value any
	}{
		{"concurrency", l.Concurrency}, {"max_document_bytes", l.MaxDocumentBytes}, {"per_bastion", l.PerBastion},
		{"logins_per_second", l.LoginsPerSecond}, {"max_cpu", l.MaxCPU}, {"budget_bytes", l.BudgetBytes},
	} {
		if text := fmt.Sprint(v.value); text != "0" {
			d = append(d, v.name+" "+text)
		}
	}
	if len(d) == 0 {
		return "the collector's defaults"
	}
	return strings.Join(d, ", ")
}
