package view

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// Job converts a job; its results are those of its run, or its probes.
func Job(j edp.Job, run *edp.Run, probes []edp.Probe) apitype.Job {
	out := apitype.Job{
		ID: j.ID, Collector: j.Collector, Kind: string(j.Kind), State: string(j.State), Error: j.Error,
		Detail: j.Detail, Release: j.Release, Source: j.Source, RebootAt: j.RebootAt, Run: j.Run, By: j.By, Done: j.Done, Total: j.Total, Created: j.Created, Sent: j.Sent, Expires: j.Expires,
	}
	if run != nil {
		out.Results = Each(run.Devices, result)
	}
	if len(probes) > 0 {
		out.Probes = Each(probes, Probe)
	}
	return out
}

// BareJob converts a job without its results.
func BareJob(j edp.Job) apitype.Job { return Job(j, nil, nil) }

// Run converts a run.
func Run(r edp.Run) apitype.Run {
	out := apitype.Run{
		ID: r.ID, Collector: r.Collector, Job: r.Job, Kind: string(r.Kind), State: string(r.State),
		Started: r.Started, Finished: r.Finished, Expected: r.Expected, Stored: r.Stored, Failed: r.Failed,
		Skipped: r.Skipped, Withheld: r.Withheld, Unchanged: r.Unchanged,
		Schedule: r.Schedule, Window: r.Window, Mode: r.Mode, Reason: r.Reason, Bytes: r.Bytes, Manifests: r.Manifests,
	}
	if len(r.Devices) > 0 {
		out.Devices = Each(r.Devices, result)
	}
	if len(r.Left) > 0 {
		out.Left = Each(r.Left, left)
	}
	return out
}

func result(d edp.DeviceResult) apitype.DeviceResult {
	return apitype.DeviceResult{DeviceResult: d.DeviceResult, Outcomes: d.Outcomes}
}

func left(l edp.Left) apitype.Left {
	return apitype.Left{Status: string(l.Status), Before: l.Outcome, Reason: l.Reason, Items: l.Items, Devices: l.Devices, Of: l.Of}
}

// Held converts a held document.
func Held(h edp.Held) apitype.Held {
	return apitype.Held{ID: h.ID, Collector: h.Collector, Run: h.Run, Device: h.Device, Item: h.Item, Outcome: h.Outcome,
		SHA256: h.SHA256, Size: h.Size, RawSHA256: h.RawSHA256, RawSize: h.RawSize, Flags: h.Flags, CollectedAt: h.CollectedAt,
		OfferedAt: h.OfferedAt, State: string(h.State), By: h.By, DecidedAt: h.DecidedAt}
}

// Probe converts a diagnosis.
func Probe(p edp.Probe) apitype.Probe { return apitype.Probe{Job: p.Job, At: p.At, Probe: p.Probe} }

// weak lists the hops of a device where algorithms were negotiated that are
// broken or too short, as golang.org/x/crypto/ssh judges them.
func weak(a *wire.Access) (out []string) {
	if a == nil {
		return nil
	}
	bad := ssh.InsecureAlgorithms()
	names := slices.Concat(bad.KeyExchanges, bad.HostKeys, bad.Ciphers, bad.MACs)
	for _, h := range a.Hops {
		var found []string
		for _, alg := range []string{h.KeyExchange, h.HostKey, h.Cipher, h.MAC} {
			if slices.Contains(names, alg) && !slices.Contains(found, alg) {
				found = append(found, alg)
			}
		}
		if len(found) > 0 {
			out = append(out, h.Name+": "+strings.Join(found, ", "))
		}
	}
	return out
}
