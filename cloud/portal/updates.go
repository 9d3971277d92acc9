package portal

import (
	"cmp"
	"slices"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/rollout"
	"lwc/cloud/rollout/conductor"
)

// updatesData is the data of the page "updates".
type updatesData struct {
	Releases []apitype.Release
	Boxes    []apitype.Appliance
	Others   int // collectors on systems of somebody's own
	When     string
	Policy   policyForm
}

// updates tells who runs what, and what comes next.
func (p *Portal) updates(v *visit) error {
	d, err := v.updatesData()
	if err != nil {
		return err
	}
	return v.render("updates", "updates", d)
}

func (v *visit) updatesData() (d updatesData, err error) {
	ctx := v.r.Context()
	plans, err := conductor.Plan(ctx, v.cfg.Store, time.Now())
	if err != nil {
		return d, err
	}
	for _, p := range plans {
		if p.Running == "" && !p.Unseen {
			d.Others++
			continue
		}
		d.Boxes = append(d.Boxes, view.Appliance(p))
	}
	list, err := v.cfg.Store.Releases(ctx)
	if err != nil {
		return d, err
	}
	d.Releases = view.Each(list, func(r edp.Release) apitype.Release { return view.Release(r, plans) })
	policy, err := v.cfg.Store.UpdatePolicy(ctx)
	d.When, d.Policy = policy.String(), policyOf(policy)
	d.Policy.Action, d.Policy.Default = "/updates", true
	return d, err
}

// putPolicy changes the policy of those that have none of their own.
func (p *Portal) putPolicy(v *visit) error {
	policy, wrong := v.policy()
	var err error = wrong
	if len(wrong) == 0 {
		err = p.cfg.Store.SetUpdatePolicy(v.r.Context(), policy, v.user.Name)
	}
	if err != nil {
		d, derr := v.updatesData()
		if derr != nil {
			return derr
		}
		typed := v.typedPolicy()
		typed.Action, typed.Default = d.Policy.Action, true
		d.Policy = typed
		return v.wrong("updates", "updates", d, err)
	}
	p.cfg.Planner.Look()
	p.log.Info("the policy of updates was changed", "policy", policy.String(), "user", v.user.Name)
	return v.done("/updates", "The default was saved.")
}

// releaseData is the data of the page "release".
type releaseData struct {
	R       apitype.Release
	Boxes   []apitype.Appliance // that run it, are at it, or wait for it, or that it failed on
	Pending []apitype.Appliance // whose policy asks for an approval that is not there
}

func (p *Portal) release(v *visit) error {
	d, err := v.releaseData()
	if err != nil {
		return err
	}
	return v.render("release", "updates", d)
}

func (v *visit) releaseData() (d releaseData, err error) {
	ctx := v.r.Context()
	r, err := v.cfg.Store.Release(ctx, v.r.PathValue("version"))
	if err != nil {
		return d, err
	}
	plans, err := conductor.Plan(ctx, v.cfg.Store, time.Now())
	if err != nil {
		return d, err
	}
	d.R = view.Release(r, plans)
	for _, p := range plans {
		b := view.Appliance(p)
		if p.Running == r.Version || p.Wanted == r.Version || failedOn(p, r.Version) {
			d.Boxes = append(d.Boxes, b)
		}
		if p.Wanted == r.Version && p.Policy.Mode == rollout.Approval && !approved(r, p.Collector) {
			d.Pending = append(d.Pending, b)
		}
	}
	return d, nil
}

func failedOn(p conductor.Planned, version string) bool {
	return slices.ContainsFunc(p.Failures, func(f rollout.Failure) bool { return f.Version == version })
}

func approved(r edp.Release, collector string) bool {
	for _, a := range r.Approvals {
		if a.Collector == "" || a.Collector == collector {
			return true
		}
	}
	return false
}

// approveRelease lets the boxes that are ticked take a release, or all.
func (p *Portal) approveRelease(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	version, chosen := v.r.PathValue("version"), v.r.PostForm["collector"]
	if v.form("all") == "true" {
		chosen = nil
	} else if len(chosen) == 0 {
		d, err := v.releaseData()
		if err != nil {
			return err
		}
		return v.wrong("release", "updates", d, fleet.Problems{{Text: "no box is chosen: tick those that may take the release"}})
	}
	if err := p.cfg.Store.ApproveRelease(v.r.Context(), version, chosen, true, v.user.Name); err != nil {
		return err
	}
	p.cfg.Planner.Look()
	p.log.Info("a release was approved", "version", version, "collectors", chosen, "user", v.user.Name)
	return v.done("/releases/"+version, "Release "+version+" was approved.")
}

// unapproveRelease takes one approval back; no collector stands for all.
func (p *Portal) unapproveRelease(v *visit) error {
	version, collector := v.r.PathValue("version"), v.form("collector")
	var of []string
	if collector != "" {
		of = []string{collector}
	}
	if err := p.cfg.Store.ApproveRelease(v.r.Context(), version, of, false, v.user.Name); err != nil {
		return err
	}
	p.cfg.Planner.Look()
	p.log.Info("an approval of a release was taken back", "version", version, "collector", collector, "user", v.user.Name)
	return v.done("/releases/"+version, "The approval of release "+version+" for "+cmp.Or(collector, "all boxes")+" was taken back.")
}

func (p *Portal) showResume(v *visit) error {
	d, err := v.releaseData()
	if err != nil {
		return err
	}
	return v.render("resume", "updates", d.R)
}

// resume lets a release go on that is held back.
func (p *Portal) resume(v *visit) error {
	d, err := v.releaseData()
	if err != nil {
		return err
	}
	reason := v.form("reason")
	if reason == "" || len(reason) > 500 {
		return v.wrong("resume", "updates", d.R, fleet.Problems{{Path: "reason", Text: "say in a few words why, for those who look after the boxes"}})
	}
	if err := p.cfg.Store.ResumeRelease(v.r.Context(), d.R.Version, v.user.Name, reason, v.form("hold")); err != nil {
		return v.wrong("resume", "updates", d.R, err)
	}
	p.cfg.Planner.Look()
	p.log.Info("a release that was held back goes on", "version", d.R.Version, "reason", reason, "user", v.user.Name)
	return v.done("/releases/"+d.R.Version, "Release "+d.R.Version+" goes on.")
}

func (p *Portal) showWithdraw(v *visit) error {
	d, err := v.releaseData()
	if err != nil {
		return err
	}
	return v.render("withdraw", "updates", d.R)
}

// withdraw keeps a release from the boxes that do not run it.
func (p *Portal) withdraw(v *visit) error {
	d, err := v.releaseData()
	if err != nil {
		return err
	}
	reason := v.form("reason")
	if reason == "" || len(reason) > 500 {
		return v.wrong("withdraw", "updates", d.R, fleet.Problems{{Path: "reason", Text: "say in a few words why, for those who look after the boxes"}})
	}
	if _, err := p.cfg.Shelf.Withdraw(v.r.Context(), d.R.Version, v.user.Name, reason); err != nil {
		return v.wrong("withdraw", "updates", d.R, err)
	}
	notice := "Release " + d.R.Version + " was withdrawn."
	if len(d.R.Approvals) > 0 {
		notice += " Its approvals are forgotten: approve it anew where it is published again."
	}
	return v.done("/releases/"+d.R.Version, notice)
}
