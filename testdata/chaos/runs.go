package chaos

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// chain checks that the manifests have the bytes that they are known by, and that
// they form one line.
func (j *judge) chain() {
	known, followed, roots := map[string]bool{}, map[string]string{}, 0
	for _, m := range j.Manifests {
		if m.Hash != m.Found {
			j.find(Wrong, place{run: m.Run}, "manifest %s has bytes that hash to %s", m.Hash, m.Found)
		}
		if known[m.Hash] {
			j.find(Twice, place{run: m.Run}, "manifest %s is stored twice", m.Hash)
		}
		known[m.Hash] = true
	}
	for _, m := range j.Manifests {
		at := place{run: m.Run}
		switch other := followed[m.Previous]; {
		case m.Previous == "":
			if roots++; roots > 1 {
				j.find(Broken, at, "manifest %s begins a second chain", m.Hash)
			}
		case !known[m.Previous]:
			j.find(Broken, at, "manifest %s follows %s, which the store does not have", m.Hash, m.Previous)
		case other != "":
			j.find(Broken, at, "manifests %s and %s both follow %s", other, m.Hash, m.Previous)
		}
		followed[m.Previous] = m.Hash
	}
}

// sections checks that a boot's manifests of a run count from 1 without a gap, and
// end it once.
func (j *judge) sections(run string) {
	boots, at := map[string][]Manifest{}, place{run: run}
	for _, m := range j.runs[run] {
		boots[m.Boot] = append(boots[m.Boot], m)
	}
	for _, boot := range sortedKeys(boots) {
		all := boots[boot]
		slices.SortFunc(all, func(a, b Manifest) int { return a.Section - b.Section })
		for i, m := range all {
			if m.Section != i+1 {
				j.find(Broken, at, "boot %s has section %d where %d belongs", boot, m.Section, i+1)
				break
			}
			if m.Last && i != len(all)-1 {
				j.find(Broken, at, "boot %s goes on after its last section", boot)
			}
		}
	}
}

// coverage checks that a run accounts for every item of every device that it was
// for. One that was cut off says so once for all that is left.
func (j *judge) coverage(run string) {
	first := j.runs[run][0]
	wants := j.Wants(first)
	if wants == nil {
		j.find(Unnamed, place{run: run}, "nobody asked for this run (schedule %q, job %q)", first.Schedule, first.Job)
	}
	why, left := j.cutOff(run), 0
	for _, device := range sortedKeys(wants) {
		missing := slices.DeleteFunc(slices.Clone(wants[device]), func(item string) bool {
			return len(j.entries[place{run, device, item}]) > 0
		})
		switch {
		case len(missing) == 0:
		case why != "":
			left++
		case len(missing) == len(wants[device]) && j.served(first, device, wants[device]):
			j.find(Note, place{run, device, ""}, "not visited: another run of the window accounts for it")
		default:
			for _, item := range missing {
				j.find(Missing, place{run, device, item}, "in no manifest, and the run was not cut off")
			}
		}
	}
	if left > 0 {
		j.find(Note, place{run: run}, "%d devices are left out: %s", left, why)
	}
}

// served tells whether another run, begun after the start of a run's window, accounts
// for all that it was to collect of a device, be it with reasons: then the schedule
// need not visit it again.
func (j *judge) served(of Manifest, device string, items []string) bool {
	return of.Schedule != "" && slices.ContainsFunc(j.Manifests, func(m Manifest) bool {
		visited := slices.ContainsFunc(m.Devices, func(r Result) bool { return r.Device == device })
		return visited && m.Run != of.Run && !m.Started.Before(of.Window) && !slices.ContainsFunc(items, func(item string) bool {
			return len(j.entries[place{m.Run, device, item}]) == 0
		})
	})
}

// diedWith tells whether the boot that a document came from ended before its time,
// and another run accounts for the device: the next boot had no reason to visit it.
func (j *judge) diedWith(d Document) bool {
	if slices.ContainsFunc(j.Boots, func(b Boot) bool { return b.Whole && b.ID == d.Boot }) || len(j.runs[d.Run]) == 0 {
		return false
	}
	of := j.runs[d.Run][0]
	return j.served(of, d.Device, j.Wants(of)[d.Device])
}

// begun checks that there is a run of every window that was due, or that other runs
// collected all of it.
func (j *judge) begun() {
	for _, d := range j.Due {
		of := Manifest{Schedule: d.Schedule, Window: d.Window}
		if slices.ContainsFunc(j.Manifests, func(m Manifest) bool { return m.Schedule == d.Schedule && m.Window.Equal(d.Window) }) {
			continue
		}
		for _, device := range sortedKeys(d.Wants) {
			if !j.served(of, device, d.Wants[device]) {
				j.find(Missing, place{device: device}, "the window of %s at %s never began", d.Schedule, d.Window.Format(time.RFC3339))
			}
		}
	}
}

// ends checks that every run that the store knows has an end.
func (j *judge) ends() {
	for _, r := range j.Runs {
		ended := slices.ContainsFunc(j.runs[r.ID], func(m Manifest) bool { return m.Last })
		if ended {
			continue
		}
		if why := j.cutOff(r.ID); why != "" {
			kind := Note // nothing was made of it
			if len(j.runs[r.ID]) > 0 {
				kind = Unended
			}
			j.find(kind, place{run: r.ID}, "no manifest ends it: its job %s: %s", r.JobState, why)
			continue
		}
		j.find(Broken, place{run: r.ID}, "no manifest ends it (state %s, job %q %s)", r.State, r.Job, r.JobState)
	}
}

// asked is a question to a device. An item may have several, of which a device knows
// one.
type asked struct{ device, item, rpc string }

// heard compares what healthy devices sent during each whole boot with what its
// manifests account for. A device may send more when it is asked again after a cut;
// a healthy one is not cut.
func (j *judge) heard() {
	for _, b := range j.Boots {
		if !b.Whole {
			continue
		}
		sent, told := map[asked]int{}, map[place]int{}
		for _, a := range j.Answers {
			if a.Item != "" && !j.Aside[a.Item] && !j.Faulty[a.Device] && within(a.Time, b) {
				sent[asked{a.Device, a.Item, a.RPC}]++
			}
		}
		for at, entries := range j.entries {
			for _, e := range entries {
				if e.in.Boot == b.ID && e.SHA256 != "" {
					told[place{device: at.device, item: at.item}]++
				}
			}
		}
		for q, n := range sent {
			if at := (place{device: q.device, item: q.item}); told[at] < n {
				j.find(Missing, at, "it was sent %d times to boot %s, whose manifests account for %d", n, b.ID, told[at])
			}
		}
	}
}

func within(t time.Time, b Boot) bool { return !t.Before(b.Start) && !t.After(b.End) }
