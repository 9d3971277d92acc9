package portal

import (
	"errors"
	"fmt"
	"net/url"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
)

// approvalsData is the data of the page "approvals".
type approvalsData struct {
	Collector  string
	Collectors []string
	Waiting    []apitype.Held
	Decided    []apitype.Held // whose collector did not follow yet
	Bytes      int64          // that wait
}

// maxListed is how many documents the page lists: a browser takes no 10,000.
const maxListed = 500

// Listed are the documents that stand on the page.
func (d approvalsData) Listed() []apitype.Held { return d.Waiting[:min(len(d.Waiting), maxListed)] }

// approvals lists what waits at the sites for an approval.
func (p *Portal) approvals(v *visit) error {
	d, err := v.approvalsData()
	if err != nil {
		return err
	}
	return v.render("approvals", "approvals", d)
}

func (v *visit) approvalsData() (approvalsData, error) {
	d := approvalsData{Collector: v.r.FormValue("collector")}
	var err error
	if d.Collectors, err = v.collectorIDs(); err != nil {
		return d, err
	}
	list, err := v.cfg.Store.Held(v.r.Context(), d.Collector)
	for _, h := range list {
		if h.State == edp.HeldWaiting {
			d.Waiting = append(d.Waiting, view.Held(h))
			d.Bytes += h.Size
		} else {
			d.Decided = append(d.Decided, view.Held(h))
		}
	}
	return d, err
}

// decide approves or declines the documents that are ticked, or all that the page
// listed: nobody decides on what was not seen.
func (p *Portal) decide(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	d, err := v.approvalsData()
	if err != nil {
		return err
	}
	ids := v.r.PostForm["id"]
	if v.form("all") == "true" {
		ids = v.r.PostForm["shown"]
	}
	if len(ids) == 0 {
		return v.wrong("approvals", "approvals", d, fleet.Problems{{Text: "no document is chosen: tick those that you decide on"}})
	}
	approve := v.form("decision") == "approve"
	if !approve && v.form("decision") != "decline" {
		return v.wrong("approvals", "approvals", d, fleet.Problems{{Text: "no decision was made: approve or decline"}})
	}
	collectors, err := p.cfg.Store.DecideHeld(v.r.Context(), ids, approve, v.user.Name)
	if errors.Is(err, edp.ErrNotFound) || errors.Is(err, edp.ErrConflict) {
		return v.wrong("approvals", "approvals", d, fleet.Problems{{Text: "nothing was changed: meanwhile some of them were decided on, or dropped at their site. This is what waits now: choose again"}})
	}
	if err != nil {
		return err
	}
	for _, c := range collectors {
		p.cfg.Hub.HeldDecided(c)
	}
	p.log.Info("held documents were decided on", "approved", approve, "documents", len(ids), "user", v.user.Name)
	return v.done("/approvals?"+url.Values{"collector": {d.Collector}}.Encode(), decided(len(ids), approve))
}

func decided(n int, approve bool) string {
	what := "documents were"
	if n == 1 {
		what = "document was"
	}
	if approve {
		return fmt.Sprintf("%d %s approved: the collector is told to send them.", n, what)
	}
	return fmt.Sprintf("%d %s declined: the collector is told to drop them.", n, what)
}
