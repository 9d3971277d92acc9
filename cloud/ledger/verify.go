package ledger

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"lwc/transport/wire"
)

// Finding is one thing that is wrong: the class of it in a word, where, what it
// means and what to do.
type Finding struct {
	Kind  string `json:"kind"`  // as the constants below
	Where string `json:"where"` // manifest, run or document
	Text  string `json:"text"`
}

// The kinds of findings.
const (
	BadSignature = "signature" // not signed, or by another key, or of other bytes
	BadChain     = "chain"     // a manifest is missing, stands elsewhere or twice
	BadSection   = "section"   // a section of a run is missing
	NoEnd        = "no-end"    // a run that nothing ends
	Missing      = "missing"   // named as stored, and not in the store
	BadBytes     = "bytes"     // the stored bytes are not those that were signed
	Unnamed      = "unnamed"   // stored, and no manifest names it
	Contrary     = "contrary"  // a manifest says that it did not leave, and it is stored
)

// Report is what Verify found, and what it looked at.
type Report struct {
	Head      Head      `json:"export"`
	Own       bool      `json:"own_key"` // the keys were given, and not taken from the export
	Keys      []string  `json:"keys"`    // SHA-256 of those that signatures were checked with
	Manifests int       `json:"manifests"`
	Signed    int       `json:"signed"`   // of them, by one of the keys
	Unsigned  int       `json:"unsigned"` // from before signatures were kept
	First     time.Time `json:"first,omitzero"`
	Newest    string    `json:"newest,omitempty"` // hash of the newest manifest
	Runs      int       `json:"runs"`
	UnderWay  []string  `json:"under_way"` // runs that have no end yet
	Entries   int       `json:"entries"`   // that name a stored document
	Absent    int       `json:"absent"`    // that tell why there is none
	Documents int       `json:"documents"` // in the store
	Bytes     int64     `json:"bytes"`
	Pending   int       `json:"pending"` // documents of runs under way that no manifest names yet
	Earlier   int       `json:"earlier"` // documents of a boot that ended before its manifest
	Arrived   int       `json:"arrived"` // documents that the collector gave up, and that had come
	Findings  []Finding `json:"findings"`
}

// OK tells whether nothing is wrong.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// maxFindings bounds a report: a ledger of another collector has one a document.
const maxFindings = 10000

// patience is how long after its last section a run may be without an end: no
// window is longer than a day.
const patience = 24 * time.Hour

// Verify checks an export with the public keys of its collector. Without keys it
// takes those that the export carries, which proves only that the export is of
// one piece. The error says that the export could not be read; what is wrong in it
// stands in the Report.
func Verify(r io.Reader, keys ...crypto.PublicKey) (Report, error) {
	v := &verifier{keys: keys, byHash: map[string]int{}, runs: map[string]*runState{},
		named: map[string]*entry{}, places: map[place][]*entry{}, taken: map[place]bool{}, docs: map[string]Record{}, sums: map[string]Record{}}
	v.rep.Own = len(keys) > 0
	if err := read(r, v); err != nil {
		return Report{}, err
	}
	v.finish()
	return v.rep, nil
}

// link is what the chain needs of a manifest.
type link struct {
	hash, previous string
	number         int
	where          string
	signed         bool
}

// runState is how far a run is.
type runState struct {
	state    string         // as the cloud has it
	sections map[string]int // the last one, by boot
	ended    bool           // by the newest of its manifests
	last     time.Time      // end of the newest of its manifests
	started  time.Time
}

// entry is what a manifest says of one document.
type entry struct {
	place
	id, sha, boot, where string
	status               wire.EntryStatus
	size                 int64
}

type place struct{ run, device, item string }

// stored tells whether the entry says that the cloud has the document.
func (e entry) stored() bool {
	return e.status == wire.EntryStored || e.status == wire.EntryDuplicate
}

type verifier struct {
	rep    Report
	keys   []crypto.PublicKey
	chain  []link
	byHash map[string]int // place in chain
	runs   map[string]*runState
	named  map[string]*entry // by document
	places map[place][]*entry
	taken  map[place]bool // of docs
	docs   map[string]Record
	sums   map[string]Record // of the bytes in the export
}

