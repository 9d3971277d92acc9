package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lwc/cloud/edp"
	"lwc/cloud/ledger"
)

// exportsAtOnce bounds how many exports are made at the same time: each reads and
// hashes all that is stored of a collector.
const exportsAtOnce = 2

func (a *API) registerLedger() {
	op := read("export-ledger", "/collectors/{collector}/ledger", "The signed account of what left a site, as a file", "egress")
	op.Description = "A gzipped tar: each manifest as the collector signed it, its signature, and what the cloud stores, with hashes that are computed from the stored bytes for this answer. lwc-cloud ledger verify checks it, on any machine and with the collector's key alone."
	op.Responses = map[string]*huma.Response{"200": {Description: "The export.", Content: map[string]*huma.MediaType{
		"application/gzip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	op.Errors = append(op.Errors, http.StatusServiceUnavailable)
	huma.Register(a.huma, op, a.exportLedger)
}

// ledgerQuery chooses what is exported.
type ledgerQuery struct {
	Collector string `path:"collector" maxLength:"63" doc:"Collector id."`
	Run       string `query:"run" maxLength:"64" doc:"Only this run."`
	Documents string `query:"documents" enum:"none,hashes,bytes" default:"hashes" doc:"none: the manifests alone; hashes: what is stored, with hashes; bytes: and the bytes."`
}

func (a *API) exportLedger(ctx context.Context, in *ledgerQuery) (*huma.StreamResponse, error) {
	head, err := a.ledgerHead(ctx, in)
	if err != nil {
		return nil, a.fail("export-ledger", err)
	}
	select {
	case a.exports <- struct{}{}:
	default:
		return nil, huma.Error503ServiceUnavailable("other ledgers are being exported: try again in a minute")
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer func() { <-a.exports }()
		hc.SetHeader("Content-Type", "application/gzip")
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "ledger_"+in.Collector+".tar.gz"))
		w := newPatient(hc)
		if err := ledger.Write(hc.Context(), w, head, source{a.cfg.Store, in.Collector, in.Run}); err != nil && hc.Context().Err() == nil {
			a.cfg.Logger.Error("exporting a ledger", "collector", in.Collector, "error", err)
			panic(http.ErrAbortHandler) // the answer has begun: an end in the middle tells that it is not whole
		}
	}}, nil
}

// ledgerHead says what the cloud claims of the export: all as it was at one moment,
// though the site goes on. The newest manifest and the ends of runs are looked up
// before that moment, so that the manifests until then bear them out.
func (a *API) ledgerHead(ctx context.Context, in *ledgerQuery) (ledger.Head, error) {
	h := ledger.Head{V: ledger.Version, Collector: in.Collector, Documents: ledger.Documents(in.Documents), Run: in.Run}
	c, err := a.cfg.Store.Collector(ctx, in.Collector)
	if err != nil {
		return h, err
	}
	if h.Newest, err = a.cfg.Store.LastManifest(ctx, in.Collector); err != nil {
		return h, err
	}
	before, err := a.runsOf(ctx, in)
	if err != nil {
		return h, err
	}
	h.Exported = time.Now().UTC()
	after, err := a.runsOf(ctx, in)
	if err != nil {
		return h, err
	}
	h.Runs = asBefore(before, after)
	if c.SPKI != "" {
		h.Keys = append(h.Keys, c.SPKI)
	}
	err = a.cfg.Store.EachManifest(ctx, in.Collector, in.Run, func(m edp.SignedManifest) error {
		if m.SPKI != "" && !slices.Contains(h.Keys, m.SPKI) {
			h.Keys = append(h.Keys, m.SPKI) // of a box before
		}
		return nil
	})
	return h, err
}

// asBefore gives the runs the states that they had before; those that began since
// were under way.
func asBefore(before, after []ledger.Run) []ledger.Run {
	states := map[string]string{}
	for _, r := range before {
		states[r.ID] = r.State
	}
	for i, r := range after {
		after[i].State = cmp.Or(states[r.ID], string(edp.RunRunning))
	}
	return after
}

// allRuns is more than any collector has.
const allRuns = 1 << 30

func (a *API) runsOf(ctx context.Context, in *ledgerQuery) ([]ledger.Run, error) {
	if in.Run != "" {
		r, err := a.cfg.Store.Run(ctx, in.Run)
		if err == nil && r.Collector != in.Collector {
			err = fmt.Errorf("run %.40q of collector %s: %w", in.Run, in.Collector, edp.ErrNotFound)
		}
		return []ledger.Run{{ID: r.ID, State: string(r.State)}}, err
	}
	list, err := a.cfg.Store.Runs(ctx, edp.RunFilter{Collector: in.Collector, Limit: allRuns})
	out := make([]ledger.Run, 0, len(list))
	for _, r := range list {
		out = append(out, ledger.Run{ID: r.ID, State: string(r.State)})
	}
	slices.Reverse(out)
	return out, err
}

// source is the store as the source of an export.
type source struct {
	store          *edp.Store
	collector, run string
}

// Manifests implements ledger.Source.
func (s source) Manifests(ctx context.Context, each func(ledger.Manifest) error) error {
	return s.store.EachManifest(ctx, s.collector, s.run, func(m edp.SignedManifest) error {
		return each(ledger.Manifest{Plain: m.Plain, Envelope: m.Envelope, Received: m.Received})
	})
}

// Documents implements ledger.Source.
func (s source) Documents(ctx context.Context, each func(ledger.Record) error) error {
	return s.store.EachDocument(ctx, s.collector, s.run, func(d edp.Document) error {
		return each(ledger.Record{ID: d.ID, Run: d.Run, Boot: d.Boot, Device: d.Device, Item: d.Item, Size: d.Size, Received: d.ReceivedAt})
	})
}

// Open implements ledger.Source.
func (s source) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	_, body, err := s.store.OpenDocument(ctx, id)
	return body, err
}

// patient writes an answer that may take longer than the server gives to others:
// only a reader that stands still is given up.
type patient struct {
	w       io.Writer
	control *http.ResponseController
}

// standstill is how long a reader may take nothing.
const standstill = 2 * time.Minute

func newPatient(hc huma.Context) io.Writer {
	_, w := humago.Unwrap(hc)
	return &patient{hc.BodyWriter(), http.NewResponseController(w)}
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	err := p.control.SetWriteDeadline(time.Now().Add(standstill))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}
