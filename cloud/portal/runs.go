package portal

import (
	"errors"
	"io"
	"slices"
	"strings"

	"lwc/cloud/api"
	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// runsData is the data of the page "runs".
type runsData struct {
	Collector  string
	Collectors []string
	Runs       []apitype.Run
}

func (p *Portal) runs(v *visit) error {
	d := runsData{Collector: v.r.FormValue("collector")}
	var err error
	if d.Collectors, err = v.collectorIDs(); err != nil {
		return err
	}
	list, err := p.cfg.Store.Runs(v.r.Context(), edp.RunFilter{Collector: d.Collector, Limit: 200})
	if err != nil {
		return err
	}
	d.Runs = view.Each(list, view.Run)
	return v.render("runs", "runs", d)
}

// runData is the data of the page "run".
type runData struct {
	R         apitype.Run
	Collector string
	Results   []apitype.DeviceResult
	Documents []apitype.Document
}

// maxShownDocuments bounds the page of a run; the API lists all.
const maxShownDocuments = 2000

func (p *Portal) run(v *visit) error {
	r, err := p.cfg.Store.Run(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	docs, err := p.cfg.Store.Documents(v.r.Context(), edp.DocumentFilter{Collector: r.Collector, Run: r.ID, Limit: maxShownDocuments})
	if err != nil {
		return err
	}
	shown := view.Run(r)
	return v.render("run", "runs", runData{R: shown, Collector: r.Collector, Results: shown.Devices, Documents: view.Each(docs, view.Document)})
}

// collect makes a job of all devices, or of the one or the group that the form names.
func (p *Portal) collect(v *visit) error {
	collector := v.r.PathValue("collector")
	n := edp.NewJob{Collector: collector, Kind: wire.JobCollect, By: v.user.Name, TTL: api.CollectTTL}
	if d := v.r.PostFormValue("device"); d != "" {
		n.Devices = []string{d}
	}
	if g := v.r.PostFormValue("group"); g != "" {
		f, err := p.cfg.Store.GetFleet(v.r.Context(), collector)
		if err != nil {
			return err
		}
		if n.Devices, err = f.InGroups(nil, []string{g}); err != nil {
			return err
		}
	}
	j, err := p.cfg.Store.CreateJob(v.r.Context(), n)
	if err != nil {
		return err
	}
	p.cfg.Hub.JobCreated(collector)
	return v.done("/jobs/"+j.ID, "")
}

// jobData is the data of the page "job".
type jobData struct {
	Job        apitype.Job
	Run        *apitype.Run
	Collector  string
	Results    []apitype.DeviceResult
	Probes     []apitype.Probe   // the most urgent ones first
	More       int               // diagnoses that are there and not shown
	Profiles   map[string]string // of devices whose account can do too much
	Max, Value int
	Over       bool
	Machine    bool   // the job is of the box itself
	Waiting    string // what the job waits for, in words
	CallOff    bool   // it can be called off, and the visitor may
}

func (p *Portal) job(v *visit) error {
	j, err := p.cfg.Store.Job(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	c, err := p.cfg.Store.Collector(v.r.Context(), j.Collector)
	if err != nil {
		return err
	}
	d := jobData{Job: view.Job(j, nil, nil), Collector: j.Collector, Max: max(j.Total, 1), Value: j.Done}
	d.Over = slices.Contains([]wire.JobState{wire.JobDone, wire.JobFailed, wire.JobRefused, edp.JobCalledOff}, j.State)
	d.CallOff = d.Job.Waits() && v.user.Role == edp.RoleAdmin
	d.Machine = j.Run == "" && j.Kind != wire.JobProbe
	if j.Run != "" {
		r, err := p.cfg.Store.Run(v.r.Context(), j.Run)
		if err != nil {
			return err
		}
		run := view.Run(r)
		d.Run, d.Results = &run, run.Devices
		d.Max, d.Value = max(r.Expected, 1), r.Stored+r.Failed+r.Skipped+r.Withheld
		d.Over = r.State != edp.RunRunning
	}
	if j.Kind == wire.JobProbe {
		if err := v.probesOf(&d); err != nil {
			return err
		}
	}
	if !d.Over && !c.Online {
		d.Waiting = "The collector is offline. The job waits for it until " + when(j.Expires) + " UTC."
	}
	return v.render("job", "collectors", d)
}

// documentData is the data of the page "document".
type documentData struct {
	D     apitype.Document
	Text  string
	Cut   bool
	Shown int64
}

// maxShownBytes bounds the page of a document.
const maxShownBytes = 1 << 20

func (p *Portal) document(v *visit) error {
	doc, reader, err := p.cfg.Store.OpenDocument(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(reader, maxShownBytes))
	if err = errors.Join(err, reader.Close()); err != nil {
		return err
	}
	return v.render("document", "devices", documentData{
		D: view.Document(doc), Text: strings.ToValidUTF8(string(body), "\uFFFD"),
		Cut: int64(len(body)) < doc.Size, Shown: int64(len(body)),
	})
}
