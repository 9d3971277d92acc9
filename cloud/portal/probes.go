package portal

import (
	"cmp"
	"errors"
	"slices"

	"lwc/cloud/api"
	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/junos"
	"lwc/transport/wire"
)

// probe makes a job that tests the connection to one device.
func (p *Portal) probe(v *visit) error {
	collector, id := v.r.PathValue("collector"), v.r.PathValue("device")
	j, err := p.cfg.Store.CreateJob(v.r.Context(), edp.NewJob{Collector: collector, Kind: wire.JobProbe,
		Devices: []string{id}, By: v.user.Name, TTL: api.ProbeTTL})
	if err != nil {
		return err
	}
	p.cfg.Hub.JobCreated(collector)
	return v.done("/jobs/"+j.ID, "")
}

// probesOf fills in the diagnoses of a job.
func (v *visit) probesOf(d *jobData) error {
	probes, err := v.cfg.Store.Probes(v.r.Context(), d.Job.ID)
	if err != nil {
		return err
	}
	d.Probes, d.Profiles = view.Each(probes, view.Probe), map[string]string{}
	slices.SortStableFunc(d.Probes, func(a, b apitype.Probe) int { return cmp.Compare(urgency(a), urgency(b)) })
	if more := len(d.Probes) - shownProbes; more > 0 {
		d.Probes, d.More = d.Probes[:shownProbes], more
	}
	for _, p := range d.Probes {
		if len(p.Excess) == 0 {
			continue
		}
		row, err := v.cfg.Store.Device(v.r.Context(), d.Collector, p.Device)
		if err == nil {
			d.Profiles[p.Device] = cmp.Or(row.Device.Profile, wire.DefaultProfile)
		} else if !errors.Is(err, edp.ErrNotFound) { // it may have left the fleet
			return err
		}
	}
	return nil
}

// shownProbes bounds the page of a job, which renews itself every second.
const shownProbes = 100

// urgency orders diagnoses: what fails, what can do too much, what is well.
func urgency(p apitype.Probe) int {
	switch {
	case !p.OK:
		return 0
	case len(p.Excess) > 0:
		return 1
	}
	return 2
}

// lastProbe returns the newest diagnosis of a device; nil: there is none.
func (v *visit) lastProbe(collector, id string) (*apitype.Probe, error) {
	p, err := v.cfg.Store.LastProbe(v.r.Context(), collector, id)
	if errors.Is(err, edp.ErrNotFound) {
		return nil, nil
	}
	shown := view.Probe(p)
	return &shown, err
}

// profileData is one profile, for the choice of a login class.
type profileData struct {
	Name  string
	Items []junos.Item
}

// classData is the data of the page "loginclass".
type classData struct {
	Collector, Device string // where the visitor came from; may be empty
	Profile, Name     string
	Profiles          []string
	Items             int
	Text              string
}

// loginClass shows the Junos login class that is enough for a profile.
func (p *Portal) loginClass(v *visit) error {
	d := classData{Collector: v.r.FormValue("collector"), Device: v.r.FormValue("device"),
		Profile: cmp.Or(v.r.FormValue("profile"), wire.DefaultProfile), Name: cmp.Or(v.r.FormValue("name"), fleet.LoginClassName)}
	profiles, err := v.profiles(d.Collector)
	if err != nil {
		return err
	}
	d.Profiles = view.Each(profiles, func(x profileData) string { return x.Name })
	at := slices.Index(d.Profiles, d.Profile)
	if at < 0 {
		return edp.ErrNotFound
	}
	d.Items, d.Text = len(profiles[at].Items), junos.LoginClass(d.Name, profiles[at].Items)
	return v.render("loginclass", "catalogue", d)
}

// profiles lists what is built in, and the own ones of a collector, if one is
// named. An own profile takes the place of one that is built in.
func (v *visit) profiles(collector string) ([]profileData, error) {
	own := map[string][]string{}
	if collector != "" {
		s, err := v.cfg.Keeper.Spec(v.r.Context(), collector)
		if err != nil {
			return nil, err
		}
		own = s.Profiles
	}
	var out []profileData
	for _, name := range fleet.ProfileNames(own) {
		out = append(out, profileData{name, fleet.ProfileItems(name, own)})
	}
	return out, nil
}

// catalogueRow is one item of the catalogue with the profiles it is in.
type catalogueRow struct {
	junos.Item
	Profiles []string
}

// catalogueData is the data of the page "catalogue".
type catalogueData struct {
	Profiles []profileData
	Items    []catalogueRow
}

// catalogue lists all that can be collected.
func (p *Portal) catalogue(v *visit) error {
	profiles, err := v.profiles("")
	if err != nil {
		return err
	}
	d := catalogueData{Profiles: profiles}
	for _, it := range junos.Catalogue() {
		row := catalogueRow{Item: it}
		for _, x := range profiles {
			if slices.ContainsFunc(x.Items, func(o junos.Item) bool { return o.Name == it.Name }) {
				row.Profiles = append(row.Profiles, x.Name)
			}
		}
		d.Items = append(d.Items, row)
	}
	return v.render("catalogue", "catalogue", d)
}
