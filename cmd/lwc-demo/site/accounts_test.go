package site

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the driver named sqlite

	"lwc/junos"
	"lwc/transport/wire"
)

// evidence is all that is known of one run: what the simulator sent, what the
// cloud shows and stores, and the manifest.
type evidence struct {
	inv      Inventory
	run      shownRun
	results  map[string]wire.DeviceResult
	docs     map[place][]keptDocument
	bodies   map[string]string // digests of the stored bytes, by document
	entries  map[place][]wire.ManifestEntry
	sent     map[place]map[string]bool
	expected []place
}

// shownRun is what lwc-cloud run show says of a run.
type shownRun struct {
	ID        string              `json:"id"`
	State     string              `json:"state"`
	Started   time.Time           `json:"started"`
	Finished  time.Time           `json:"finished"`
	Devices   []wire.DeviceResult `json:"devices"`
	Manifests []string            `json:"manifests"`
}

// keptDocument is what lwc-cloud facts list says of a document.
type keptDocument struct {
	storedDocument
	Outcome  string    `json:"outcome"`
	Received time.Time `json:"received_at"`
}

// gather collects the evidence of the only run of a site.
func gather(ctx context.Context, t *testing.T, s *Site) evidence {
	t.Helper()
	e := evidence{results: map[string]wire.DeviceResult{}, docs: map[place][]keptDocument{}, bodies: map[string]string{},
		entries: map[place][]wire.ManifestEntry{}, sent: sent(t, s)}
	var err error
	e.inv, err = s.Inventory()
	must(t, err)
	items, _ := junos.Profile(wire.DefaultProfile)
	for _, d := range e.inv.Devices {
		for _, it := range items {
			e.expected = append(e.expected, place{d.Name, it.Name})
		}
	}
	asJSON(ctx, t, s, &e.run, "run", "show", "--json", runs(ctx, t, s)[0].ID)
	for _, d := range e.run.Devices {
		if e.results[d.Device].Device != "" {
			t.Errorf("%s has two results", d.Device)
		}
		e.results[d.Device] = d
	}
	var docs []keptDocument
	asJSON(ctx, t, s, &docs, "facts", "list", "--run", e.run.ID, "--all", "--json")
	for _, d := range docs {
		p := place{d.Device, d.Item}
		e.docs[p] = append(e.docs[p], d)
	}
	e.fromStore(ctx, t, s)
	return e
}

func asJSON(ctx context.Context, t *testing.T, s *Site, to any, args ...string) {
	t.Helper()
	out, err := s.Cloud(ctx, args...)
	must(t, err)
	must(t, json.Unmarshal([]byte(out), to))
}

// fromStore reads the manifests and the bytes of all documents from the database
// of the cloud, as an auditor would who believes no program.
func (e *evidence) fromStore(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.CloudData(), "edp.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	must(t, err)
	defer db.Close()
	unpack, err := zstd.NewReader(nil)
	must(t, err)
	defer unpack.Close()
	packed := map[string][]byte{}
	each := func(query string) {
		rows, err := db.QueryContext(ctx, query, e.run.ID)
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			var piece []byte
			must(t, rows.Scan(&name, &piece))
			packed[name] = append(packed[name], piece...)
		}
		must(t, rows.Err())
	}
	use := func(what func(name string, plain []byte)) {
		for name, whole := range packed {
			plain, err := unpack.DecodeAll(whole, nil)
			must(t, err)
			what(name, plain)
		}
		clear(packed)
	}
	each(`SELECT id, body FROM documents WHERE run = $1 AND parts = 0`)
	each(`SELECT p.document, p.body FROM documents d JOIN parts p ON p.collector = d.collector AND p.document = d.id
		WHERE d.run = $1 AND d.parts > 0 ORDER BY p.document, p.part`)
	use(func(id string, body []byte) { e.bodies[id] = wire.Digest(body) })
	each(`SELECT hash, raw FROM manifests WHERE run = $1`)
	use(func(hash string, raw []byte) { e.manifest(t, hash, raw) })
}

func (e *evidence) manifest(t *testing.T, hash string, raw []byte) {
	t.Helper()
	var m wire.Manifest
	must(t, json.Unmarshal(raw, &m))
	if at := slices.Index(e.run.Manifests, hash); wire.Digest(raw) != hash || m.Run != e.run.ID || m.Section != at+1 ||
		m.Last != (m.Section == len(e.run.Manifests)) || at > 0 && m.Previous != e.run.Manifests[at-1] {
		t.Errorf("section %d of run %s, %s, last %t, after %s: the run shows %q", m.Section, m.Run, hash, m.Last, m.Previous, e.run.Manifests)
	}
	for _, d := range m.Documents {
		p := place{d.Device, d.Item}
		e.entries[p] = append(e.entries[p], d)
	}
}

