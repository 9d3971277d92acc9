package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// CollectTTL is how long a collect job waits for its collector.
const CollectTTL = time.Hour

func (a *API) registerRuns() {
	huma.Register(a.huma, write(http.MethodPost, "collect", "/collectors/{collector}/collect", "Collect now", "runs"), a.collect)
	a.registerProbes()
	huma.Register(a.huma, read("list-runs", "/runs", "Runs, newest first", "runs"), a.listRuns)
	huma.Register(a.huma, read("get-run", "/runs/{id}", "One run, with its devices and manifests", "runs"), a.getRun)
	huma.Register(a.huma, read("list-documents", "/documents", "Documents, newest first, without their bytes", "documents"), a.listDocuments)
	huma.Register(a.huma, read("get-document", "/documents/{id}", "What is known of one document", "documents"), a.getDocument)
	raw := read("get-document-raw", "/documents/{id}/raw", "The bytes of one document, exactly as the collector sent them", "documents")
	raw.Responses = map[string]*huma.Response{"200": {Description: "The document.", Headers: map[string]*huma.Param{
		"Repr-Digest": {Description: "SHA-256 of the bytes (RFC 9530).", Schema: &huma.Schema{Type: huma.TypeString}}}, Content: map[string]*huma.MediaType{
		"application/xml": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	huma.Register(a.huma, raw, a.getRaw)
}

// collectRequest is the request of the operation collect.
type collectRequest struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Body      apitype.CollectRequest
}

func (a *API) collect(ctx context.Context, in *collectRequest) (*answer[apitype.Job], error) {
	devices, err := a.inGroups(ctx, in.Collector, in.Body.Devices, in.Body.Groups)
	if err != nil {
		return nil, a.fail("collect", err)
	}
	return a.createJob(ctx, "collect", edp.NewJob{Collector: in.Collector, Kind: wire.JobCollect, Devices: devices, TTL: CollectTTL})
}

// inGroups adds the devices of groups to those that are named.
func (a *API) inGroups(ctx context.Context, collector string, devices, groups []string) ([]string, error) {
	if len(groups) == 0 {
		return devices, nil
	}
	f, err := a.cfg.Store.GetFleet(ctx, collector)
	if err != nil {
		return nil, err
	}
	return f.InGroups(devices, groups)
}

// createJob makes a job of the caller's and wakes its collector.
func (a *API) createJob(ctx context.Context, operation string, n edp.NewJob) (*answer[apitype.Job], error) {
	n.By = caller(ctx).Name
	j, err := a.cfg.Store.CreateJob(ctx, n)
	if err != nil {
		return nil, a.fail(operation, err)
	}
	a.cfg.Hub.JobCreated(n.Collector)
	return &answer[apitype.Job]{view.Job(j, nil, nil)}, nil
}

// one names a thing by its id in the path.
type one struct {
	ID string `path:"id" maxLength:"64"`
}

// runsQuery chooses runs.
type runsQuery struct {
	Collector string `query:"collector" maxLength:"63" doc:"Only of this collector."`
	State     string `query:"state" enum:"running,complete,failed,interrupted"`
	Limit     int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
}

func (a *API) listRuns(ctx context.Context, in *runsQuery) (*answer[apitype.Runs], error) {
	list, err := a.cfg.Store.Runs(ctx, edp.RunFilter{Collector: in.Collector, State: edp.RunState(in.State), Limit: in.Limit})
	if err != nil {
		return nil, a.fail("list-runs", err)
	}
	return &answer[apitype.Runs]{apitype.Runs{Runs: view.Each(list, view.Run)}}, nil
}

func (a *API) getRun(ctx context.Context, in *one) (*answer[apitype.Run], error) {
	r, err := a.cfg.Store.Run(ctx, in.ID)
	if err != nil {
		return nil, a.fail("get-run", err)
	}
	return &answer[apitype.Run]{view.Run(r)}, nil
}

// documentsQuery chooses documents.
type documentsQuery struct {
	Collector string `query:"collector" maxLength:"63" doc:"Only of this collector."`
	Device    string `query:"device" maxLength:"63"`
	Item      string `query:"item" maxLength:"63" doc:"Item of the catalogue."`
	Run       string `query:"run" maxLength:"64"`
	Latest    bool   `query:"latest" doc:"Only the newest of each device and item."`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000000" default:"1000"`
}

func (a *API) listDocuments(ctx context.Context, in *documentsQuery) (*answer[apitype.Documents], error) {
	list, err := a.cfg.Store.Documents(ctx, edp.DocumentFilter{
		Collector: in.Collector, Device: in.Device, Item: in.Item, Run: in.Run, Latest: in.Latest, Limit: in.Limit,
	})
	if err != nil {
		return nil, a.fail("list-documents", err)
	}
	return &answer[apitype.Documents]{apitype.Documents{Documents: view.Each(list, view.Document)}}, nil
}

func (a *API) getDocument(ctx context.Context, in *one) (*answer[apitype.Document], error) {
	d, err := a.cfg.Store.DocumentInfo(ctx, in.ID)
	if err != nil {
		return nil, a.fail("get-document", err)
	}
	return &answer[apitype.Document]{view.Document(d)}, nil
}

// getRaw streams the bytes of a document. They come from a device, so the headers
// keep a browser from showing them as a page. A document that is damaged ends in
// the middle: its answer is never whole.
func (a *API) getRaw(ctx context.Context, in *one) (*huma.StreamResponse, error) {
	d, body, err := a.cfg.Store.OpenDocument(ctx, in.ID)
	if err != nil {
		return nil, a.fail("get-document-raw", err)
	}
	sum, err := hex.DecodeString(d.SHA256)
	if err != nil {
		return nil, a.fail("get-document-raw", errors.Join(fmt.Errorf("reading the hash of document %s: %w", d.ID, err), body.Close()))
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/xml")
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", fileName(d)))
		hc.SetHeader("Content-Length", strconv.FormatInt(d.Size, 10))
		hc.SetHeader("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":") // RFC 9530
		hc.SetHeader("Last-Modified", d.CollectedAt.UTC().Format(http.TimeFormat))
		_, err := io.Copy(newPatient(hc), body)
		if err = errors.Join(err, body.Close()); err != nil && hc.Context().Err() == nil {
			a.cfg.Logger.Error("sending a document", "document", d.ID, "error", err)
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// fileName names a download. Every character that could end the quoted form of
// the header becomes '_'.
func fileName(d edp.Document) string {
	name := []byte(d.Device + "_" + d.Item + "_" + d.CollectedAt.UTC().Format("20060102T150405Z") + ".xml")
	for i, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			name[i] = '_'
		}
	}
	return string(name)
}
