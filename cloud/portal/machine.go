package portal

import (
	"fmt"
	"slices"
	"time"

	"lwc/cloud/api"
	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/rollout"
	"lwc/cloud/rollout/conductor"
	"lwc/transport/wire"
)

// machineData is the data of the page "machine".
type machineData struct {
	C        apitype.Collector
	Box      *apitype.Appliance // nil: it is revoked
	Releases []string           // that it may be brought to
	Policy   policyForm
	Jobs     []apitype.Job // that wait or are under way
	// In the form of an update.
	Release, Source, At string
}

// showMachine offers what a collector can do to itself.
func (p *Portal) showMachine(v *visit) error {
	d, err := v.machineData()
	if err != nil {
		return err
	}
	return v.render("machine", "collectors", d)
}

func (v *visit) machineData() (machineData, error) {
	ctx, id := v.r.Context(), v.r.PathValue("collector")
	c, err := v.cfg.Store.Collector(ctx, id)
	if err != nil {
		return machineData{}, err
	}
	d := machineData{C: view.Collector(c)}
	f, err := v.cfg.Store.GetFleet(ctx, id)
	if err != nil {
		return d, err
	}
	jobs, err := v.cfg.Store.Jobs(ctx, edp.JobFilter{Collector: id})
	if err != nil {
		return d, err
	}
	d.Jobs = view.Each(jobs, view.BareJob)
	d.Policy = policyOf(f.Updates)
	d.Policy.Action = "/collectors/" + id + "/updates"
	if d.Box, err = v.boxOf(id); err != nil {
		return d, err
	}
	list, err := v.cfg.Store.Releases(ctx)
	for _, r := range list {
		if r.State == edp.ReleasePublished {
			d.Releases = append(d.Releases, r.Version)
		}
	}
	return d, err
}

// boxOf returns the box of a collector with what becomes of it; nil for none.
func (v *visit) boxOf(collector string) (*apitype.Appliance, error) {
	plans, err := conductor.Plan(v.r.Context(), v.cfg.Store, time.Now())
	i := slices.IndexFunc(plans, func(p conductor.Planned) bool { return p.Collector == collector })
	if err != nil || i < 0 {
		return nil, err
	}
	b := view.Appliance(plans[i])
	return &b, nil
}

// machineKinds are the jobs of the box itself that the page asks for with one click.
var machineKinds = []string{"renew-cert", "restart", "update"}

// machine makes a job of the box itself.
func (p *Portal) machine(v *visit) error {
	d, err := v.machineData()
	if err != nil {
		return err
	}
	d.Release, d.Source, d.At = v.form("release"), v.form("source"), v.form("at")
	if !slices.Contains(machineKinds, v.form("kind")) {
		return edp.ErrNotFound
	}
	j, err := v.machineJob(d)
	if err != nil {
		return v.wrong("machine", "collectors", d, err)
	}
	return v.asked(j)
}

// asked tells of a job of the box itself that was made, and goes to its page.
func (v *visit) asked(j edp.Job) error {
	v.cfg.Hub.JobCreated(j.Collector)
	v.log.Info("a job of the box was asked for", "collector", j.Collector, "kind", j.Kind, "user", v.user.Name)
	return v.done("/jobs/"+j.ID, "")
}

// callOff calls a job off, and tells on its page what that is worth.
func (p *Portal) callOff(v *visit) error {
	j, err := p.cfg.Store.CallOffJob(v.r.Context(), v.r.PathValue("id"), v.user.Name)
	if err != nil {
		return err
	}
	v.log.Info("a job was called off", "collector", j.Collector, "job", j.ID, "kind", j.Kind, "user", v.user.Name)
	return v.done("/jobs/"+j.ID, "")
}

func (v *visit) machineJob(d machineData) (edp.Job, error) {
	n := edp.NewJob{Collector: d.C.ID, Kind: wire.JobKind(v.form("kind")), By: v.user.Name, TTL: api.MachineTTL, Release: d.Release, Source: d.Source}
	var err error
	if n.RebootAt, err = readTime(d.At); err != nil {
		return edp.Job{}, err
	}
	if err := api.CheckMachineJob(n); err != nil {
		return edp.Job{}, err
	}
	return v.cfg.Store.CreateJob(v.r.Context(), n)
}