func (v *verifier) find(kind, where, format string, args ...any) {
	if len(v.rep.Findings) < maxFindings {
		v.rep.Findings = append(v.rep.Findings, Finding{kind, where, fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) head(h Head) error {
	v.rep.Head = h
	if !v.rep.Own {
		for _, k := range h.Keys {
			der, err := base64.StdEncoding.DecodeString(k)
			if err != nil {
				return fmt.Errorf("a key of %s: %w", headFile, ErrFormat)
			}
			key, err := wire.ParsePublicKey(der)
			if err != nil {
				return fmt.Errorf("a key of %s: %w", headFile, ErrFormat)
			}
			v.keys = append(v.keys, key)
		}
	}
	for _, k := range v.keys {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return fmt.Errorf("naming a key: %w", err)
		}
		v.rep.Keys = append(v.rep.Keys, wire.Digest(der))
	}
	for _, r := range h.Runs {
		v.run(r.ID).state = r.State
	}
	return nil
}

func (v *verifier) run(id string) *runState {
	r := v.runs[id]
	if r == nil {
		r = &runState{sections: map[string]int{}}
		v.runs[id] = r
	}
	return r
}

// manifest takes the next manifest of the chain.
func (v *verifier) manifest(number int, m Manifest) error {
	v.rep.Manifests++
	where := fmt.Sprintf("manifest %d", number)
	var c wire.Manifest
	if err := json.Unmarshal(m.Plain, &c); err != nil {
		v.find(BadSignature, where, "it is not a manifest: its bytes were changed or are damaged. Nothing that it named can be checked.")
		v.chain = append(v.chain, link{wire.Digest(m.Plain), "", number, where, false})
		return nil
	}
	where += fmt.Sprintf(" (run %s, section %d)", c.Run, c.Section)
	if c.Collector != v.rep.Head.Collector {
		v.find(BadSignature, where, "it is of collector %.80q and not of %s.", c.Collector, v.rep.Head.Collector)
	}
	l := link{wire.Digest(m.Plain), c.Previous, number, where, v.signed(where, m, c)}
	v.follow(l)
	v.section(where, c)
	for _, e := range c.Documents {
		v.enter(where, c, e)
	}
	v.rep.First = earliest(v.rep.First, c.Started)
	return nil
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// signed checks the signature of a manifest, and tells a changed content from a
// wrong signature.
func (v *verifier) signed(where string, m Manifest, c wire.Manifest) bool {
	if len(m.Envelope.Signatures) == 0 {
		return false // judged when it is known what follows
	}
	h := wire.Header{Type: wire.KindRun, Collector: c.Collector, Boot: c.Boot, Envelope: &m.Envelope}
	var err error
	for _, k := range v.keys {
		if _, err = wire.VerifyBody(h, m.Plain, k); err == nil {
			v.rep.Signed++
			return true
		}
	}
	var claim struct {
		SHA256 string `json:"sha256"`
	}
	known := json.Unmarshal(m.Envelope.Payload, &claim) == nil && claim.SHA256 != ""
	switch {
	case len(v.keys) == 0:
		v.find(BadSignature, where, "there is no key to check it with: give the collector's with --key.")
	case known && claim.SHA256 != wire.Digest(m.Plain):
		v.find(BadSignature, where, "its content was changed after it was signed: it has the SHA-256 %s, and %s was signed. What it says of documents cannot be relied on.", wire.Digest(m.Plain), claim.SHA256)
	case err != nil && !errors.Is(err, wire.ErrSignature):
		v.find(BadSignature, where, "its signature cannot be read: %v.", err)
	default:
		v.find(BadSignature, where, "its signature is not of the collector's key: it was changed, or another key made it (key id %.16q). Where the box was replaced, give the certificates of both with --key.", m.Envelope.Signatures[0].KeyID)
	}
	return false
}

// follow puts a manifest into the chain.
func (v *verifier) follow(l link) {
	if at, twice := v.byHash[l.hash]; twice {
		v.find(BadChain, l.where, "it is the same as manifest %d: a manifest stands in a chain once.", v.chain[at].number)
	}
	v.byHash[l.hash] = len(v.chain)
	v.chain = append(v.chain, l)
}

// section counts the sections of a run and boot.
func (v *verifier) section(where string, c wire.Manifest) {
	r := v.run(c.Run)
	r.last, r.ended = c.Finished, c.Last
	r.started = earliest(r.started, c.Started)
	if c.Section == 0 { // made by a collector that did not know sections: it is the whole run
		r.ended = true
		return
	}
	if want := r.sections[c.Boot] + 1; c.Section > want {
		v.find(BadSection, where, "%s of this run and boot %s missing before it: what left the site with it is not accounted for.", sectionsText(want, c.Section-1), isAre(c.Section-want))
	} else if c.Section < want {
		v.find(BadSection, where, "section %d of this run and boot was there already, or stands in front of it: sections were reordered, or two processes used this key.", want-1)
	}
	r.sections[c.Boot] = max(r.sections[c.Boot], c.Section)
}

func sectionsText(from, to int) string {
	if from == to {
		return fmt.Sprintf("section %d", from)
	}
	return fmt.Sprintf("sections %d to %d", from, to)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// enter keeps what a manifest says of one item.
func (v *verifier) enter(where string, c wire.Manifest, said wire.ManifestEntry) {
	e := &entry{place: place{c.Run, said.Device, said.Item}, id: said.ID, sha: said.SHA256, boot: c.Boot,
		where: where, status: said.Status, size: said.Size}
	if e.stored() {
		v.rep.Entries++
	} else {
		v.rep.Absent++
	}
	v.places[e.place] = append(v.places[e.place], e)
	if e.id == "" {
		return
	}
	// The word that a document is stored is the one to check.
	if old := v.named[e.id]; old == nil || (e.stored() && !old.stored()) {
		v.named[e.id] = e
	}
}

func (v *verifier) record(r Record) error {
	v.docs[r.ID] = r
	return nil
}

func (v *verifier) bytes(id, sha256 string, size int64) error {
	v.sums[id] = Record{ID: id, SHA256: sha256, Size: size}
	return nil
}

// finish judges what only the whole shows.
func (v *verifier) finish() {
	v.links()
	v.unsigned()
	v.ends()
	if v.rep.Head.Documents != DocumentsNone {
		v.documents()
	}
	slices.SortStableFunc(v.rep.Findings, func(a, b Finding) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
}

// rank puts what else may follow from first.
func rank(kind string) int {
	return slices.Index([]string{BadSignature, BadChain, BadSection, NoEnd, BadBytes, Contrary, Missing, Unnamed}, kind)
}
