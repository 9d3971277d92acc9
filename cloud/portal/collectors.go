package portal

import (
	"errors"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
)

func (p *Portal) collectors(v *visit) error {
	list, err := p.cfg.Store.Collectors(v.r.Context())
	if err != nil {
		return err
	}
	return v.render("collectors", "collectors", view.Each(list, view.Collector))
}

// collectorIDs names the collectors, for choices in forms.
func (v *visit) collectorIDs() ([]string, error) {
	list, err := v.cfg.Store.Collectors(v.r.Context())
	return view.Each(list, func(c edp.Collector) string { return c.ID }), err
}

// collectorData is the data of the page "collector".
type collectorData struct {
	C       apitype.Collector
	Fleet   apitype.Fleet
	Devices int
	Groups  []string
	Runs    []apitype.Run
	Events  []apitype.Event
	// Violations are the last ones at the ports.
	Violations []apitype.Event
	Box        *apitype.Appliance // nil: it is revoked
}

func (p *Portal) collector(v *visit) error {
	ctx, id := v.r.Context(), v.r.PathValue("collector")
	c, err := p.cfg.Store.Collector(ctx, id)
	if err != nil {
		return err
	}
	d := collectorData{C: view.Collector(c)}
	f, err := p.cfg.Store.GetFleet(ctx, id)
	if err != nil && !errors.Is(err, edp.ErrNotFound) {
		return err
	}
	d.Fleet, d.Devices, d.Groups = view.Fleet(f), len(f.Devices), f.Groups()
	runs, err := p.cfg.Store.Runs(ctx, edp.RunFilter{Collector: id, Limit: latestRuns})
	if err != nil {
		return err
	}
	d.Runs = view.Each(runs, view.Run)
	events, err := p.cfg.Store.Events(ctx, id, latestRuns)
	if err != nil {
		return err
	}
	found, err := p.cfg.Store.Violations(ctx, id, latestRuns)
	if err != nil {
		return err
	}
	if d.Box, err = v.boxOf(id); err != nil {
		return err
	}
	d.Events, d.Violations = view.Each(events, view.Event), view.Each(found, view.Event)
	return v.render("collector", "collectors", d)
}

func (p *Portal) showRevoke(v *visit) error {
	c, err := p.cfg.Store.Collector(v.r.Context(), v.r.PathValue("collector"))
	if err != nil {
		return err
	}
	return v.render("revoke", "collectors", view.Collector(c))
}

func (p *Portal) revoke(v *visit) error {
	id := v.r.PathValue("collector")
	if err := p.cfg.Store.Revoke(v.r.Context(), id, v.user.Name); err != nil {
		return err
	}
	p.cfg.Hub.Revoked(id)
	p.log.Warn("a collector was revoked", "collector", id, "user", v.user.Name)
	return v.done("/collectors/"+id, id+" was revoked: it cannot connect any more.")
}

// eventsData is the data of the page "events".
type eventsData struct {
	Collector  string
	Collectors []string
	Events     []apitype.Event
}

func (p *Portal) events(v *visit) error {
	d := eventsData{Collector: v.r.FormValue("collector")}
	var err error
	if d.Collectors, err = v.collectorIDs(); err != nil {
		return err
	}
	list, err := p.cfg.Store.Events(v.r.Context(), d.Collector, 500)
	if err != nil {
		return err
	}
	d.Events = view.Each(list, view.Event)
	return v.render("events", "events", d)
}
