package portal

import (
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/rollout/conductor"
)

// overviewData is the data of the page "overview".
type overviewData struct {
	Collectors          []apitype.Collector
	Online, Devices, OK int
	Failing             []apitype.Device
	// PortTrouble are the collectors whose ports are closed, not separated, or
	// kept apart with less than a newer kernel could.
	PortTrouble []apitype.Collector
	// Unwell are the collectors whose health needs somebody.
	Unwell  []apitype.Collector
	Waiting int // documents, for an approval
	// Updates are the boxes whose next release waits for a person.
	Updates   []apitype.Appliance
	Runs      []apitype.Run
	Documents int
	Bytes     int64
}

// latestRuns is how many runs short lists show.
const latestRuns = 8

func (p *Portal) overview(v *visit) error {
	ctx := v.r.Context()
	collectors, err := p.cfg.Store.Collectors(ctx)
	if err != nil {
		return err
	}
	devices, err := p.cfg.Store.Devices(ctx, "")
	if err != nil {
		return err
	}
	runs, err := p.cfg.Store.Runs(ctx, edp.RunFilter{Limit: latestRuns})
	if err != nil {
		return err
	}
	d := overviewData{Collectors: view.Each(collectors, view.Collector), Devices: len(devices), Runs: view.Each(runs, view.Run)}
	held, err := p.cfg.Store.Held(ctx, "")
	if err != nil {
		return err
	}
	for _, h := range held {
		if h.State == edp.HeldWaiting {
			d.Waiting++
		}
	}
	plans, err := conductor.Plan(ctx, p.cfg.Store, time.Now())
	if err != nil {
		return err
	}
	for _, b := range plans {
		if b.Ask {
			d.Updates = append(d.Updates, view.Appliance(b))
		}
	}
	for _, c := range d.Collectors {
		if len(c.HealthNeed) > 0 {
			d.Unwell = append(d.Unwell, c)
		}
		if c.Online {
			d.Online++
		}
		if c.State != string(edp.CollectorRevoked) && len(c.PortsNeed) > 0 {
			d.PortTrouble = append(d.PortTrouble, c)
		}
	}
	for _, row := range devices {
		d.Documents += row.Documents
		d.Bytes += row.Bytes
		switch row.State {
		case edp.DeviceOK:
			d.OK++
		case edp.DeviceFailed:
			d.Failing = append(d.Failing, view.Device(row))
		}
	}
	return v.render("overview", "overview", d)
}