// readTime reads a time as a browser's field for one has it, in UTC; empty is zero.
func readTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse("2006-01-02T15:04", s)
	if err != nil {
		return t, fleet.Problems{{Path: "at", Text: fmt.Sprintf("%.40q is not a time: write it as 2026-01-31T02:00", s)}}
	}
	return t, nil
}

// putOwnPolicy changes when the box of a collector may change its release.
func (p *Portal) putOwnPolicy(v *visit) error {
	d, err := v.machineData()
	if err != nil {
		return err
	}
	policy, wrong := v.policy()
	if len(wrong) == 0 {
		_, err = p.cfg.Keeper.Revise(v.r.Context(), d.C.ID, v.user.Name, func(s *fleet.Spec) error {
			s.Updates = policy
			return nil
		})
	} else {
		err = wrong
	}
	if err != nil {
		typed := v.typedPolicy()
		typed.Action, d.Policy = d.Policy.Action, typed
		return v.wrong("machine", "collectors", d, err)
	}
	p.cfg.Planner.Look()
	return v.done("/collectors/"+d.C.ID+"/machine", "Updates of "+d.C.ID+": "+policy.String()+".")
}

// showReset asks whether a box is to forget all.
func (p *Portal) showReset(v *visit) error {
	c, err := p.cfg.Store.Collector(v.r.Context(), v.r.PathValue("collector"))
	if err != nil {
		return err
	}
	return v.render("reset", "collectors", view.Collector(c))
}

// reset has a box forget all, once its id was typed.
func (p *Portal) reset(v *visit) error {
	c, err := p.cfg.Store.Collector(v.r.Context(), v.r.PathValue("collector"))
	if err != nil {
		return err
	}
	if v.form("confirm") != c.ID {
		return v.wrong("reset", "collectors", view.Collector(c), fleet.Problems{{Path: "confirm", Text: "type " + c.ID + ", the id of the collector that is to forget all"}})
	}
	j, err := p.cfg.Store.CreateJob(v.r.Context(), edp.NewJob{Collector: c.ID, Kind: wire.JobFactoryReset, By: v.user.Name, TTL: api.MachineTTL})
	if err != nil {
		return v.wrong("reset", "collectors", view.Collector(c), err)
	}
	return v.asked(j)
}

// policyForm is the form of a policy of updates, as typed or as stored.
type policyForm struct {
	Mode, Start, Length, Timezone, DeferDays, Security string
	Days                                               []dayBox
	Action                                             string
	Default                                            bool // of all, and not of one collector
}

func policyOf(p rollout.Policy) policyForm {
	f := policyForm{Mode: p.Mode, Start: p.Window.Start, Length: p.Window.Length, Timezone: p.Window.Timezone,
		Security: p.Security, Days: dayBoxes(p.Window.Days)}
	if p.DeferDays > 0 {
		f.DeferDays = fmt.Sprint(p.DeferDays)
	}
	return f
}

// typedPolicy is the form as it was sent.
func (v *visit) typedPolicy() policyForm {
	return policyForm{Mode: v.form("mode"), Start: v.form("start"), Length: v.form("length"), Timezone: v.form("timezone"),
		DeferDays: v.form("defer_days"), Security: v.form("security"), Days: dayBoxes(v.r.PostForm["day"])}
}

// policy reads the form. Without a mode it is the default's, whatever else stands in it.
func (v *visit) policy() (p rollout.Policy, wrong fleet.Problems) {
	f := v.typedPolicy()
	if f.Mode == "" {
		return p, nil
	}
	n, err := readNumber("defer_days", f.DeferDays)
	if err != nil {
		wrong = append(wrong, fleet.Problem{Path: "defer_days", Text: fmt.Sprintf("%.20q is not a number of days", f.DeferDays)})
	}
	p = rollout.Policy{Mode: f.Mode, DeferDays: n, Security: f.Security}
	if f.Mode != rollout.Automatic && f.Start != "" {
		p.Window = rollout.Window{Start: f.Start, Length: f.Length, Timezone: f.Timezone, Days: v.r.PostForm["day"]}
		if len(p.Window.Days) == len(rollout.Days()) {
			p.Window.Days = nil // every day
		}
	}
	for _, x := range p.Check() {
		wrong = append(wrong, fleet.Problem{Path: "updates." + x.Field, Text: x.Text})
	}
	return p, wrong
}
