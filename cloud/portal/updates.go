package portal

import (
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
		err = p.cfg.Store.SetUpdatePolicy(v.r.Context(), policy)
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
	Boxes   []apitype.Appliance // that run it, are at it, or wait for it
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
		if p.Running == r.Version || p.Wanted == r.Version {
			d.Boxes = append(d.Boxes, b)
		}
		if p.Wanted == r.Version && p.Policy.Mode == rollout.Approval && !approved(r, p.Collector) {
			d.Pending = append(d.Pending, b)
		}
	}
	return d, nil
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
	return v.done("/releases/"+d.R.Version, "Release "+d.R.Version+" was withdrawn.")
}
