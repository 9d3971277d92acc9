package view

import (
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/cloud/rollout/conductor"
	"lwc/image/release"
)

// Release converts a release, with how far it has come.
func Release(r edp.Release, boxes []conductor.Planned) apitype.Release {
	list := make([]rollout.Box, len(boxes))
	out := apitype.Release{
		Version: r.Version, State: string(r.State), Security: r.Security, Floor: r.Floor, Notes: r.Notes, Created: r.Created,
		PublishedAt: r.PublishedAt, PublishedBy: r.PublishedBy, WithdrawnAt: r.WithdrawnAt, WithdrawnBy: r.WithdrawnBy,
		ResumedAt: r.ResumedAt, ResumedBy: r.ResumedBy, ResumedReason: r.ResumedReason,
		Reason: r.Reason, Digest: r.Digest, Bytes: r.PackedSize(),
		Files: Each(r.Files, func(f release.File) apitype.ReleaseFile {
			return apitype.ReleaseFile{Role: string(f.Role), Name: f.Name, Size: f.Size, SHA256: f.SHA256}
		}),
		Approvals: Each(r.Approvals, func(a edp.ReleaseApproval) apitype.ReleaseApproval {
			return apitype.ReleaseApproval{Collector: a.Collector, By: a.By, At: a.At}
		}),
	}
	for i, b := range boxes {
		list[i] = b.Box
		if b.Running == r.Version {
			out.Running++
		}
	}
	w := rollout.WaveOf(time.Now(), r.Plan(), list)
	out.Updating, out.Failed, out.Lost = w.Busy, w.Failed+w.Excused, w.Lost
	if out.Halted = w.Halted(); out.Halted {
		out.HaltedWhy, out.Hold = w.Reason(), rollout.HoldOf(time.Now(), r.Plan(), list)
	}
	return out
}

// Appliance converts a box and what becomes of it.
func Appliance(p conductor.Planned) apitype.Appliance {
	out := apitype.Appliance{Collector: p.Collector, Online: p.Online, LastSeen: p.LastSeen, Firmware: p.Firmware, Box: p.Hello,
		Policy: p.Policy, OwnPolicy: p.OwnPolicy, When: p.Policy.String(), Wanted: p.Wanted, Why: p.Why, Ask: p.Ask, Next: p.Next}
	if p.Job != nil {
		j := Job(*p.Job, nil, nil)
		out.Update = &j
	}
	return out
}
