// Package view turns what the store holds into messages of the API. The portal
// shows the same messages, so that neither can show what the other hides.
package view

import (
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/fleet/keeper"
	"lwc/transport/wire"
)

// Each applies a conversion to a list. The result is never nil, so that JSON
// has [] and not null.
func Each[A, B any](list []A, to func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = to(v)
	}
	return out
}

// Collector converts an entry of the registry.
func Collector(c edp.Collector) apitype.Collector {
	out := apitype.Collector{
		ID: c.ID, State: string(c.State), Online: c.Online, Boot: c.Boot, Firmware: c.Firmware,
		LastSeen: c.LastSeen, EnrolledAt: c.CreatedAt, CertificateExpires: c.CertNotAfter,
		ConfigVersion: c.ConfigVersion, AppliedVersion: c.Applied.Version,
		AppliedStatus: string(c.AppliedStatus), AppliedError: c.AppliedError,
		Box: c.Box, Ports: c.Ports, PortsNeed: apitype.PortsNeed(c.Ports), Health: c.Health, ItemErrors: c.ItemErrors,
	}
	out.LostAt, out.AwaitedSince = c.LostAt, c.MissedAt
	out.HealthNeed = apitype.HealthNeed(out, time.Now())
	if c.LastRun != nil {
		run := Run(*c.LastRun)
		out.LastRun = &run
	}
	return out
}

// Event converts an event; a port violation is explained.
func Event(e wire.Event) apitype.Event {
	out := apitype.Event{Event: e}
	out.Meaning, out.Advice = apitype.ExplainViolation(e.Violation)
	return out
}

// Device converts a device with its state.
func Device(d edp.DeviceRow) apitype.Device {
	return apitype.Device{
		Collector: d.Collector, Device: fleet.Device{Device: d.Device, Groups: d.Groups},
		HostName: d.HostName, Model: d.Model, Version: d.Version, Serial: d.Serial,
		State: string(d.State), Phase: d.Phase, Kind: d.Kind, Error: d.Error, HostKey: d.HostKey,
		LastRun: d.LastRun, LastAttempt: d.LastAttempt, LastSuccess: d.LastSuccess,
		Documents: d.Documents, Bytes: d.Bytes, Seconds: d.Seconds,
		Access: d.Access, Weak: weak(d.Access),
	}
}

// Changes converts what a change of a fleet did.
func Changes(collector string, r keeper.Result, dryRun bool) apitype.Changes {
	return apitype.Changes{
		Collector: collector, State: string(r.State), Version: r.Version, DryRun: dryRun,
		Changes: Each(r.Changes, func(c edp.Change) apitype.Change {
			return apitype.Change{Action: string(c.Action), Kind: c.Kind, ID: c.ID, Detail: c.Detail}
		}),
	}
}

// Fleet converts a desired configuration; the ciphers stay behind.
func Fleet(f edp.Fleet) apitype.Fleet {
	return apitype.Fleet{
		Collector: f.Collector, Version: f.Version, Schedules: Each(f.Schedules, func(s wire.Schedule) wire.Schedule { return s }), Egress: f.Egress, Limits: f.Limits, Profiles: f.Profiles, AllowCLI: f.AllowCLI, Updates: f.Updates,
		Masking: apitype.Masking{Classes: f.Masking.Classes, Rules: f.Masking.Rules, KeyVersion: f.Masking.Version},
		Credentials: Each(f.Credentials, func(c edp.Credential) apitype.Credential {
			return apitype.Credential{ID: c.ID, Kind: c.Kind, Username: c.Username, Version: c.Version}
		}),
		Bastions: Each(f.Bastions, func(b edp.Bastion) apitype.Bastion { return apitype.Bastion{ID: b.ID, Bastion: b.Bastion} }),
		Devices:  Each(f.Devices, func(d edp.Device) fleet.Device { return fleet.Device(d) }),
	}
}

// Document converts what is said of a document; its bytes stay behind.
func Document(d edp.Document) apitype.Document {
	return apitype.Document{
		ID: d.ID, Collector: d.Collector, Run: d.Run, Device: d.Device, Item: d.Item, Outcome: d.Outcome,
		Flags: d.Flags, SHA256: d.SHA256, Size: d.Size, RawSHA256: d.RawSHA256, RawSize: d.RawSize, Masked: d.Masked, Unchanged: d.Unchanged,
		CollectedAt: d.CollectedAt, ReceivedAt: d.ReceivedAt,
	}
}

// User converts a user.
func User(u edp.User) apitype.User {
	return apitype.User{Name: u.Name, Role: string(u.Role), Created: u.Created}
}

// TokenInfo converts what is said of an API token.
func TokenInfo(t edp.APIToken) apitype.TokenInfo {
	return apitype.TokenInfo{ID: t.ID, Name: t.Name, Role: string(t.Role), Created: t.Created, Expires: t.Expires}
}

// OpenEnrolToken converts what is said of an enrolment token.
func OpenEnrolToken(t edp.OpenEnrolToken) apitype.OpenEnrolToken {
	return apitype.OpenEnrolToken(t)
}
