package ledger_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/ledger"
	"lwc/transport/wire"
)

const collector = "site-berlin-01"

var (
	runA, runB = wire.NewID(), wire.NewID()
	boot1      = wire.NewID()
	start      = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
)

// site is a collector with its cloud, in memory: it signs as a collector does, and
// its store can be tampered with.
type site struct {
	t         testing.TB
	key       *ecdsa.PrivateKey
	head      ledger.Head
	manifests []ledger.Manifest
	docs      []ledger.Record
	bodies    map[string][]byte
	previous  string
	sections  map[string]int
}

func newSite(t testing.TB) *site {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &site{t: t, key: key, bodies: map[string][]byte{}, sections: map[string]int{},
		head: ledger.Head{V: ledger.Version, Collector: collector, Exported: start.Add(3 * time.Hour), Documents: ledger.DocumentsHashes,
			Runs: []ledger.Run{{ID: runA, State: "complete"}, {ID: runB, State: "complete"}}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// document stores a reply, and returns its entry.
func (s *site) document(run, device, item string) wire.ManifestEntry {
	body := fmt.Appendf(nil, "<rpc-reply>%s %s %s</rpc-reply>", run, device, item)
	r := ledger.Record{ID: wire.NewID(), Run: run, Boot: boot1, Device: device, Item: item, Received: start.Add(time.Minute)}
	s.docs, s.bodies[r.ID] = append(s.docs, r), body
	return wire.ManifestEntry{ID: r.ID, Device: device, Item: item, Status: wire.EntryStored, Outcome: "ok",
		SHA256: wire.Digest(body), Size: int64(len(body)), Sent: 20, RawSHA256: wire.Digest([]byte("raw")), RawSize: int64(len(body)) + 5,
		Masked: map[string]int{"user-names": 2}}
}

// section signs the next section of a run.
func (s *site) section(run string, last bool, entries ...wire.ManifestEntry) {
	s.t.Helper()
	s.sections[run]++
	n := s.sections[run]
	m := wire.Manifest{V: wire.Version, Collector: collector, Boot: boot1, Run: run, Schedule: "daily", Window: start,
		Started: start, Finished: start.Add(time.Duration(n) * time.Minute), Previous: s.previous, Section: n, Last: last,
		Devices: []wire.DeviceResult{{Device: fmt.Sprintf("edge-%d", n), OK: true}}, Documents: entries}
	s.sign(m)
}

func (s *site) sign(m wire.Manifest) {
	s.t.Helper()
	plain, err := json.Marshal(m)
	must(s.t, err)
	frames, err := wire.Split(wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: collector, Boot: m.Boot, Run: m.Run},
		plain, wire.Packing{Key: s.key})
	must(s.t, err)
	h, _, err := wire.ParseFrame(frames[0])
	must(s.t, err)
	s.manifests = append(s.manifests, ledger.Manifest{Plain: plain, Envelope: *h.Envelope})
	s.previous = wire.Digest(plain)
	s.head.Newest = s.previous
}

func (s *site) Manifests(_ context.Context, each func(ledger.Manifest) error) error {
	for _, m := range s.manifests {
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) Documents(_ context.Context, each func(ledger.Record) error) error {
	for _, d := range s.docs {
		if err := each(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) Open(_ context.Context, id string) (io.ReadCloser, error) {
	if b, ok := s.bodies[id]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return nil, errors.New("its bytes are gone")
}

func (s *site) export() []byte {
	s.t.Helper()
	var b bytes.Buffer
	must(s.t, ledger.Write(s.t.Context(), &b, s.head, s))
	return b.Bytes()
}

func (s *site) verify(keys ...crypto.PublicKey) ledger.Report {
	s.t.Helper()
	r, err := ledger.Verify(bytes.NewReader(s.export()), keys...)
	must(s.t, err)
	return r
}

// filled is a site with two runs of two sections each, five documents, and an item
// that was withheld.
func filled(t testing.TB) *site {
	s := newSite(t)
	s.section(runA, false, s.document(runA, "edge-1", "show-version"), s.document(runA, "edge-1", "show-chassis-alarms"))
	s.section(runA, true, s.document(runA, "edge-2", "show-version"),
		wire.ManifestEntry{ID: wire.NewID(), Device: "edge-2", Item: "show-arp-no-resolve", Status: wire.EntryWithheld, SHA256: wire.Digest([]byte("withheld")), Size: 900, Reason: "not approved in time"})
	s.section(runB, false, s.document(runB, "edge-1", "show-version"))
	s.section(runB, true, s.document(runB, "edge-2", "show-version"))
	return s
}

func TestAWholeLedger(t *testing.T) {
	for _, docs := range []ledger.Documents{ledger.DocumentsNone, ledger.DocumentsHashes, ledger.DocumentsBytes} {
		s := filled(t)
		s.head.Documents = docs
		r := s.verify(s.key.Public())
		if !r.OK() || r.Manifests != 4 || r.Signed != 4 || r.Runs != 2 || r.Entries != 5 || r.Absent != 1 || r.Newest != s.previous {
			t.Errorf("%s: %+v", docs, r)
		}
		if want := map[ledger.Documents]int{ledger.DocumentsNone: 0}; docs != ledger.DocumentsNone && r.Documents != 5 || docs == ledger.DocumentsNone && r.Documents != want[docs] {
			t.Errorf("%s: %d documents", docs, r.Documents)
		}
		var b strings.Builder
		must(t, r.Print(&b))
		for _, want := range []string{"4 of 4 manifests signed by the key that was given", "unbroken from the first manifest, of 2026-11-22", "no section of any is missing", "Everything that was checked is in order."} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", docs, want, b.String())
			}
		}
	}
}

// change alters what a manifest says, without signing it again.
func (s *site) change(i int, edit func(*wire.Manifest)) {
	s.t.Helper()
	var m wire.Manifest
	must(s.t, json.Unmarshal(s.manifests[i].Plain, &m))
	edit(&m)
	plain, err := json.Marshal(m)
	must(s.t, err)
	s.manifests[i].Plain = plain
}

func TestTampering(t *testing.T) {
	for name, c := range map[string]struct {
		tamper func(*site)
		kinds  []string
		want   string
	}{
		"a section taken out": {func(s *site) { s.manifests = slices.Delete(s.manifests, 2, 3) },
			[]string{ledger.BadChain, ledger.BadSection, ledger.Unnamed}, "section 1 of this run and boot is missing before it"},
		"the chain reordered": {func(s *site) { s.manifests[1], s.manifests[2] = s.manifests[2], s.manifests[1] },
			[]string{ledger.BadChain}, "the chain was reordered, or a manifest was put in"},
		"an entry changed": {func(s *site) { s.change(1, func(m *wire.Manifest) { m.Documents[0].Size++ }) },
			[]string{ledger.BadSignature, ledger.BadChain, ledger.BadBytes}, "its content was changed after it was signed"},
		"a signature changed": {func(s *site) { s.manifests[1].Envelope.Signatures[0].Sig[8] ^= 1 },
			[]string{ledger.BadSignature}, "its signature is not of the collector's key"},
		"a signature taken away": {func(s *site) { s.manifests[3].Envelope = wire.Envelope{} },
			[]string{ledger.BadSignature}, "it has no signature"},
		"stored bytes changed": {func(s *site) { s.bodies[s.docs[0].ID][3] ^= 1 },
			[]string{ledger.BadBytes}, "they were changed after they came"},
		"stored bytes damaged": {func(s *site) { delete(s.bodies, s.docs[0].ID) },
			[]string{ledger.BadBytes}, "cannot be read: its bytes are gone"},
		"a document put in": {func(s *site) { s.document(runA, "edge-2", "show-interfaces") },
			[]string{ledger.Unnamed}, "no manifest names it"},
		"a second document of one item": {func(s *site) { s.document(runA, "edge-1", "show-version") },
			[]string{ledger.Unnamed}, "no manifest names it"},
		"a document of a run that nobody knows": {func(s *site) { s.document(wire.NewID(), "edge-2", "show-interfaces") },
			[]string{ledger.Unnamed}, "no manifest names it"},
		"a document called another": {func(s *site) { s.docs[0].Device, s.docs[2].Device = s.docs[2].Device, s.docs[0].Device },
			[]string{ledger.BadBytes}, "the store has it as edge-2/show-version"},
		"the ledger of another collector": {func(s *site) { s.head.Collector = "site-berlin-02" },
			[]string{ledger.BadSignature}, "it is of collector \"site-berlin-01\" and not of site-berlin-02"},
		"a document taken out": {func(s *site) { s.docs = s.docs[1:] },
			[]string{ledger.Missing}, "it is not in the store"},
		"the end of a run missing": {func(s *site) {
			s.manifests, s.docs = s.manifests[:3], s.docs[:4]
			s.head.Newest = wire.Digest(s.manifests[2].Plain)
		}, []string{ledger.NoEnd}, "no manifest ends it"},
		"the end of the chain missing": {func(s *site) { s.manifests, s.docs = s.manifests[:2], s.docs[:3]; s.head.Runs = s.head.Runs[:1] },
			[]string{ledger.BadChain}, "manifests at the end are missing"},
		"the beginning of the chain missing": {func(s *site) { s.manifests, s.docs = s.manifests[2:], s.docs[3:]; s.head.Runs = s.head.Runs[1:] },
			[]string{ledger.BadChain}, "the beginning of the chain is missing"},
		"a withheld document that left": {func(s *site) {
			var m wire.Manifest
			must(s.t, json.Unmarshal(s.manifests[1].Plain, &m))
			e := m.Documents[1]
			s.docs = append(s.docs, ledger.Record{ID: e.ID, Run: runA, Boot: boot1, Device: e.Device, Item: e.Item})
			s.bodies[e.ID] = []byte("withheld")
		}, []string{ledger.Contrary}, "it left the site all the same"},
	} {
		t.Run(name, func(t *testing.T) {
			s := filled(t)
			c.tamper(s)
			r := s.verify(s.key.Public())
			for _, k := range c.kinds {
				if !slices.ContainsFunc(r.Findings, func(f ledger.Finding) bool { return f.Kind == k }) {
					t.Errorf("no finding %q in %+v", k, r.Findings)
				}
			}
			for _, f := range r.Findings {
				if !slices.Contains(c.kinds, f.Kind) {
					t.Errorf("a finding too many: %+v", f)
				}
			}
			var b strings.Builder
			must(t, r.Print(&b))
			if !strings.Contains(b.String(), c.want) || strings.Contains(b.String(), "in order") {
				t.Errorf("no %q in\n%s", c.want, b.String())
			}
		})
	}
}

func TestAnotherKey(t *testing.T) {
	s := filled(t)
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	must(t, err)
	s.head.Keys = []string{base64.StdEncoding.EncodeToString(der)}
	if r := s.verify(); !r.OK() || r.Own {
		t.Errorf("with the key of the export: %+v", r)
	}
	other := newSite(t)
	if r := s.verify(other.key.Public()); len(r.Findings) != 4 || r.Signed != 0 || r.Findings[0].Kind != ledger.BadSignature {
		t.Errorf("with another key: %+v", r)
	}
	if r := s.verify(other.key.Public(), s.key.Public()); !r.OK() {
		t.Errorf("with both: %+v", r)
	}
}

// A run under way is no fault, and neither are its documents that no section names
// yet.
func TestARunUnderWay(t *testing.T) {
	s := newSite(t)
	s.head.Runs = []ledger.Run{{ID: runA, State: "running"}}
	s.section(runA, false, s.document(runA, "edge-1", "show-version"))
	s.document(runA, "edge-2", "show-version")
	if r := s.verify(s.key.Public()); !r.OK() || len(r.UnderWay) != 1 || r.Pending != 1 {
		t.Errorf("%+v", r)
	}
	s.head.Exported = start.Add(48 * time.Hour)
	if r := s.verify(s.key.Public()); r.OK() || r.Findings[0].Kind != ledger.NoEnd {
		t.Errorf("a run that nobody ended for two days: %+v", r)
	}
}

// A restart in a run: the first boot stored a document and died before it could
// sign for it; the second finds it there.
func TestARestart(t *testing.T) {
	s := newSite(t)
	s.head.Runs = s.head.Runs[:1]
	s.section(runA, false, s.document(runA, "edge-1", "show-version"))
	e := s.document(runA, "edge-2", "show-version")
	e.ID, e.Status, e.SHA256 = wire.NewID(), wire.EntryDuplicate, wire.Digest([]byte("other"))
	s.sign(wire.Manifest{V: wire.Version, Collector: collector, Boot: wire.NewID(), Run: runA, Schedule: "daily", Started: start,
		Finished: start.Add(time.Hour), Previous: s.previous, Section: 1, Last: true, Documents: []wire.ManifestEntry{e}})
	if r := s.verify(s.key.Public()); !r.OK() || r.Earlier != 1 {
		t.Errorf("%+v", r)
	}
}

// Manifests from before signatures were kept pass in front of signed ones alone.
func TestOldManifests(t *testing.T) {
	s := filled(t)
	s.manifests[0].Envelope, s.manifests[1].Envelope = wire.Envelope{}, wire.Envelope{}
	if r := s.verify(s.key.Public()); !r.OK() || r.Unsigned != 2 || r.Signed != 2 {
		t.Errorf("%+v", r)
	}
}

func TestOneRun(t *testing.T) {
	s := filled(t)
	s.head.Run, s.head.Runs = runB, s.head.Runs[1:]
	s.manifests, s.docs = s.manifests[2:], s.docs[3:]
	if r := s.verify(s.key.Public()); !r.OK() || r.Runs != 1 || r.Documents != 2 {
		t.Errorf("%+v", r)
	}
}

// A site goes on while its ledger is exported: what came meanwhile is of no export,
// and the newest manifest may have a follower.
func TestAnExportOfALiveSite(t *testing.T) {
	s := filled(t)
	late := s.head.Exported.Add(time.Second)
	s.head.Newest = wire.Digest(s.manifests[2].Plain)
	s.section(runB, true, s.document(runB, "edge-3", "show-version"))
	s.head.Newest = wire.Digest(s.manifests[2].Plain)
	s.manifests[4].Received, s.docs[5].Received = late, late
	if r := s.verify(s.key.Public()); !r.OK() || r.Manifests != 4 || r.Documents != 5 {
		t.Errorf("%+v", r)
	}
	s.manifests = s.manifests[:2]
	if r := s.verify(s.key.Public()); !slices.ContainsFunc(r.Findings, func(f ledger.Finding) bool {
		return f.Kind == ledger.BadChain && strings.Contains(f.Text, "manifests at the end are missing")
	}) {
		t.Errorf("an end that is cut off: %+v", r.Findings)
	}
}

func TestACutFile(t *testing.T) {
	b := filled(t).export()
	for _, n := range []int{0, 5, len(b) / 2, len(b) - 9} {
		if _, err := ledger.Verify(bytes.NewReader(b[:n])); !errors.Is(err, ledger.ErrFormat) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

func TestTell(t *testing.T) {
	_, runs, err := ledger.Tell(bytes.NewReader(filled(t).export()))
	must(t, err)
	if len(runs) != 2 || runs[0].Left != 3 || runs[0].Items != 4 || runs[0].Masked["user-names"] != 6 || runs[0].Raw != runs[0].Bytes+15 || runs[0].Sent != 60 {
		t.Fatalf("%+v", runs)
	}
	var b strings.Builder
	must(t, runs[0].Print(&b))
	for _, want := range []string{"by the schedule daily, window of 2026-11-22 02:00:00 UTC", "2 signed sections", "3 documents left the site", "60 B on the wire",
		"Masking replaced 6 values by pseudonyms: 6 of user-names.", "1 item withheld: collected, and the bytes stayed at the site (900 B):", "1: not approved in time", "Nothing was lost.", "show-version (2 documents"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// FuzzVerify changes the tar and not its compression, whose checksum would find
// every change.
func FuzzVerify(f *testing.F) {
	for _, docs := range []ledger.Documents{ledger.DocumentsHashes, ledger.DocumentsBytes} {
		s := filled(f)
		s.head.Documents = docs
		z, err := gzip.NewReader(bytes.NewReader(s.export()))
		must(f, err)
		b, err := io.ReadAll(z)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
		must(t, err)
		_, err = z.Write(b)
		must(t, errors.Join(err, z.Close()))
		r, err := ledger.Verify(bytes.NewReader(packed.Bytes()))
		if err != nil && (r.Manifests != 0 || r.Findings != nil) {
			t.Error("a report with an error")
		}
		if _, runs, other := ledger.Tell(bytes.NewReader(packed.Bytes())); err == nil && (other != nil || len(runs) > r.Manifests) {
			t.Errorf("Verify reads it, and Tell: %v", other)
		}
		if err == nil {
			must(t, r.Print(io.Discard))
		}
	})
}
