package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/fleet"
	"lwc/cloud/fleet/keeper"
)

// maxFleet bounds the body of a fleet, as maxFile does a fleet file.
const maxFleet = 16 << 20

func (a *API) registerFleets() {
	put := write(http.MethodPut, "put-fleet", "/collectors/{collector}/fleet", "Make this the whole desired configuration", "fleets")
	put.Description = "Entries that are not named are removed. Secrets are encrypted at once and never returned; one that is left out stays as it is. Putting the same fleet twice changes nothing."
	put.MaxBodyBytes = maxFleet
	huma.Register(a.huma, put, a.putFleet)
	huma.Register(a.huma, read("get-fleet", "/collectors/{collector}/fleet", "The desired configuration, without secrets", "fleets"), a.getFleet)
	huma.Register(a.huma, read("list-devices", "/devices", "Devices with their state and identity", "fleets"), a.listDevices)
	add := write(http.MethodPost, "add-devices", "/collectors/{collector}/devices", "Add devices, all or none", "fleets")
	add.MaxBodyBytes = maxFleet
	huma.Register(a.huma, add, a.addDevices)
	huma.Register(a.huma, write(http.MethodDelete, "delete-device", "/collectors/{collector}/devices/{device}", "Stop collecting from a device", "fleets"), a.deleteDevice)
	rotate := write(http.MethodPost, "rotate-masking-key", "/collectors/{collector}/masking/rotate", "Make a new masking key", "fleets")
	rotate.Description = "From then on the same value has another pseudonym than in documents from before. The key is never shown."
	huma.Register(a.huma, rotate, a.rotateMasking)
	csv := write(http.MethodPost, "import-devices", "/collectors/{collector}/devices/import", "Add devices from CSV, all or none", "fleets")
	csv.Description = "The header line names the columns: id, address, port, credential, bastions, host_keys, trust_first, profile, legacy_algorithms, pipeline, groups. Several bastions, host keys or groups are separated by '|'."
	csv.MaxBodyBytes = maxFleet
	huma.Register(a.huma, csv, a.importDevices)
}

// putFleet is the request of that operation.
type putFleet struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	DryRun    bool   `query:"dry_run" doc:"Only tell what would change."`
	Body      fleet.Spec
}

func (a *API) putFleet(ctx context.Context, in *putFleet) (*answer[apitype.Changes], error) {
	defer in.Body.Wipe()
	r, err := a.cfg.Keeper.Apply(ctx, in.Collector, caller(ctx).Name, in.Body, in.DryRun)
	return a.changes("put-fleet", in.Collector, r, in.DryRun, err)
}

func (a *API) changes(op, collector string, r keeper.Result, dryRun bool, err error) (*answer[apitype.Changes], error) {
	if err != nil {
		return nil, a.fail(op, err)
	}
	return &answer[apitype.Changes]{view.Changes(collector, r, dryRun)}, nil
}

func (a *API) getFleet(ctx context.Context, in *oneCollector) (*answer[apitype.Fleet], error) {
	f, err := a.cfg.Store.GetFleet(ctx, in.Collector)
	if err != nil {
		return nil, a.fail("get-fleet", err)
	}
	return &answer[apitype.Fleet]{view.Fleet(f)}, nil
}

// ofCollector chooses by collector.
type ofCollector struct {
	Collector string `query:"collector" maxLength:"63" doc:"Only of this collector."`
}

func (a *API) listDevices(ctx context.Context, in *ofCollector) (*answer[apitype.Devices], error) {
	list, err := a.cfg.Store.Devices(ctx, in.Collector)
	if err != nil {
		return nil, a.fail("list-devices", err)
	}
	return &answer[apitype.Devices]{apitype.Devices{Devices: view.Each(list, view.Device)}}, nil
}

// addDevices is the request of that operation.
type addDevices struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Replace   bool   `query:"replace" doc:"Replace devices that have the same id."`
	Body      apitype.DeviceList
}

func (a *API) addDevices(ctx context.Context, in *addDevices) (*answer[apitype.Changes], error) {
	r, err := a.cfg.Keeper.AddDevices(ctx, in.Collector, in.Body.Devices, in.Replace)
	return a.changes("add-devices", in.Collector, r, false, err)
}

// oneDevice names a device in the path.
type oneDevice struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Device    string `path:"device" maxLength:"63" doc:"Device id."`
}

func (a *API) deleteDevice(ctx context.Context, in *oneDevice) (*answer[apitype.Changes], error) {
	r, err := a.cfg.Keeper.DeleteDevice(ctx, in.Collector, in.Device)
	return a.changes("delete-device", in.Collector, r, false, err)
}

func (a *API) rotateMasking(ctx context.Context, in *oneCollector) (*answer[apitype.Changes], error) {
	r, err := a.cfg.Keeper.RotateMasking(ctx, in.Collector)
	return a.changes("rotate-masking-key", in.Collector, r, false, err)
}

// importDevices is the request of that operation.
type importDevices struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Replace   bool   `query:"replace" doc:"Replace devices that have the same id."`
	RawBody   []byte `contentType:"text/csv"`
}

func (a *API) importDevices(ctx context.Context, in *importDevices) (*answer[apitype.Changes], error) {
	var devices []fleet.Device
	s, err := a.cfg.Keeper.Spec(ctx, in.Collector)
	if err == nil {
		devices, err = fleet.ParseCSV("body", in.RawBody, s)
	}
	if err != nil {
		return nil, a.fail("import-devices", err)
	}
	r, err := a.cfg.Keeper.AddDevices(ctx, in.Collector, devices, in.Replace)
	return a.changes("import-devices", in.Collector, r, false, err)
}