// unaccounted lists what is not stored as it was sent, and not named with a
// reason that is true either.
func (e evidence) unaccounted() []string {
	var out []string
	fault := map[string]spoilt{}
	for _, d := range e.inv.Devices {
		row := rowOf(d.Fault)
		fault[d.Name] = row
		if why := row.misnames(e.results[d.Name]); why != "" {
			out = append(out, fmt.Sprintf("%s (%s): %s", d.Name, d.Fault, why))
		}
	}
	for _, p := range e.expected {
		row := fault[p.device]
		if why := e.amiss(row, p); why != "" {
			out = append(out, fmt.Sprintf("%s (%s) %s: %s", p.device, row.fault, p.item, why))
		}
	}
	if len(e.entries) != len(e.expected) || len(e.results) != len(e.inv.Devices) {
		out = append(out, fmt.Sprintf("%d devices have results, and %d items entries", len(e.results), len(e.entries)))
	}
	for p := range e.docs {
		if len(e.entries[p]) == 0 {
			out = append(out, fmt.Sprintf("%s %s is stored, and in no manifest", p.device, p.item))
		}
	}
	if e.run.State != "complete" {
		out = append(out, "the run is "+e.run.State)
	}
	return out
}

// misnames says what is wrong with the result of a device.
func (row spoilt) misnames(r wire.DeviceResult) string {
	switch {
	case r.Device == "":
		return "it has no result"
	case len(row.kinds) == 0 && !r.OK:
		return fmt.Sprintf("nothing keeps it from being collected, but it is %s: %s", r.Kind, r.Error)
	case len(row.kinds) > 0 && (r.OK || !slices.Contains(row.kinds, r.Kind)):
		return fmt.Sprintf("it is %q, want %q: %s", r.Kind, row.kinds, r.Error)
	case !r.OK && len(r.Error) < 40:
		return fmt.Sprintf("no words for %s: %q", r.Kind, r.Error)
	}
	return ""
}

// amiss says what is wrong with the account of one item.
func (e evidence) amiss(row spoilt, p place) string {
	if len(e.entries[p]) != 1 {
		return fmt.Sprintf("the manifest has %d entries", len(e.entries[p]))
	}
	entry, docs := e.entries[p][0], e.docs[p]
	switch {
	case entry.Status == wire.EntryStored:
		return e.astray(row, p, entry)
	case entry.Status != wire.EntryFailed || len(row.kinds) == 0:
		return fmt.Sprintf("it is %s: %s", entry.Status, entry.Reason)
	case len(docs) > 0:
		return fmt.Sprintf("%d documents are stored, and the manifest says %s", len(docs), entry.Reason)
	}
	kind, words, _ := strings.Cut(entry.Reason, ": ")
	follows := kind == string(junos.KindRPCTimeout) && slices.Contains(row.kinds, string(junos.KindStalled))
	if !slices.Contains(row.kinds, kind) && !follows || words == "" {
		return fmt.Sprintf("the reason is %q, want %q", entry.Reason, row.kinds)
	}
	return ""
}

// astray says what is wrong with a stored document.
func (e evidence) astray(row spoilt, p place, entry wire.ManifestEntry) string {
	docs := e.docs[p]
	if len(docs) != 1 {
		return fmt.Sprintf("the manifest says stored, and %d documents are", len(docs))
	}
	d := docs[0]
	switch {
	case d.ID != entry.ID, d.SHA256 != entry.SHA256, d.Outcome != entry.Outcome, e.bodies[d.ID] != entry.SHA256:
		return fmt.Sprintf("the manifest has %s %s %s, the store %s %s %s, and its bytes hash to %s",
			entry.ID, entry.Outcome, entry.SHA256, d.ID, d.Outcome, d.SHA256, e.bodies[d.ID])
	case row.cut && entry.Outcome == string(junos.Partial):
		return ""
	case !e.sent[p][cmp.Or(entry.RawSHA256, entry.SHA256)]:
		return fmt.Sprintf("%s was never sent", cmp.Or(entry.RawSHA256, entry.SHA256))
	}
	return ""
}

// settled is how long it takes from the start of the run until the cloud has the
// last document of the devices that cost no time of their own.
func (e evidence) settled() time.Duration {
	late := map[string]bool{}
	for _, d := range e.inv.Devices {
		late[d.Name] = rowOf(d.Fault).late
	}
	last := e.run.Started
	for p, docs := range e.docs {
		for _, d := range docs {
			if !late[p.device] && d.Received.After(last) {
				last = d.Received
			}
		}
	}
	return last.Sub(e.run.Started)
}

// tally is what became of the devices with one fault.
type tally struct {
	devices, stored, named int
	seconds                float64 // of the one that took longest
	kinds                  []string
}

// table shows for each fault what became of its devices.
func (e evidence) table() string {
	of, byDevice := map[string]*tally{}, map[string]*tally{}
	for _, d := range e.inv.Devices {
		if of[d.Fault] == nil {
			of[d.Fault] = &tally{}
		}
		n, r := of[d.Fault], e.results[d.Name]
		byDevice[d.Name] = n
		n.devices++
		n.seconds = max(n.seconds, r.Seconds)
		if k := cmp.Or(r.Kind, "ok"); !slices.Contains(n.kinds, k) {
			n.kinds = append(n.kinds, k)
		}
	}
	for _, p := range e.expected {
		if len(e.docs[p]) > 0 {
			byDevice[p.device].stored++
		} else {
			byDevice[p.device].named++
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nFAULT\tDEVICES\tSTORED\tNAMED\tSECONDS\tREASON")
	for _, fault := range slices.Sorted(maps.Keys(of)) {
		n := of[fault]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f\t%s\n", cmp.Or(fault, "(none)"), n.devices, n.stored, n.named, n.seconds, strings.Join(n.kinds, ", "))
	}
	// A strings.Builder takes all.
	_ = w.Flush()
	return b.String()
}
