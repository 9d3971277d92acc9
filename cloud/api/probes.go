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

// ProbeTTL is how long a probe waits for its collector: whoever asked watches.
const ProbeTTL = 10 * time.Minute

func (a *API) registerProbes() {
	probe := write(http.MethodPost, "probe", "/collectors/{collector}/probe", "Test the connection to devices", "runs")
	probe.Description = "Makes a job; get-job has the diagnosis of each device as it ends: the stages from name to first reply with their time, what is wrong and what to do, and whether the account can do more than collecting needs. Nothing is changed or stored but the diagnosis."
	huma.Register(a.huma, probe, a.probe)
	huma.Register(a.huma, read("get-device-probe", "/collectors/{collector}/devices/{device}/probe", "The newest diagnosis of a device", "runs"), a.deviceProbe)
}

// probeRequest is the request of the operation probe.
type probeRequest struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Body      apitype.ProbeRequest
}

func (a *API) probe(ctx context.Context, in *probeRequest) (*answer[apitype.Job], error) {
	devices, err := a.inGroups(ctx, in.Collector, in.Body.Devices, in.Body.Groups)
	if err != nil {
		return nil, a.fail("probe", err)
	}
	return a.createJob(ctx, "probe", edp.NewJob{Collector: in.Collector, Kind: wire.JobProbe, Devices: devices, TTL: ProbeTTL})
}

func (a *API) deviceProbe(ctx context.Context, in *oneDevice) (*answer[apitype.Probe], error) {
	p, err := a.cfg.Store.LastProbe(ctx, in.Collector, in.Device)
	if err != nil {
		return nil, a.fail("get-device-probe", err)
	}
	return &answer[apitype.Probe]{view.Probe(p)}, nil
}
