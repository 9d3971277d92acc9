package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/rollout"
	"lwc/cloud/rollout/conductor"
)

// Planner makes the jobs of updates; conductor.Conductor is one.
type Planner interface {
	// Look has it look at the boxes now. It does not block.
	Look()
}

func (a *API) registerReleases() {
	huma.Register(a.huma, read("list-releases", "/releases", "Releases of the appliance, the newest version first", "updates"), a.listReleases)
	huma.Register(a.huma, read("get-release", "/releases/{version}", "One release", "updates"), a.getRelease)
	add := write(http.MethodPost, "add-release", "/releases", "Publish a release", "updates")
	add.Description = "The body is the bundle, lwc_VERSION.release.tar. It is refused unless a key that the cloud trusts has signed it, and every file is what its manifest promises. To add the same one again does nothing; a version is never reused."
	add.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{
		"application/x-tar": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	huma.Register(a.huma, add, a.addRelease)
	withdraw := write(http.MethodPost, "withdraw-release", "/releases/{version}/withdraw", "Keep a release from the boxes that do not run it", "updates")
	withdraw.Description = "Its approvals are forgotten: where it is published again it needs new ones."
	huma.Register(a.huma, withdraw, a.withdrawRelease)
	approve := write(http.MethodPost, "approve-release", "/releases/{version}/approve", "Let boxes take a release whose policy asks for an approval", "updates")
	huma.Register(a.huma, approve, a.approveRelease)
	resume := write(http.MethodPost, "resume-release", "/releases/{version}/resume", "Let a release go on that is held back", "updates")
	resume.Description = "What failed with it so far does not count against it any more. A box that it failed on is not sent it again for that: ask for it there by hand. The body names the hold that was looked at: 409 when it is another by now."
	huma.Register(a.huma, resume, a.resumeRelease)
	boxes := read("list-boxes", "/boxes", "Who runs what, and what comes next", "updates")
	huma.Register(a.huma, boxes, a.listBoxes)
	huma.Register(a.huma, read("get-update-policy", "/update-policy", "When boxes may change their release, where their fleet does not say", "updates"), a.getUpdatePolicy)
	huma.Register(a.huma, read("get-collector-update-policy", "/collectors/{collector}/update-policy", "When the box of a collector may change its release", "updates"), a.getOwnUpdatePolicy)
	put := write(http.MethodPut, "put-update-policy", "/update-policy", "Change when boxes may change their release, where their fleet does not say", "updates")
	put.Description = "An empty policy brings back the one that is built in."
	huma.Register(a.huma, put, a.putUpdatePolicy)
	own := write(http.MethodPut, "put-collector-update-policy", "/collectors/{collector}/update-policy", "Change when the box of a collector may change its release", "updates")
	own.Description = "It is part of the fleet. An empty policy means the default."
	huma.Register(a.huma, own, a.putOwnUpdatePolicy)
}

func (a *API) plan(ctx context.Context) ([]conductor.Planned, error) {
	return conductor.Plan(ctx, a.cfg.Store, time.Now())
}

func (a *API) listReleases(ctx context.Context, _ *struct{}) (*answer[apitype.Releases], error) {
	list, err := a.cfg.Store.Releases(ctx)
	if err != nil {
		return nil, a.fail("list-releases", err)
	}
	boxes, err := a.plan(ctx)
	if err != nil {
		return nil, a.fail("list-releases", err)
	}
	return &answer[apitype.Releases]{apitype.Releases{Releases: view.Each(list, func(r edp.Release) apitype.Release {
		return view.Release(r, boxes)
	})}}, nil
}

// oneRelease names a release in the path.
type oneRelease struct {
	Version string `path:"version" maxLength:"40" doc:"MAJOR.MINOR.PATCH."`
}

func (a *API) getRelease(ctx context.Context, in *oneRelease) (*answer[apitype.Release], error) {
	r, err := a.cfg.Store.Release(ctx, in.Version)
	return a.showRelease(ctx, "get-release", r, err)
}

func (a *API) showRelease(ctx context.Context, op string, r edp.Release, err error) (*answer[apitype.Release], error) {
	if err != nil {
		return nil, a.fail(op, err)
	}
	boxes, err := a.plan(ctx)
	if err != nil {
		return nil, a.fail(op, err)
	}
	return &answer[apitype.Release]{view.Release(r, boxes)}, nil
}

// upload is a body that is read while it comes: a release is too large for memory.
type upload struct {
	body io.Reader
}

// Resolve implements huma.Resolver: it keeps the body, and lets it take as long as
// something comes.
func (u *upload) Resolve(hc huma.Context) []error {
	_, w := humago.Unwrap(hc)
	u.body = &arriving{hc.BodyReader(), http.NewResponseController(w)}
	return nil
}

// arriving puts off the deadlines of a request while its body comes.
type arriving struct {
	r       io.Reader
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *arriving) Read(p []byte) (int, error) {
	until := time.Now().Add(standstill)
	for _, set := range []func(time.Time) error{b.control.SetReadDeadline, b.control.SetWriteDeadline} {
		if err := set(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, err
		}
	}
	return b.r.Read(p)
}

func (a *API) addRelease(ctx context.Context, in *upload) (*answer[apitype.Release], error) {
	r, err := a.cfg.Shelf.Add(ctx, in.body, caller(ctx).Name)
	if err == nil {
		a.cfg.Planner.Look()
	}
	return a.showRelease(ctx, "add-release", r, err)
}

// withdrawal is the request of that operation.
type withdrawal struct {
	Version string `path:"version" maxLength:"40" doc:"MAJOR.MINOR.PATCH."`
	Body    apitype.ReleaseWithdrawal
}

func (a *API) withdrawRelease(ctx context.Context, in *withdrawal) (*answer[apitype.Release], error) {
	r, err := a.cfg.Shelf.Withdraw(ctx, in.Version, caller(ctx).Name, in.Body.Reason)
	return a.showRelease(ctx, "withdraw-release", r, err)
}

// resumption is the request of that operation.
type resumption struct {
	Version string `path:"version" maxLength:"40" doc:"MAJOR.MINOR.PATCH."`
	Body    apitype.ReleaseResumption
}

func (a *API) resumeRelease(ctx context.Context, in *resumption) (*answer[apitype.Release], error) {
	if err := a.cfg.Store.ResumeRelease(ctx, in.Version, caller(ctx).Name, in.Body.Reason, in.Body.Hold); err != nil {
		return nil, a.fail("resume-release", err)
	}
	a.cfg.Planner.Look()
	return a.getRelease(ctx, &oneRelease{in.Version})
}

// releaseDecision is the request of that operation.
type releaseDecision struct {
	Version string `path:"version" maxLength:"40" doc:"MAJOR.MINOR.PATCH."`
	Body    apitype.ReleaseDecision
}

func (a *API) approveRelease(ctx context.Context, in *releaseDecision) (*answer[apitype.Release], error) {
	err := a.cfg.Store.ApproveRelease(ctx, in.Version, in.Body.Collectors, !in.Body.Undo, caller(ctx).Name)
	if err != nil {
		return nil, a.fail("approve-release", err)
	}
	a.cfg.Planner.Look()
	return a.getRelease(ctx, &oneRelease{in.Version})
}

func (a *API) listBoxes(ctx context.Context, _ *struct{}) (*answer[apitype.Appliances], error) {
	boxes, err := a.plan(ctx)
	if err != nil {
		return nil, a.fail("list-boxes", err)
	}
	p, err := a.cfg.Store.UpdatePolicy(ctx)
	if err != nil {
		return nil, a.fail("list-boxes", err)
	}
	return &answer[apitype.Appliances]{apitype.Appliances{Policy: p, When: p.String(), Boxes: view.Each(boxes, view.Appliance)}}, nil
}

func (a *API) getUpdatePolicy(ctx context.Context, _ *struct{}) (*answer[apitype.UpdatePolicy], error) {
	p, err := a.cfg.Store.UpdatePolicy(ctx)
	if err != nil {
		return nil, a.fail("get-update-policy", err)
	}
	return &answer[apitype.UpdatePolicy]{apitype.UpdatePolicy{Policy: p, When: p.String()}}, nil
}

func (a *API) getOwnUpdatePolicy(ctx context.Context, in *oneCollector) (*answer[apitype.UpdatePolicy], error) {
	f, err := a.cfg.Store.GetFleet(ctx, in.Collector)
	if err != nil {
		return nil, a.fail("get-collector-update-policy", err)
	}
	out := apitype.UpdatePolicy{Collector: in.Collector, Policy: f.Updates, Inherited: f.Updates.IsZero()}
	if out.Inherited {
		out.Policy, err = a.cfg.Store.UpdatePolicy(ctx)
	}
	if err != nil {
		return nil, a.fail("get-collector-update-policy", err)
	}
	out.When = out.Policy.String()
	return &answer[apitype.UpdatePolicy]{out}, nil
}

func (a *API) putUpdatePolicy(ctx context.Context, in *request[rollout.Policy]) (*answer[apitype.UpdatePolicy], error) {
	if err := a.cfg.Store.SetUpdatePolicy(ctx, in.Body, caller(ctx).Name); err != nil {
		return nil, a.fail("put-update-policy", err)
	}
	a.cfg.Planner.Look()
	p, err := a.cfg.Store.UpdatePolicy(ctx)
	if err != nil {
		return nil, a.fail("put-update-policy", err)
	}
	return &answer[apitype.UpdatePolicy]{apitype.UpdatePolicy{Policy: p, When: p.String()}}, nil
}

// ownPolicy is the request of that operation.
type ownPolicy struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Body      rollout.Policy
}

func (a *API) putOwnUpdatePolicy(ctx context.Context, in *ownPolicy) (*answer[apitype.UpdatePolicy], error) {
	// A slip of the pen is not to make a collector: a fleet file prepares one.
	if _, err := a.cfg.Store.Collector(ctx, in.Collector); err != nil {
		return nil, a.fail("put-collector-update-policy", err)
	}
	_, err := a.cfg.Keeper.Revise(ctx, in.Collector, caller(ctx).Name, func(s *fleet.Spec) error {
		s.Updates = in.Body
		return nil
	})
	if err != nil {
		return nil, a.fail("put-collector-update-policy", err)
	}
	a.cfg.Planner.Look()
	return &answer[apitype.UpdatePolicy]{apitype.UpdatePolicy{Collector: in.Collector, Policy: in.Body, When: in.Body.String()}}, nil
}
