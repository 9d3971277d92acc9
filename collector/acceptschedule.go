package collector

import (
	"fmt"
	"slices"

	"lwc/junos"
	"lwc/transport/wire"
)

// schedules checks when the collector collects by itself. It is called after the
// profiles.
func (a *accepting) schedules() {
	list := a.d.Schedules
	count := map[string]int{}
	for _, s := range list {
		count[scheduleName(s)]++
	}
	for _, in := range list {
		name := scheduleName(in)
		path := "schedules/" + name
		s, err := parseSchedule(in)
		switch {
		case err != nil:
			a.faults.add(path, "%v; until then nothing is collected by this schedule", err)
		case s == nil:
		case count[name] > 1:
			a.faults.add(path, "%d schedules have this name, and none of them is used: give each its own", count[name])
		case a.scheduleProfiles(path, s):
			a.fleet.schedules = append(a.fleet.schedules, s)
		}
	}
}

// scheduleProfiles checks the profiles that a schedule names.
func (a *accepting) scheduleProfiles(path string, s *schedule) bool {
	for _, name := range s.profiles {
		if !a.hasProfile(name) {
			a.faults.add(path+"/profiles", "the profile %.80q is not in the configuration, so no device is collected for it", name)
		}
	}
	if s.collect == "" {
		return true
	}
	if _, err := a.profile(s.collect); err != nil {
		a.faults.add(path+"/collect", "%v; until then nothing is collected by this schedule", err)
		return false
	}
	return true
}

func (a *accepting) hasProfile(name string) bool {
	_, ok := a.profiles[name]
	if !ok {
		_, ok = junos.Profile(name)
	}
	return ok
}

// profile names the profile of a device.
func (d *device) profile() string {
	if d.Profile == "" {
		return wire.DefaultProfile
	}
	return d.Profile
}

// find returns the device of a visit with the items that its run collects, or why
// there are none.
func (v *visit) find(f *fleet) (*device, failure) {
	d := f.devices[v.id]
	if d == nil {
		return nil, v.unusable(f)
	}
	if v.r.collect == "" {
		return d, failure{}
	}
	p, ok := f.profiles[v.r.collect]
	if !ok {
		return nil, failure{phase: phaseConfig, kind: kindBadConfig, advice: fmt.Sprintf(
			"The profile %q, which the schedule %q was to collect, is in the configuration no longer.", clip(v.r.collect, 80), clip(v.r.schedule, 80))}
	}
	out := *d
	out.items, out.refused = p.items, p.refused
	return &out, failure{}
}

// wider returns the pairs of profiles of which the first has all items of the
// second.
func (f *fleet) wider() map[[2]string]bool {
	out := map[[2]string]bool{}
	for one, a := range f.profiles {
		has := map[string]bool{}
		for _, it := range a.items {
			has[it.Name] = true
		}
		for other, b := range f.profiles {
			out[[2]string{one, other}] = !slices.ContainsFunc(b.items, func(it junos.Item) bool { return !has[it.Name] })
		}
	}
	return out
}
