package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
)

func (a *API) registerJobs() {
	huma.Register(a.huma, read("get-job", "/jobs/{id}", "One job, with the devices that are finished", "runs"), a.getJob)
	list := read("list-jobs", "/jobs", "Jobs that wait or are under way, newest first", "runs")
	list.Description = "A job waits in state queued. Once it was sent, which \"sent\" tells, the collector may have it, even if it has not said so."
	huma.Register(a.huma, list, a.listJobs)
	off := write(http.MethodPost, "call-off-job", "/jobs/{id}/call-off", "Call off a job that no collector has taken", "runs")
	off.Description = "It is not sent any more. One that was sent before may be carried out all the same: the answer says so in \"error\", and what the collector says of it counts, so that it may leave the state called-off again. 409 when the collector has taken it, or it is over."
	huma.Register(a.huma, off, a.callOffJob)
}

// jobsQuery chooses jobs.
type jobsQuery struct {
	Collector string `query:"collector" maxLength:"63" doc:"Only of this collector."`
	All       bool   `query:"all" doc:"Also those that are over."`
	Limit     int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
}

func (a *API) listJobs(ctx context.Context, in *jobsQuery) (*answer[apitype.Jobs], error) {
	list, err := a.cfg.Store.Jobs(ctx, edp.JobFilter{Collector: in.Collector, Over: in.All, Limit: in.Limit})
	if err != nil {
		return nil, a.fail("list-jobs", err)
	}
	return &answer[apitype.Jobs]{apitype.Jobs{Jobs: view.Each(list, view.BareJob)}}, nil
}

func (a *API) getJob(ctx context.Context, in *one) (*answer[apitype.Job], error) {
	j, err := a.cfg.Store.Job(ctx, in.ID)
	if err != nil {
		return nil, a.fail("get-job", err)
	}
	probes, err := a.cfg.Store.Probes(ctx, j.ID)
	if err != nil || j.Run == "" {
		return &answer[apitype.Job]{view.Job(j, nil, probes)}, a.fail("get-job", err)
	}
	run, err := a.cfg.Store.Run(ctx, j.Run)
	if err != nil {
		return nil, a.fail("get-job", err)
	}
	return &answer[apitype.Job]{view.Job(j, &run, probes)}, nil
}

func (a *API) callOffJob(ctx context.Context, in *one) (*answer[apitype.Job], error) {
	j, err := a.cfg.Store.CallOffJob(ctx, in.ID, caller(ctx).Name)
	if err != nil {
		return nil, a.fail("call-off-job", err)
	}
	return &answer[apitype.Job]{view.BareJob(j)}, nil
}
