package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// MachineTTL is how long a job of the box itself waits for its collector.
const MachineTTL = time.Hour

func (a *API) registerHeld() {
	list := read("list-held", "/held", "Documents that wait at a site for an approval", "egress")
	list.Description = "In mode hold, the cloud gets the header of each document of the items that are held: what it is, its size and hash. The bytes stay in the collector until an admin approves them, and are dropped there otherwise."
	huma.Register(a.huma, list, a.listHeld)
	huma.Register(a.huma, write(http.MethodPost, "approve-held", "/held/approve", "Let held documents leave their site, all or none", "egress"),
		func(ctx context.Context, in *request[apitype.Decision]) (*answer[apitype.HeldList], error) {
			return a.decide(ctx, "approve-held", in.Body.IDs, true)
		})
	huma.Register(a.huma, write(http.MethodPost, "decline-held", "/held/decline", "Have held documents dropped at their site, all or none", "egress"),
		func(ctx context.Context, in *request[apitype.Decision]) (*answer[apitype.HeldList], error) {
			return a.decide(ctx, "decline-held", in.Body.IDs, false)
		})
	job := write(http.MethodPost, "machine-job", "/collectors/{collector}/jobs", "Renew the certificate, restart or update a collector, or have its box forget all", "collectors")
	job.Description = "Makes a job; get-job tells its progress in words. A job is carried out once."
	huma.Register(a.huma, job, a.machineJob)
}

func (a *API) listHeld(ctx context.Context, in *ofCollector) (*answer[apitype.HeldList], error) {
	list, err := a.cfg.Store.Held(ctx, in.Collector)
	if err != nil {
		return nil, a.fail("list-held", err)
	}
	return &answer[apitype.HeldList]{apitype.HeldList{Held: view.Each(list, view.Held)}}, nil
}

// decide answers with what is held afterwards.
func (a *API) decide(ctx context.Context, op string, ids []string, approve bool) (*answer[apitype.HeldList], error) {
	collectors, err := a.cfg.Store.DecideHeld(ctx, ids, approve, caller(ctx).Name)
	if err != nil {
		return nil, a.fail(op, err)
	}
	for _, c := range collectors {
		a.cfg.Hub.HeldDecided(c)
	}
	return a.listHeld(ctx, &ofCollector{})
}

// machineRequest is the request of the operation machine-job.
type machineRequest struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Body      apitype.MachineJob
}

func (a *API) machineJob(ctx context.Context, in *machineRequest) (*answer[apitype.Job], error) {
	n := edp.NewJob{Collector: in.Collector, Kind: wire.JobKind(in.Body.Kind), Release: in.Body.Release, Source: in.Body.Source,
		RebootAt: in.Body.RebootAt, TTL: MachineTTL}
	if err := CheckMachineJob(n); err != nil {
		return nil, a.fail("machine-job", err)
	}
	return a.createJob(ctx, "machine-job", n)
}
